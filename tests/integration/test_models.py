"""Reading is lazy and whole, connecting replaces, and a wrong key harms nothing."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from cryptography.fernet import Fernet
from django.contrib.auth import get_user_model
from django.test import Client, override_settings

from tests.integration.browsing import make_user
from tests.integration.stored import NEWER, TOKENS, ciphertexts, connect, load, renew, stored
from thanksio_connect.client.tokens import TokenSet
from thanksio_connect.exceptions import InvalidTokenResponse, NotConnected, TokenUndecryptable
from thanksio_connect.fields import EncryptedValue
from thanksio_connect.models import ThanksIOConnection
from thanksio_connect.testing import FakeThanksIO

pytestmark = pytest.mark.django_db


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
