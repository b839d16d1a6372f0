"""No queryset method overwrites, shows or dumps a token."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.exceptions import FieldError
from django.core.management import call_command
from django.db import IntegrityError, transaction
from django.forms.models import model_to_dict
from thanksio_connect.models.stale_writes import GUARDED_COLUMNS

from tests.integration.browsing import make_user
from tests.integration.stored import TOKENS, ciphertexts, connect, load, stored
from thanksio_connect.models import ThanksIOConnection

pytestmark = pytest.mark.django_db


class TestQuerysets:
    """update() and its kin."""

    @pytest.mark.parametrize("name", sorted(GUARDED_COLUMNS))
    def test_update_is_refused(self, name: str) -> None:
        connect()
        for update in (ThanksIOConnection.objects.update, ThanksIOConnection.objects.all().update):
            with pytest.raises(FieldError, match=f"{name}: written by the refresh engine"):
                update(**{name: 1})

        async def update_later() -> None:
            await ThanksIOConnection.objects.aupdate(**{name: 1})

        with pytest.raises(FieldError):
            async_to_sync(update_later)()
        assert stored() == (*TOKENS, 1)

    def test_bulk_update_is_refused(self) -> None:
        row = connect()
        with pytest.raises(FieldError, match="access_token"):
            ThanksIOConnection.objects.bulk_update([row], ["updated_at", "access_token"])
        with pytest.raises(FieldError, match="access_token"):
            ThanksIOConnection.objects.bulk_update([row], iter(["access_token"]))

    def test_bulk_create_that_updates_is_refused(self) -> None:
        row = connect()
        with pytest.raises(FieldError, match="access_token"):
            ThanksIOConnection.objects.bulk_create(
                [row], update_conflicts=True, update_fields=["access_token"], unique_fields=["user"]
            )
        with pytest.raises(FieldError, match="access_token"):
            ThanksIOConnection.objects.bulk_create([row], None, False, True, ["access_token"], ["user"])

    def test_bulk_create(self) -> None:
        users = [make_user(f"user-{number}") for number in range(3)]
        rows = [ThanksIOConnection(user=user, access_token=f"access-{user.pk}") for user in users]
        ThanksIOConnection.objects.bulk_create(rows)
        assert [row.access_token for row in ThanksIOConnection.objects.order_by("pk")] == [
            f"access-{user.pk}" for user in users
        ]

    def test_update_or_create(self) -> None:
        row = connect()
        with pytest.raises(FieldError):
            ThanksIOConnection.objects.update_or_create(user=row.user, defaults={"access_token": "junk"})
        ThanksIOConnection.objects.update_or_create(user=row.user, defaults={"thanksio_user_id": "account-9"})
        assert (*stored(), load().thanksio_user_id) == (*TOKENS, 1, "account-9")

    def test_update_or_create_creates(self) -> None:
        made, created = ThanksIOConnection.objects.update_or_create(
            user=make_user(), defaults={"access_token": TOKENS[0], "refresh_token": TOKENS[1]}
        )
        assert created
        assert (made.access_token, *stored()) == (TOKENS[0], *TOKENS, 1)

    def test_create_and_get_or_create_work_as_in_any_orm(self) -> None:
        user = make_user()
        made = ThanksIOConnection.objects.create(user=user, access_token=TOKENS[0], refresh_token=TOKENS[1])
        assert (made.access_token, *stored()) == (TOKENS[0], *TOKENS, 1)
        again, created = ThanksIOConnection.objects.get_or_create(user=user, defaults={"access_token": "junk"})
        assert (again.access_token, created) == (TOKENS[0], False)
        with pytest.raises(IntegrityError), transaction.atomic():
            ThanksIOConnection.objects.create(user=user, access_token="junk")

    def test_values_and_dicts_never_show_a_token(self) -> None:
        row = connect()
        assert row.access_token == TOKENS[0]
        rows = ThanksIOConnection.objects.all()
        shown = [
            rows.values(),
            rows.values_list(),
            rows.values_list("access_token", flat=True),
            rows.values_list("access_token", "refresh_token", named=True),
            [model_to_dict(row)],
            [row.__dict__],
            rows,
        ]
        for each in shown:
            text = repr(list(each))
            assert not any(secret in text for secret in (*TOKENS, *ciphertexts()))

    def test_a_dump_holds_ciphertext_once(self) -> None:
        row = connect()
        assert row.access_token == TOKENS[0]
        for form in ("json", "xml", "jsonl"):
            out = io.StringIO()
            call_command("dumpdata", "thanksio_connect", format=form, stdout=out)
            assert not any(token in out.getvalue() for token in TOKENS)
            assert ciphertexts()[0] in out.getvalue()

    def test_a_dump_is_loaded_into_an_empty_table(self, tmp_path: Any) -> None:
        row = connect()
        fixture = tmp_path / "dump.json"
        call_command("dumpdata", "thanksio_connect.ThanksIOConnection", output=str(fixture), verbosity=0)
        assert json.loads(fixture.read_text())[0]["fields"]["user"] == row.user_id
        ThanksIOConnection.objects.all().delete()
        call_command("loaddata", str(fixture), verbosity=0)
        assert stored() == (*TOKENS, 1)

    def test_lookups_of_tokens_are_refused(self) -> None:
        connect()
        with pytest.raises(FieldError, match="encrypted"):
            ThanksIOConnection.objects.filter(access_token=TOKENS[0])
        assert ThanksIOConnection.objects.filter(access_token__isnull=False).count() == 1
