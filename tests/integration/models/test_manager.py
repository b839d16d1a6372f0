"""Finding connections by their state, and creating or replacing one."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db import DatabaseError, transaction

from tests.integration.browsing import make_user
from tests.integration.stored import HOUR, TOKENS, connect, revealed, stored
from thanksio_connect import signals
from thanksio_connect.client.tokens import TokenSet
from thanksio_connect.exceptions import InvalidTokenResponse, NotConnected, ThanksIOConfigurationError
from thanksio_connect.fields import utc_now
from thanksio_connect.models import ConnectionTokens, ThanksIOConnection

pytestmark = pytest.mark.django_db


def names(rows: Any) -> list[str]:
    return sorted(row.user.username for row in rows)


class TestFinding:
    """By user and by state, with the tokens."""

    def test_for_user(self, django_assert_num_queries: Any) -> None:
        row = connect()
        user = row.user
        with django_assert_num_queries(1):
            found = ThanksIOConnection.objects.for_user(user)
            assert (found, found.tokens, found.is_connected) == (row, row.tokens, True)
        for other in (make_user("bob"), AnonymousUser(), type(row.user)()):
            with pytest.raises(NotConnected):
                ThanksIOConnection.objects.for_user(other)

    def test_by_state(self, django_assert_num_queries: Any) -> None:
        for name in ("works", "due", "dead"):
            connect(name)
        ThanksIOConnection.objects.create(user=make_user("empty"))
        tokens = ConnectionTokens._base_manager
        tokens.filter(connection__user__username="due").update(next_refresh_at=utc_now() - HOUR)
        tokens.filter(connection__user__username="dead").update(
            status="reconnect_required", next_refresh_at=utc_now() - HOUR
        )
        objects = ThanksIOConnection.objects
        assert names(objects.connected()) == ["due", "works"]
        assert names(objects.needing_reconnect()) == ["dead", "empty"]
        assert names(objects.due()) == ["due"]
        assert names(objects.filter(user__username__in=["due", "dead"]).connected()) == ["due"]
        with django_assert_num_queries(1):
            assert all(row.is_connected for row in objects.connected())
        with django_assert_num_queries(1):
            assert all(row.needs_reconnect for row in objects.needing_reconnect())


class TestConnect:
    """Create or replace."""

    def test_a_token_response_will_do(self) -> None:
        made = ThanksIOConnection.objects.connect(make_user(), {"access_token": "a", "refresh_token": "r"})
        assert (*revealed(made.tokens), made.expires_at) == ("a", "r", 1, None)

    def test_without_a_refresh_token(self) -> None:
        made = ThanksIOConnection.objects.connect(make_user(), {"access_token": "a"})
        assert (made.get_access_token(), made.tokens.refresh_token) == ("a", "")

    def test_what_is_no_token_response_changes_nothing(self) -> None:
        row = connect()
        with pytest.raises(InvalidTokenResponse):
            ThanksIOConnection.objects.connect(row.user, {"access_token": ""})
        assert stored() == (*TOKENS, 1)

    def test_tokens_of_any_length(self) -> None:
        long = "x" * 20_000
        ThanksIOConnection.objects.connect(make_user(), TokenSet(long, long))
        assert stored() == (long, long, 1)

    def test_a_reconnect_gives_the_grant_a_new_key_and_forgets_the_old_state(self) -> None:
        first = connect()
        ConnectionTokens._base_manager.update(
            status="reconnect_required",
            version=7,
            lease_id="x",
            lease_expires_at=utc_now(),
            outcome_unknown=True,
            failure_count=3,
            last_error_code="invalid_grant",
            last_failed_at=utc_now(),
            last_refreshed_at=utc_now(),
        )
        second = connect(number=2)
        assert second == first
        assert second.tokens.pk != first.tokens.pk
        [row] = ConnectionTokens.objects.values()
        assert {
            name: row[name] for name in ("status", "version", "lease_id", "lease_expires_at", "outcome_unknown")
        } == {
            "status": "connected",
            "version": 1,
            "lease_id": None,
            "lease_expires_at": None,
            "outcome_unknown": False,
        }
        assert [row[name] for name in ("failure_count", "last_error_code", "last_failed_at", "last_refreshed_at")] == [
            0,
            "",
            None,
            None,
        ]
        assert stored() == ("access-2", "refresh-2", 1)

    def test_an_account_that_is_not_known_leaves_the_earlier_one(self) -> None:
        row = connect()
        tokens = TokenSet("a", "r")
        objects = ThanksIOConnection.objects
        assert objects.connect(row.user, tokens, thanksio_user_id="one").thanksio_user_id == "one"
        assert objects.connect(row.user, tokens).thanksio_user_id == "one"
        assert objects.connect(row.user, tokens, thanksio_user_id=lambda: "two").thanksio_user_id == "two"
        assert ThanksIOConnection.objects.get().thanksio_user_id == "two"

    def test_its_signal(self, django_capture_on_commit_callbacks: Any) -> None:
        seen: list[Any] = []
        user = make_user()

        def receive(sender: Any, connection: Any, created: bool, account_changed: bool | None, **kwargs: Any) -> None:
            seen.append((sender, connection.is_connected, created, account_changed))

        signals.connected.connect(receive)
        try:
            for account in ("", "one", "one", "two"):
                with django_capture_on_commit_callbacks(execute=True):
                    ThanksIOConnection.objects.connect(user, TokenSet("a", "r"), thanksio_user_id=account)
        finally:
            signals.connected.disconnect(receive)
        assert [each[:2] for each in seen] == [(ThanksIOConnection, True)] * 4
        assert [each[2:] for each in seen] == [(True, None), (False, None), (False, False), (False, True)]

    def test_in_the_callers_transaction_it_is_part_of_that(self) -> None:
        user = make_user()
        with pytest.raises(RuntimeError), transaction.atomic():  # noqa: PT012
            ThanksIOConnection.objects.connect(user, TokenSet("a", "r"))
            raise RuntimeError
        assert not ConnectionTokens.objects.exists()

    def test_without_a_key_nothing_is_stored(self, settings: Any) -> None:
        settings.FIELD_ENCRYPTION_KEY = None
        with pytest.raises(ThanksIOConfigurationError, match="FIELD_ENCRYPTION_KEY is missing"), transaction.atomic():
            ThanksIOConnection.objects.connect(make_user(), TokenSet("a", "r"))
        assert not ConnectionTokens.objects.exists()

    def test_tokens_that_cannot_be_stored_are_told_of(
        self, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        user = make_user()
        monkeypatch.setattr(ConnectionTokens._meta.get_field("scope"), "column", "a_column_of_the_next_release")
        with pytest.raises(DatabaseError), transaction.atomic():
            ThanksIOConnection.objects.connect(user, TokenSet("a-token", "r-token"))
        [record] = [record for record in caplog.records if record.levelno == logging.CRITICAL]
        assert "migrate" in record.getMessage()
        assert "-token" not in record.getMessage()
