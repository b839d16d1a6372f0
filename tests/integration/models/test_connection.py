"""The project joins, locks, saves, copies and dumps its users' connections, and their tokens stay as they are."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from cryptography.fernet import Fernet
from django.contrib.auth import get_user_model
from django.core import serializers
from django.core.management import call_command
from django.db import models, transaction
from django.db.models import F, Max
from django.forms import modelform_factory
from django.test import Client, override_settings
from django.utils import timezone

from tests.integration.browsing import make_user
from tests.integration.stored import HOUR, NEWER, TOKENS, ciphertexts, connect, load, renew, revealed, stored
from thanksio_connect import signals
from thanksio_connect.exceptions import NotConnected, ReconnectRequired, TokenUndecryptable
from thanksio_connect.fields import LazySecret
from thanksio_connect.models import ConnectionTokens, ThanksIOConnection
from thanksio_connect.testing import FakeThanksIO

pytestmark = pytest.mark.django_db
WRONG_KEYS = [Fernet.generate_key().decode(), None, "short"]


class TestReading:
    """Decryption is lazy, and instances are brought up to date whole."""

    @pytest.fixture
    def decryptions(self, monkeypatch: pytest.MonkeyPatch) -> list[LazySecret]:
        counted: list[LazySecret] = []
        original = LazySecret.reveal

        def reveal(value: LazySecret) -> str:
            counted.append(value)
            return original(value)

        monkeypatch.setattr(LazySecret, "reveal", reveal)
        return counted

    def test_listing_decrypts_nothing(self, decryptions: list[LazySecret]) -> None:
        for number in range(5):
            connect(f"user-{number}")
        decryptions.clear()
        client = Client()
        client.force_login(get_user_model().objects.create_superuser("root", password="pw"))
        assert client.get("/admin/thanksio_connect/thanksioconnection/").status_code == 200
        rows = list(ThanksIOConnection.objects.select_related("user", "tokens"))
        for row in rows:
            row.refresh_from_db()
            row.full_clean()
            row.save()
            row.tokens.full_clean()
            row.tokens.save()
            pickle.dumps(copy.deepcopy(row))
        list(ConnectionTokens.objects.values())
        async_to_sync(self.iterate)()
        assert decryptions == []
        assert rows[0].get_access_token() == "access-1"
        assert len(decryptions) == 1

    @staticmethod
    async def iterate() -> list[bool]:
        return [row.is_connected async for row in ThanksIOConnection.objects.connected()]

    def test_asynchronous_reads(self) -> None:
        connect()

        async def read() -> list[str]:
            one = await ThanksIOConnection.objects.aget()
            await one.arefresh_from_db()
            many = [row async for row in ThanksIOConnection.objects.connected()]
            return [await one.aget_access_token(), many[0].tokens.access_token.reveal()]

        assert async_to_sync(read)() == [TOKENS[0]] * 2

    @pytest.mark.parametrize("queryset", [None, lambda: ThanksIOConnection.objects.select_for_update()])
    def test_refresh_from_db_reads_the_tokens_again(self, stale: ThanksIOConnection, queryset: Any) -> None:
        stale.refresh_from_db(from_queryset=queryset and queryset())
        assert revealed(stale.tokens) == NEWER

    def test_refresh_from_db_of_a_row_that_is_gone(self, stale: ThanksIOConnection) -> None:
        ThanksIOConnection.objects.all().delete()
        with pytest.raises(ThanksIOConnection.DoesNotExist):
            stale.refresh_from_db()

    def test_a_fresh_token_costs_the_query_that_finds_it(self, django_assert_num_queries: Any) -> None:
        user = connect().user
        with django_assert_num_queries(1):
            row = ThanksIOConnection.objects.for_user(user)
            assert row.get_access_token() == row.get_access_token() == TOKENS[0]
            assert row.is_connected

    def test_deferred_tokens_are_loaded_when_they_are_read(self) -> None:
        connect()
        tokens = ConnectionTokens.objects.only("status").get()
        assert tokens.get_deferred_fields() >= {"access_token", "version"}
        assert revealed(tokens) == (*TOKENS, 1)

    def test_moments_are_as_the_project_has_them(self, settings: Any) -> None:
        connect()
        aware = load().expires_at
        assert aware is not None
        assert aware.tzinfo is not None
        settings.USE_TZ = False
        naive = load().expires_at
        assert naive is not None
        assert naive.tzinfo is None
        assert timezone.make_aware(naive, timezone.get_default_timezone()) == aware


class TestWithoutTokens:
    """Made by hand, or half of a fixture: it needs its owner, and nothing fails over it."""

    def test_its_state(self) -> None:
        row = ThanksIOConnection.objects.create(user=make_user())
        for each in (row, load(), ThanksIOConnection.objects.get()):
            assert (each.status, each.is_connected, each.needs_reconnect) == ("reconnect_required", False, True)
            assert (each.expires_at, each.next_refresh_at, each.last_refreshed_at) == (None, None, None)
            assert each.last_error_code == "no_tokens"
            assert str(each)

    def test_an_unsaved_one(self) -> None:
        assert ThanksIOConnection(user=make_user()).needs_reconnect

    def test_whoever_wants_a_token_is_told(self) -> None:
        row = ThanksIOConnection.objects.create(user=make_user())
        for use in (row.get_access_token, row.refresh, lambda: row.api.get("/mailing-lists/")):
            with pytest.raises(ReconnectRequired):
                use()

    def test_it_is_disconnected(self) -> None:
        ThanksIOConnection.objects.create(user=make_user()).disconnect()
        assert not ThanksIOConnection.objects.exists()

    def test_connecting_gives_it_tokens(self) -> None:
        ThanksIOConnection.objects.create(user=make_user())
        assert connect().get_access_token() == TOKENS[0]


class TestWrites:
    """An old instance of the project's row is written in every way that Django offers."""

    def test_save(self, stale: ThanksIOConnection) -> None:
        stale.full_clean()
        stale.thanksio_user_id = "account-9"
        stale.save()
        stale.save(force_update=True)
        stale.save(update_fields=["updated_at", "user"])
        assert (*stored(), load().thanksio_user_id) == (*NEWER, "account-9")

    def test_copies(self, stale: ThanksIOConnection) -> None:
        for twin in (copy.copy(stale), copy.deepcopy(stale), pickle.loads(pickle.dumps(stale))):
            assert twin.tokens == stale.tokens
            twin.save()
            assert stored() == NEWER

    def test_a_pickle_holds_no_token(self, stale: ThanksIOConnection) -> None:
        assert stale.get_access_token()
        data = pickle.dumps(stale)
        assert not any(token.encode() in data for token in TOKENS)
        assert pickle.loads(data).get_access_token() == TOKENS[0]  # as old as it is

    def test_querysets(self, stale: ThanksIOConnection) -> None:
        rows = ThanksIOConnection.objects
        assert rows.update(connected_at=timezone.now() - HOUR) == 1
        stale.thanksio_user_id = "account-9"
        assert rows.bulk_update([stale], ["thanksio_user_id", "connected_at"]) == 1
        assert rows.update_or_create(user=stale.user, defaults={"thanksio_user_id": "account-8"}) == (stale, False)
        assert rows.get_or_create(user=stale.user) == (stale, False)
        rows.bulk_create(
            [ThanksIOConnection(user=stale.user, thanksio_user_id="account-7")],
            update_conflicts=True,
            update_fields=["thanksio_user_id"],
            **({"unique_fields": ["user"]} if transaction.get_connection().vendor != "mysql" else {}),
        )
        assert (*stored(), load().thanksio_user_id) == (*NEWER, "account-7")

    def test_annotations_and_aggregates(self, stale: ThanksIOConnection) -> None:
        rows = ThanksIOConnection.objects.annotate(token=F("tokens__access_token"), version=F("tokens__version"))
        [row] = rows.filter(version=2)
        assert row.token.reveal() == NEWER[0]
        assert NEWER[0] not in repr(row.__dict__)
        latest = ThanksIOConnection.objects.aggregate(at=Max("tokens__expires_at"))["at"]
        assert latest == load().expires_at
        by_status = ThanksIOConnection.objects.values("tokens__status").annotate(n=models.Count("pk"))
        assert list(by_status) == [{"tokens__status": "connected", "n": 1}]

    def test_locked(self, stale: ThanksIOConnection) -> None:
        with transaction.atomic():
            locked = ThanksIOConnection.objects.select_for_update().get()
            stale.save()
            locked.save()
        assert stored() == NEWER

    def test_a_model_form(self, stale: ThanksIOConnection) -> None:
        form = modelform_factory(ThanksIOConnection, fields="__all__")({"user": stale.user_id}, instance=stale)
        assert set(form.fields) == {"user"}
        assert form.is_valid(), form.errors
        form.save()
        assert stored() == NEWER

    def test_loaddata_of_the_connection_alone(self, tmp_path: Any, stale: ThanksIOConnection) -> None:
        fixture = tmp_path / "dump.json"
        call_command("dumpdata", "thanksio_connect.ThanksIOConnection", output=str(fixture), verbosity=0)
        call_command("loaddata", str(fixture), verbosity=0)
        assert stored() == NEWER
        for each in serializers.deserialize("python", serializers.serialize("python", [stale])):
            each.save()
        assert stored() == NEWER


