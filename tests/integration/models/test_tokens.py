"""The token row as Django's own readers and writers see it: a mask or ciphertext, never a token."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django import forms
from django.core.exceptions import FieldError
from django.core.management import call_command
from django.core.serializers.base import DeserializationError
from django.db import transaction
from django.db.models import F
from django.forms import modelform_factory
from django.forms.models import model_to_dict

from tests.integration.stored import NEWER, TOKENS, ciphertexts, connect, renew, stored
from thanksio_connect.client.tokens import TokenSet
from thanksio_connect.fields import MASK, LazySecret
from thanksio_connect.flows.reencrypt import reencrypt_all
from thanksio_connect.models import AuthorizationRequest, ConnectionTokens, ThanksIOConnection
from thanksio_connect.refresh.token_row import renewed_values
from thanksio_connect.testing import FakeThanksIO, provider

pytestmark = pytest.mark.django_db
FORMATS = ["json", "jsonl", "xml", "yaml"]
CONFUSING = [
    "encrypted:abc",
    "encrypted",
    "encrypted-with-Fernet:abc",
    "gAAAAABh",
    LazySecret.__name__,
    "<encrypted>",
    "None",
    "0",
    "$HOME",
    "{{token}}",
    "<b>&amp;",
]


class TestReaders:
    """values(), dictionaries, dumps."""

    def test_values_and_dicts_never_show_a_token(self) -> None:
        row = connect().tokens
        assert row.access_token.reveal() == TOKENS[0]
        rows = ConnectionTokens.objects.all()
        shown = [
            rows.values(),
            rows.values_list(),
            rows.values_list("access_token", flat=True),
            rows.values_list("access_token", "refresh_token", named=True),
            ThanksIOConnection.objects.values("tokens__access_token", "user"),
            ThanksIOConnection.objects.values_list("tokens__refresh_token"),
            [model_to_dict(row)],
            [row.__dict__],
            rows,
        ]
        for each in shown:
            text = repr(list(each)) + str(list(each))
            assert not any(secret in text for secret in (*TOKENS, *ciphertexts()))

    @pytest.mark.parametrize("form", FORMATS)
    def test_a_dump_holds_ciphertext_once(self, form: str) -> None:
        row = connect().tokens
        assert row.access_token.reveal() == TOKENS[0]
        out = io.StringIO()
        call_command("dumpdata", "thanksio_connect", format=form, stdout=out)
        assert not any(token in out.getvalue() for token in TOKENS)
        assert all(out.getvalue().count(text) == 1 for text in ciphertexts())

    @pytest.mark.parametrize("form", FORMATS)
    def test_a_dump_is_loaded_into_an_empty_table(self, tmp_path: Any, form: str) -> None:
        user = connect().user
        AuthorizationRequest.objects.create(
            user=user, state_digest="s", browser_digest="b", code_verifier="verifier-1", expires_at="2026-11-26T10:00Z"
        )
        before = ConnectionTokens.objects.values().get()
        fixture = tmp_path / f"dump.{form}"
        call_command("dumpdata", "thanksio_connect", output=str(fixture), format=form, verbosity=0)
        ThanksIOConnection.objects.all().delete()
        AuthorizationRequest.objects.all().delete()
        call_command("loaddata", str(fixture), verbosity=0)
        after = ConnectionTokens.objects.values().get()
        for name in ("expires_at", "obtained_at", "next_refresh_at"):  # JSON has milliseconds, as Django writes it
            assert abs((after.pop(name) - before.pop(name)).total_seconds()) < 0.001
        assert after == before
        assert AuthorizationRequest.objects.get().code_verifier.reveal() == "verifier-1"

    def test_lookups_of_tokens_are_refused(self) -> None:
        connect()
        with pytest.raises(FieldError, match="encrypted"):
            ThanksIOConnection.objects.filter(tokens__access_token=TOKENS[0])
        assert ThanksIOConnection.objects.filter(tokens__access_token__isnull=False).count() == 1


class TestTextThatLooksLikeSomethingElse:
    """A token is text, whatever it begins with."""

    @pytest.mark.parametrize("form", FORMATS)
    def test_it_survives_connect_dump_load_and_reencryption(self, tmp_path: Any, form: str) -> None:
        for number, text in enumerate([*CONFUSING, LazySecret(clear="x").ciphertext, "encrypted:" + "gAAAAABh" * 9]):
            row = connect(f"user-{number}")
            ThanksIOConnection.objects.connect(row.user, TokenSet(text, text + "-r"))
            AuthorizationRequest.objects.create(
                user=row.user, state_digest=str(number), code_verifier=text, expires_at="2126-11-26T10:00Z"
            )
        before = self.all_tokens()
        fixture = tmp_path / f"dump.{form}"
        call_command("dumpdata", "thanksio_connect", output=str(fixture), format=form, verbosity=0)
        ThanksIOConnection.objects.all().delete()
        AuthorizationRequest.objects.all().delete()
        call_command("loaddata", str(fixture), verbosity=0)
        assert self.all_tokens() == before
        summary = reencrypt_all()
        assert (summary.reencrypted, summary.verifiers) == (len(before), len(before))
        assert self.all_tokens() == before
        assert {each[0] for each in before} >= set(CONFUSING)

    @staticmethod
    def all_tokens() -> list[tuple[str, str, str]]:
        verifiers = {each.user_id: each.code_verifier.reveal() for each in AuthorizationRequest.objects.all()}
        return [
            (each.access_token.reveal(), each.refresh_token.reveal(), verifiers[each.connection.user_id])
            for each in ConnectionTokens.objects.select_related("connection").order_by("connection__user_id")
        ]

    @pytest.mark.parametrize("text", ["encrypted:abc", "gAAAAABh", LazySecret(clear="x").ciphertext])
    def test_it_survives_a_renewal(self, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
        with FakeThanksIO() as thanksio, thanksio.override_settings():
            row = thanksio.connect(connect().user, expires_in=-1)
            monkeypatch.setattr(provider, "mint_access_token", lambda *args, **kwargs: text + "-1")
            assert row.get_access_token() == text + "-1"
        assert stored()[0] == text + "-1"
        values = renewed_values(stored()[2], TokenSet(text + "-3", text + "-4"))
        ConnectionTokens._base_manager.update(**values)
        assert stored()[:2] == (text + "-3", text + "-4")


class TestWriters:
    """What gives the mask back writes no token over."""

    def test_save_and_bulk_update_and_update(self) -> None:
        row = connect().tokens
        row.access_token = MASK  # type: ignore[assignment]
        row.save()
        row = ConnectionTokens.objects.get()
        row.access_token = str(row.access_token)  # type: ignore[assignment]
        row.save(update_fields=["access_token"])
        ConnectionTokens.objects.bulk_update([row], ["access_token", "refresh_token", "expires_at", "status"])
        assert stored() == (*TOKENS, 1)
        with pytest.raises(ValueError, match="mask"), transaction.atomic():
            ConnectionTokens.objects.update(access_token=MASK)
        with pytest.raises(ValueError, match="mask"):
            ConnectionTokens.objects.bulk_create([ConnectionTokens(connection_id=5, access_token=MASK)])
        ConnectionTokens.objects.update(refresh_token=F("access_token"))
        assert stored() == (TOKENS[0], TOKENS[0], 1)

    def test_a_deferred_token(self) -> None:
        connect()
        row = ConnectionTokens.objects.only("status").get()
        row.access_token = MASK  # type: ignore[assignment]
        row.save()
        assert stored() == (*TOKENS, 1)

    def test_a_model_form_has_no_token(self) -> None:
        row = connect().tokens
        form_class = modelform_factory(ConnectionTokens, fields="__all__")
        assert not form_class.base_fields

        class Form(forms.ModelForm):
            access_token = forms.CharField()

            class Meta:
                model = ConnectionTokens
                fields = ()

        form = Form({"access_token": MASK}, instance=row)
        assert form.is_valid(), form.errors
        form.instance.access_token = form.cleaned_data["access_token"]
        form.save()
        assert stored() == (*TOKENS, 1)

    def test_a_masked_fixture_is_refused(self, tmp_path: Any) -> None:
        row = connect().tokens
        fixture = tmp_path / "masked.json"
        fields = {"connection": row.connection_id, "access_token": MASK, "refresh_token": MASK}
        fixture.write_text(json.dumps([{"model": "thanksio_connect.connectiontokens", "pk": row.pk, "fields": fields}]))
        with pytest.raises(DeserializationError, match="mask"):
            call_command("loaddata", str(fixture), verbosity=0)
        assert stored() == (*TOKENS, 1)

    def test_a_bulk_update_after_a_renewal_writes_what_was_read_and_nothing_broken(self) -> None:
        """The token row is the engine's: a project that writes it on purpose writes what it holds."""
        connect()
        renew()
        row = ConnectionTokens.objects.get()
        ConnectionTokens.objects.bulk_update([row], ["access_token", "refresh_token", "next_refresh_at"])
        assert stored() == NEWER
