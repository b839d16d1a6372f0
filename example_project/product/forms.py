"""The compose form: a postcard's front, its message and the address."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.core.exceptions import NON_FIELD_ERRORS
from django.forms.models import model_to_dict
from django.utils.translation import gettext_lazy as _

from example_project.product.designs import Design
from example_project.product.models import MESSAGE_LENGTH, Postcard

ZIP_CODE = re.compile(r"^\d{5}(-\d{4})?$")
RECIPIENT_PREFIX = re.compile(r"^recipients\.\d+\.")


class PostcardForm(forms.ModelForm):
    """Bad input that we can know of is told here; what only thanks.io knows comes in by :meth:`add_thanksio_errors`."""

    design = forms.ChoiceField(label=_("Front"), choices=Design.choices, widget=forms.RadioSelect)
    size = forms.ChoiceField(label=_("Size"), choices=Postcard.Size.choices, widget=forms.RadioSelect)

    class Meta:
        model = Postcard
        fields = ["design", "size", "message", "name", "address", "address2", "city", "province", "postal_code"]
        labels = {
            "message": _("Your message"),
            "name": _("Name"),
            "address": _("Street and number"),
            "address2": _("Apartment, suite (optional)"),
            "city": _("City"),
            "province": _("State"),
            "postal_code": _("ZIP code"),
        }
        widgets = {
            "message": forms.Textarea(attrs={"rows": 8, "maxlength": MESSAGE_LENGTH}),
            "name": forms.TextInput(attrs={"autocomplete": "section-recipient name"}),
            "address": forms.TextInput(attrs={"autocomplete": "section-recipient address-line1"}),
            "address2": forms.TextInput(attrs={"autocomplete": "section-recipient address-line2"}),
            "city": forms.TextInput(attrs={"autocomplete": "section-recipient address-level2"}),
            "province": forms.TextInput(attrs={"autocomplete": "section-recipient address-level1"}),
            "postal_code": forms.TextInput(
                attrs={"autocomplete": "section-recipient postal-code", "inputmode": "numeric"}
            ),
        }
        help_texts = {"message": _("Up to 400 characters, set in handwriting.")}

    @classmethod
    def for_refused(cls, postcard: Postcard, errors: Mapping[str, Sequence[str]], message: str) -> PostcardForm:
        """The form of a saved draft with thanks.io's complaints in their places."""
        form = cls(model_to_dict(postcard, fields=cls._meta.fields), instance=postcard)
        form.full_clean()
        form.add_thanksio_errors(errors, message)
        return form

    def clean_message(self) -> str:
        """Browsers send line ends as CR LF; count and send them as one character."""
        return self.cleaned_data["message"].replace("\r\n", "\n").strip()

    def clean_postal_code(self) -> str:
        postal_code = self.cleaned_data["postal_code"].strip()
        if not ZIP_CODE.match(postal_code):
            raise forms.ValidationError(_("Enter a ZIP code like 12345 or 12345-6789."))
        return postal_code

    def add_thanksio_errors(self, errors: Mapping[str, Sequence[str]], message: str) -> None:
        """Put thanks.io's messages (``recipients.0.city``, ``message`` …) on the fields; the rest goes on top."""
        for key, messages in errors.items():
            field = RECIPIENT_PREFIX.sub("", key)
            self.add_error(field if field in self.fields else NON_FIELD_ERRORS, list(messages))
        if not self.errors:
            self.add_error(NON_FIELD_ERRORS, message or _("thanks.io did not accept this postcard."))


class ListForm(PostcardForm):
    """A postcard to everybody on a mailing list: thanks.io knows the addresses."""

    class Meta(PostcardForm.Meta):
        fields = ["design", "size", "message", "mailing_list_id"]
        labels = {**PostcardForm.Meta.labels, "mailing_list_id": _("Mailing list")}

    def __init__(self, *args: Any, lists: Mapping[int, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lists = lists
        label = self.fields["mailing_list_id"].label
        self.fields["mailing_list_id"] = forms.TypedChoiceField(label=label, choices=list(lists.items()), coerce=int)

    def save(self, commit: bool = True) -> Postcard:
        self.instance.name = self._lists[self.cleaned_data["mailing_list_id"]]
        return super().save(commit)
