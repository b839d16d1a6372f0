"""What the product remembers of each postcard. thanks.io's order is the truth; this row is how we find it again."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.core.validators import MaxLengthValidator
from django.db import models
from django.urls import reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from example_project.product.designs import Design

MESSAGE_LENGTH = 400


class Postcard(models.Model):
    """A postcard from draft to order. ``UNKNOWN``: a send was begun, and its outcome is not known (yet)."""

    class Status(models.TextChoices):
        DRAFT = "draft", _("Draft")
        UNKNOWN = "unknown", _("Not confirmed")
        SENT = "sent", _("Sent")
        CANCELLED = "cancelled", _("Cancelled")

    class Size(models.TextChoices):
        SMALL = "4x6", _("4 × 6 in")
        LARGE = "6x9", _("6 × 9 in")

    reference = models.UUIDField(_("reference"), default=uuid.uuid4, unique=True, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="postcards", verbose_name=_("user")
    )
    design = models.CharField(_("front"), max_length=20, choices=Design.choices, default=Design.HARBOUR)
    # Kept from when it was priced: under one key the same fields have to go out, whatever host a user came by.
    front_image_url = models.CharField(_("front for the printer"), max_length=500, blank=True, editable=False)
    size = models.CharField(_("size"), max_length=4, choices=Size.choices, default=Size.SMALL)
    message = models.TextField(_("message"), validators=[MaxLengthValidator(MESSAGE_LENGTH)])
    # To one person, or to everybody on a mailing list at thanks.io: then the list's name, and no address.
    mailing_list_id = models.BigIntegerField(_("mailing list"), null=True, blank=True)
    name = models.CharField(_("name"), max_length=255)
    address = models.CharField(_("street and number"), max_length=120)
    address2 = models.CharField(_("apartment, suite"), max_length=120, blank=True)
    city = models.CharField(_("city"), max_length=80)
    province = models.CharField(_("state"), max_length=40)
    postal_code = models.CharField(_("ZIP code"), max_length=12)
    country = models.CharField(_("country"), max_length=2, default="US", editable=False)
    status = models.CharField(_("status"), max_length=10, choices=Status.choices, default=Status.DRAFT)
    order_id = models.BigIntegerField(_("thanks.io order"), null=True, blank=True, db_index=True)
    order_status = models.CharField(_("status at thanks.io"), max_length=40, blank=True, editable=False)
    cost_cents = models.PositiveIntegerField(_("cost in cents"), null=True, blank=True)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    updated_at = models.DateTimeField(_("changed"), auto_now=True)
    sent_at = models.DateTimeField(_("sent"), null=True, blank=True)

    class Meta:
        verbose_name = _("postcard")
        verbose_name_plural = _("postcards")
        ordering = ["-created_at", "-pk"]

    def __str__(self) -> str:
        return f"{self.name}, {self.place}"

    def get_absolute_url(self) -> str:
        """The order when there is one, the review when it is still a draft, else the page of what is not known."""
        if self.order_id is not None:
            return reverse("order", args=[self.order_id])
        name = "postcard-review" if self.status == self.Status.DRAFT else "postcard-unknown"
        return reverse(name, args=[self.reference])

    @property
    def place(self) -> str:
        return gettext("Mailing list") if self.mailing_list_id else f"{self.city}, {self.province}"

    @property
    def is_draft(self) -> bool:
        return self.status == self.Status.DRAFT

    @property
    def send_key(self) -> str:
        """The key of ``send_once()``: one postcard, one order."""
        return f"postcard-{self.reference}"

    @property
    def needs_a_look(self) -> bool:
        return self.status == self.Status.UNKNOWN
