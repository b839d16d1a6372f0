"""Whatever the ORM offers, no stale value overwrites tokens and no path shows or stores them wrongly."""

from __future__ import annotations

import copy
import io
import json
import pickle
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from cryptography.fernet import Fernet
from django.contrib.auth import get_user_model
from django.core import serializers
from django.core.exceptions import FieldError
from django.core.management import call_command
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.forms import modelform_factory
from django.forms.models import model_to_dict
from django.test import Client, override_settings
from django.utils import timezone

from tests.integration.browsing import make_user
from thanksio_connect.client.tokens import TokenSet
from thanksio_connect.exceptions import InvalidTokenResponse, NotConnected, TokenUndecryptable
from thanksio_connect.fields import EncryptedValue
from thanksio_connect.models import GUARDED_COLUMNS, ThanksIOConnection
from thanksio_connect.testing import FakeThanksIO

pytestmark = pytest.mark.django_db
TOKENS = ("access-1", "refresh-1")
HOUR = timedelta(hours=1)


def connect(name: str = "alice", number: int = 1) -> ThanksIOConnection:
    user = get_user_model().objects.filter(username=name).first() or make_user(name)
    tokens = TokenSet(f"access-{number}", f"refresh-{number}", expires_in=3600)
    return ThanksIOConnection.objects.connect(user, tokens)


def load() -> ThanksIOConnection:
    return ThanksIOConnection.objects.get()


def stored() -> tuple[str, str, int]:
    row = load()
    return row.access_token, row.refresh_token, row.version