class TestDisconnect:
    """With any key, also none."""

    @pytest.mark.parametrize("key", WRONG_KEYS)
    def test_no_key_is_needed(self, key: Any, settings: Any) -> None:
        connect()
        settings.FIELD_ENCRYPTION_KEY = key
        load().disconnect()
        assert not ConnectionTokens.objects.exists()

    @pytest.mark.parametrize("key", WRONG_KEYS)
    def test_nor_to_delete_the_user(self, key: Any, settings: Any) -> None:
        user = connect().user
        settings.FIELD_ENCRYPTION_KEY = key
        user.delete()
        assert not ConnectionTokens.objects.exists()

    def test_what_was_disconnected_has_no_token_any_more(self) -> None:
        connect()
        row = load()
        row.disconnect()
        with pytest.raises(NotConnected):
            row.get_access_token()

    def test_its_signal(self, django_capture_on_commit_callbacks: Any) -> None:
        row = connect()
        pk, seen = row.pk, []

        def receive(sender: Any, connection: Any, **kwargs: Any) -> None:
            seen.append((sender, connection.pk, connection.user_id))

        signals.disconnected.connect(receive)
        try:
            with django_capture_on_commit_callbacks(execute=True):
                row.disconnect()
                row.disconnect()
        finally:
            signals.disconnected.disconnect(receive)
        assert seen == [(ThanksIOConnection, pk, row.user_id)]


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
                row.tokens.full_clean()
                row.tokens.save()
                assert row.last_error_code == "undecryptable"
                assert row.is_connected
            assert ciphertexts() == before
            assert thanksio.count("refresh_token") == 0
            assert row.get_access_token() == load().get_access_token()
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
            connect(number=2)
            assert stored() == ("access-2", "refresh-2", 1)

    def test_rotation(self, settings: Any) -> None:
        old, new = settings.FIELD_ENCRYPTION_KEY, Fernet.generate_key().decode()
        connect()
        settings.FIELD_ENCRYPTION_KEY = f"{new},{old}"
        assert stored() == (*TOKENS, 1)
        renew()
        settings.FIELD_ENCRYPTION_KEY = new
        assert stored() == NEWER