def ciphertexts() -> tuple[str, str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT access_token, refresh_token FROM thanksio_connect_thanksioconnection")
        return cursor.fetchone()


def renew() -> None:
    """Somebody else stores a newer pair."""
    connect(number=2)


@pytest.fixture
def stale() -> ThanksIOConnection:
    """An instance that was loaded, and read, before a renewal."""
    connect()
    row = load()
    assert (row.access_token, row.refresh_token) == TOKENS
    renew()
    return row


NEWER = ("access-2", "refresh-2", 2)


class TestStaleWrites:
    """An old instance is written in every way that Django offers."""

    def test_save(self, stale: ThanksIOConnection) -> None:
        stale.save()
        assert stored() == NEWER

    def test_save_twice_and_full_clean(self, stale: ThanksIOConnection) -> None:
        stale.full_clean()
        stale.save()
        stale.save(force_update=True)
        assert stored() == NEWER

    @pytest.mark.parametrize("name", ["updated_at", "user", "user_id", "expires_at", "thanksio_user_id"])
    def test_save_update_fields(self, stale: ThanksIOConnection, name: str) -> None:
        before = load()
        stale.save(update_fields=[name])
        assert stored() == NEWER
        after = load()
        assert (after.expires_at, after.connected_at) == (before.expires_at, before.connected_at)

    @pytest.mark.parametrize("name", ["connected_at", "last_refreshed_at", "lease_expires_at"])
    def test_save_update_fields_of_datetimes_leaves_them_out(self, stale: ThanksIOConnection, name: str) -> None:
        before = getattr(load(), name)
        stale.save(update_fields=["updated_at", name])  # as update_or_create() does
        assert (getattr(load(), name), *stored()) == (before, *NEWER)
        setattr(stale, name, timezone.now() - HOUR)
        with pytest.raises(FieldError, match=name):
            stale.save(update_fields=["updated_at", name])

    @pytest.mark.parametrize(
        "name", sorted(GUARDED_COLUMNS - {"connected_at", "last_refreshed_at", "lease_expires_at"})
    )
    def test_save_update_fields_of_a_guarded_column_is_refused(self, stale: ThanksIOConnection, name: str) -> None:
        with pytest.raises(FieldError, match="written by the refresh engine"):
            stale.save(update_fields=["updated_at", name])
        assert stored() == NEWER

    def test_copies(self, stale: ThanksIOConnection) -> None:
        for twin in (copy.copy(stale), copy.deepcopy(stale), pickle.loads(pickle.dumps(stale))):
            twin.save()
            assert stored() == NEWER

    def test_a_copy_whose_original_was_renewed(self, stale: ThanksIOConnection) -> None:
        twin = copy.copy(stale)
        stale.refresh_from_db()
        twin.save()
        assert twin.access_token == "access-1"
        assert stored() == NEWER

    def test_select_for_update(self, stale: ThanksIOConnection) -> None:
        with transaction.atomic():
            locked = ThanksIOConnection.objects.select_for_update().get()
            stale.save()
            locked.save()
        assert stored() == NEWER

    def test_only_and_defer(self, stale: ThanksIOConnection) -> None:
        ThanksIOConnection.objects.only("user").get().save()
        ThanksIOConnection.objects.defer("access_token", "refresh_token").get().save()
        part = ThanksIOConnection.objects.only("access_token").get()
        renewed = connect(number=3)
        part.save()
        assert stored() == ("access-3", "refresh-3", renewed.version)

    def test_bulk_update_of_the_projects_columns(self, stale: ThanksIOConnection) -> None:
        stale.updated_at = timezone.now()
        ThanksIOConnection.objects.bulk_update([stale], ["updated_at"])
        assert stored() == NEWER

    def test_a_model_form(self, stale: ThanksIOConnection) -> None:
        form = modelform_factory(ThanksIOConnection, fields="__all__")({"user": stale.user_id}, instance=stale)
        assert set(form.fields) == {"user"}
        assert form.is_valid(), form.errors
        form.save()
        assert stored() == NEWER

    def test_loaddata_of_an_old_dump(self, tmp_path: Any) -> None:
        connect()
        fixture = tmp_path / "dump.json"
        call_command("dumpdata", "thanksio_connect.ThanksIOConnection", output=str(fixture), verbosity=0)
        renew()
        call_command("loaddata", str(fixture), verbosity=0)
        assert stored() == NEWER

    def test_deserialized_objects(self, stale: ThanksIOConnection) -> None:
        data = serializers.serialize("python", [stale])
        for each in serializers.deserialize("python", data):
            each.save()
        assert stored() == NEWER

    def test_a_new_instance_with_an_existing_key(self, stale: ThanksIOConnection) -> None:
        ThanksIOConnection(pk=stale.pk, user_id=stale.user_id, access_token="junk", created_at=stale.created_at).save()
        assert stored() == NEWER

    def test_a_row_that_is_gone_is_not_brought_back(self, stale: ThanksIOConnection) -> None:
        ThanksIOConnection.objects.get().disconnect()
        with pytest.raises(DatabaseError), transaction.atomic():
            stale.save()
        assert not ThanksIOConnection.objects.exists()

    def test_the_admin_page(self, stale: ThanksIOConnection) -> None:
        admin = get_user_model().objects.create_superuser("root", password="pw")
        client = Client()
        client.force_login(admin)
        url = f"/admin/thanksio_connect/thanksioconnection/{stale.pk}/change/"
        page = client.get(url)
        assert page.status_code == 200
        client.post(url, {"user": admin.pk, "access_token": "junk", "status": "reconnect_required"})
        assert stored() == NEWER


class TestAssignments:
    """What a project may set, and what it may not."""

    @pytest.mark.parametrize("name", ["access_token", "refresh_token", "scope", "status", "version", "token_type"])
    def test_a_guarded_column_is_refused(self, name: str) -> None:
        row = connect()
        row = load()
        setattr(row, name, {"version": 7, "status": "reconnect_required"}.get(name, "assigned"))
        with pytest.raises(FieldError, match=rf"{name}.*objects\.connect.*refresh\(\).*disconnect\(\)"):
            row.save()
        assert stored() == (*TOKENS, 1)

    def test_a_deferred_guarded_column_is_refused(self) -> None:
        connect()
        row = ThanksIOConnection.objects.only("user").get()
        row.access_token = "assigned"
        with pytest.raises(FieldError, match="access_token"):
            row.save()
        assert stored() == (*TOKENS, 1)

    @pytest.mark.parametrize("name", ["expires_at", "next_refresh_at", "thanksio_user_id"])
    def test_what_is_assignable_is_written_once_it_was_assigned(self, name: str) -> None:
        connect()
        row = load()
        value = "account-9" if name == "thanksio_user_id" else (timezone.now() - HOUR).replace(microsecond=0)
        setattr(row, name, value)
        row.save()
        assert getattr(load(), name) == value
        renew()
        row.save()  # not assigned since
        assert getattr(load(), name) != value or name == "thanksio_user_id"

    def test_assigning_the_same_value_is_no_assignment(self, stale: ThanksIOConnection) -> None:
        before = load().expires_at
        stale.expires_at = copy.deepcopy(stale.expires_at)
        stale.version = int("1")
        stale.save()
        assert load().expires_at == before


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


class TestReading:
    """Decryption is lazy, and instances are brought up to date whole."""

    @pytest.fixture
    def decryptions(self, monkeypatch: pytest.MonkeyPatch) -> list[EncryptedValue]:
        counted: list[EncryptedValue] = []
        original = EncryptedValue.decrypt

        def decrypt(value: EncryptedValue) -> str:
            counted.append(value)
            return original(value)

        monkeypatch.setattr(EncryptedValue, "decrypt", decrypt)
        return counted

    def test_listing_decrypts_nothing(self, decryptions: list[EncryptedValue]) -> None:
        for number in range(5):
            connect(f"user-{number}")
        decryptions.clear()
        client = Client()
        client.force_login(get_user_model().objects.create_superuser("root", password="pw"))
        assert client.get("/admin/thanksio_connect/thanksioconnection/").status_code == 200
        rows = list(ThanksIOConnection.objects.select_related("user"))
        for row in rows:
            row.refresh_from_db()
            row.full_clean()
            row.save()
            pickle.dumps(copy.deepcopy(row))
        list(ThanksIOConnection.objects.values())
        async_to_sync(self.iterate)()
        assert decryptions == []
        assert rows[0].access_token == "access-1"
        assert len(decryptions) == 1

    @staticmethod
    async def iterate() -> list[bool]:
        return [row.is_connected async for row in ThanksIOConnection.objects.all()]

    def test_asynchronous_reads(self) -> None:
        made = connect()

        async def read() -> list[str]:
            one = await ThanksIOConnection.objects.aget(pk=made.pk)
            await one.arefresh_from_db()
            many = [row async for row in ThanksIOConnection.objects.all()]
            return [one.access_token, await one.aget_access_token(), many[0].access_token]

        assert async_to_sync(read)() == [TOKENS[0]] * 3

    def test_refresh_from_db(self, stale: ThanksIOConnection) -> None:
        stale.refresh_from_db()
        assert (stale.access_token, stale.refresh_token, stale.version) == NEWER

    @pytest.mark.parametrize("names", [["access_token"], ["version", "user"], ["updated_at"], []])
    def test_refresh_from_db_of_some_fields(self, stale: ThanksIOConnection, names: list[str]) -> None:
        stale.refresh_from_db(fields=names)
        stale.save()
        assert stored() == NEWER

    def test_refresh_from_db_from_a_queryset(self, stale: ThanksIOConnection) -> None:
        stale.refresh_from_db(from_queryset=ThanksIOConnection.objects.select_for_update())
        assert (stale.access_token, stale.version) == ("access-2", 2)

    def test_refresh_from_db_of_a_row_that_is_gone(self, stale: ThanksIOConnection) -> None:
        ThanksIOConnection.objects.all().delete()
        with pytest.raises(ThanksIOConnection.DoesNotExist):
            stale.refresh_from_db()

    def test_deferred_tokens_are_loaded_when_they_are_read(self) -> None:
        connect()
        row = ThanksIOConnection.objects.only("user").get()
        assert row.get_deferred_fields() >= {"access_token", "version"}
        assert (row.access_token, row.refresh_token, row.get_access_token()) == (*TOKENS, TOKENS[0])

    def test_a_fresh_token_costs_no_query(self, django_assert_num_queries: Any) -> None:
        connect()
        row = load()
        with django_assert_num_queries(0):
            assert row.get_access_token() == row.get_access_token() == TOKENS[0]

    def test_for_user(self) -> None:
        row = connect()
        assert ThanksIOConnection.objects.for_user(row.user) == row
        with pytest.raises(NotConnected):
            ThanksIOConnection.objects.for_user(make_user("bob"))


class TestConnect:
    """Create or replace."""

    def test_a_token_response_will_do(self) -> None:
        made = ThanksIOConnection.objects.connect(make_user(), {"access_token": "a", "refresh_token": "r"})
        assert (made.access_token, made.refresh_token, made.expires_at) == ("a", "r", None)

    def test_what_is_no_token_response_changes_nothing(self) -> None:
        row = connect()
        with pytest.raises(InvalidTokenResponse):
            ThanksIOConnection.objects.connect(row.user, {"access_token": ""})
        assert stored() == (*TOKENS, 1)

    def test_tokens_of_any_length(self) -> None:
        long = "x" * 20_000
        ThanksIOConnection.objects.connect(make_user(), TokenSet(long, long))
        assert stored() == (long, long, 1)


class TestWrongKey:
    """The key was changed by mistake: nothing is sent, nothing is overwritten, and the right key heals."""

    def test_it_never_sends_ciphertext_and_heals(self) -> None:
        with FakeThanksIO() as thanksio, thanksio.override_settings():
            row = thanksio.connect(make_user(), expires_in=-1)
            before = ciphertexts()
            with override_settings(FIELD_ENCRYPTION_KEY=Fernet.generate_key().decode()):
                row = load()
                for _try in range(3):
                    with pytest.raises(TokenUndecryptable):
                        row.get_access_token()
                with pytest.raises(TokenUndecryptable):
                    row.refresh(force=True)
                with pytest.raises(TokenUndecryptable):
                    row.api.get("/mailing-lists/")
                row.full_clean()
                row.save()
                assert row.last_error_code == "undecryptable"
                assert row.is_connected
            assert ciphertexts() == before
            assert thanksio.count("refresh_token") == 0
            assert row.get_access_token() == load().access_token
            assert thanksio.count("refresh_token") == 1

    def test_a_living_token_is_not_shown_either(self) -> None:
        connect()
        with override_settings(FIELD_ENCRYPTION_KEY=Fernet.generate_key().decode()):
            row = load()
            with pytest.raises(TokenUndecryptable):
                row.get_access_token()
        assert row.get_access_token() == TOKENS[0]

    def test_a_new_grant_replaces_what_cannot_be_read(self) -> None:
        connect()
        with override_settings(FIELD_ENCRYPTION_KEY=Fernet.generate_key().decode()):
            renew()
            assert stored() == NEWER

    def test_rotation(self, settings: Any) -> None:
        old, new = settings.FIELD_ENCRYPTION_KEY, Fernet.generate_key().decode()
        connect()
        settings.FIELD_ENCRYPTION_KEY = [new, old]
        assert stored() == (*TOKENS, 1)
        renew()
        settings.FIELD_ENCRYPTION_KEY = new
        assert stored() == NEWER
