"""What happened is written down: each transition once, after the tokens, and never in their way."""

from __future__ import annotations

import contextlib
import logging
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection as database_connection
from django.db import transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tests.integration.refresh.databases import KIND
from tests.integration.refresh.pairs import HostError, assert_live, fresh
from tests.integration.refresh.states import every_state, raises, servers_only
from tests.integration.refresh.test_rollback_guard import Proxy
from thanksio_connect.client.tokens import TokenSet
from thanksio_connect.exceptions import ThanksIOError
from thanksio_connect.models import ConnectionEvent, ConnectionTokens, ThanksIOConnection


def events(user_id):
    return list(ConnectionEvent.objects.filter(user_id=user_id).order_by("at", "pk").values_list("kind", "code"))


def renew(row):
    with contextlib.suppress(ThanksIOError):
        row.refresh(force=True)


@pytest.fixture
def row(connected):
    """A connection whose timeline begins now."""
    made = connected()
    ConnectionEvent.objects.all().delete()
    return made


@contextlib.contextmanager
def without_the_table():
    with database_connection.cursor() as cursor:
        cursor.execute("ALTER TABLE thanksio_connect_connectionevent RENAME TO hidden_events")
    try:
        yield
    finally:
        with database_connection.cursor() as cursor:
            cursor.execute("ALTER TABLE hidden_events RENAME TO thanksio_connect_connectionevent")


def test_a_connection_from_its_first_day_to_its_last(thanksio, connected):
    row = connected()
    renew(row)
    thanksio.next_token(status=500, times=2)
    renew(row)
    renew(row)
    renew(row)
    thanksio.revoke(thanksio.grant_of(row.get_access_token()))
    renew(row)
    renew(row)
    ThanksIOConnection.objects.connect(row.user, {"access_token": "a", "refresh_token": "r", "token_type": "Bearer"})
    fresh(row).disconnect()
    assert events(row.user_id) == [
        ("connected", ""),
        ("failing", "server_error"),
        ("recovered", "server_error"),
        ("reconnect_required", "invalid_grant"),
        ("reconnected", ""),
        ("disconnected", ""),
    ]
    User.objects.get(pk=row.user_id).delete()
    assert not ConnectionEvent.objects.exists()


def test_another_account(row):
    pair = TokenSet.from_response({"access_token": "a", "refresh_token": "r", "token_type": "Bearer"})
    for account in ("first", "first", "second"):
        ThanksIOConnection.objects.connect(row.user, pair, thanksio_user_id=account)
    assert [kind for kind, _code in events(row.user_id)] == ["account_changed", "reconnected", "account_changed"]


def test_a_key_that_does_not_fit_begins_a_failing_period(row, settings):
    right, settings.FIELD_ENCRYPTION_KEY = settings.FIELD_ENCRYPTION_KEY, "MDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDA="
    renew(row)
    renew(row)
    settings.FIELD_ENCRYPTION_KEY = right
    renew(row)
    assert events(row.user_id) == [("failing", "undecryptable"), ("recovered", "undecryptable")]


def test_a_renewal_that_goes_well_asks_the_database_no_more_than_before(row):
    renew(row)
    with CaptureQueriesContext(
        database_connection,
    ) as queries:
        renew(row)
    assert not [query["sql"] for query in queries if "event" in query["sql"]]
    assert len([query for query in queries if "PRAGMA" not in query["sql"]]) == {"mariadb": 3}.get(KIND, 2)
    assert events(row.user_id) == []


def test_the_newest_are_kept(row, monkeypatch):
    monkeypatch.setattr("thanksio_connect.history.events.KEPT", 3)
    for _number in range(5):
        ThanksIOConnection.objects.connect(row.user, {"access_token": "a", "refresh_token": "r"})
    other = User.objects.create(username="other")
    ThanksIOConnection.objects.connect(other, {"access_token": "b", "refresh_token": "s"})
    assert [len(events(user)) for user in (row.user_id, other.pk)] == [3, 1]


def test_a_table_that_is_missing_costs_nobody_anything(thanksio, row, caplog):
    with without_the_table():
        thanksio.next_token(status=500)
        renew(row)
        renew(row)
        assert_live(thanksio, row)
        ThanksIOConnection.objects.connect(row.user, {"access_token": "a", "refresh_token": "r"})
        fresh(row).disconnect()
    told = [each.thanksio_code for each in caplog.records if getattr(each, "thanksio_event", "") == "event.not_written"]
    assert told == ["failing", "recovered", "reconnected", "disconnected"]


@every_state
def test_a_callers_transaction_goes_on_where_no_event_can_be_written(thanksio, row, state):
    thanksio.next_token(status=500)
    renew(row)
    with without_the_table(), transaction.atomic():
        mine = fresh(row)
        state(mine)
        renew(mine)
        User.objects.create(username="written afterwards")
    assert User.objects.filter(username="written afterwards").exists()
    assert_live(thanksio, row)


@servers_only
@every_state
def test_the_event_stands_as_the_pair_does_when_the_caller_rolls_back(thanksio, row, state):
    thanksio.next_token(status=500)
    renew(row)

    def use():
        mine = fresh(row)
        state(mine)
        User.objects.select_for_update().get(pk=row.user_id)  # the user's row, too
        began = timezone.now()
        renew(mine)
        assert timezone.now() - began < timedelta(seconds=2)

    with pytest.raises(HostError):
        raises(use)
    assert_live(thanksio, row)
    assert events(row.user_id) == [("failing", "server_error"), ("recovered", "server_error")]


def test_a_disconnect_that_is_rolled_back_did_not_happen(row):
    with pytest.raises(HostError):
        raises(fresh(row).disconnect)
    assert events(row.user_id) == []


def test_a_disconnect_on_the_way_to_the_users_end_leaves_nothing_behind(row):
    user = User.objects.get(pk=row.user_id)
    with transaction.atomic():
        fresh(row).disconnect()
        ThanksIOConnection.objects.connect(user, {"access_token": "a", "refresh_token": "r"})
        user.delete()
    assert not ConnectionEvent.objects.exists()


def test_a_connection_that_fails_in_the_transaction_of_its_birth(thanksio, database):
    with transaction.atomic():
        row = thanksio.connect(User.objects.create(username="new"), expires_in=-1)
        thanksio.next_token(status=500)
        renew(row)
        renew(row)
    assert_live(thanksio, row)
    assert events(row.user_id) == [("connected", ""), ("failing", "server_error"), ("recovered", "server_error")]


def test_a_proxy_and_a_deferred_connection_have_the_same_timeline(thanksio, row):
    thanksio.next_token(status=500)
    renew(Proxy.objects.get(pk=row.pk))
    renew(ThanksIOConnection.objects.only("thanksio_user_id").get(pk=row.pk))
    thanksio.next_token(status=500)
    renew_tokens = ConnectionTokens.objects.get(connection_id=row.pk)
    with contextlib.suppress(ThanksIOError):
        renew_tokens_now(renew_tokens)
    assert [kind for kind, _code in events(row.user_id)] == ["failing", "recovered", "failing"]


def renew_tokens_now(tokens):
    from thanksio_connect.refresh import doors

    doors.renew(tokens, force=True)


def test_the_log_has_a_record_for_each_transition_and_none_at_warning_while_all_is_well(thanksio, connected, caplog):
    caplog.set_level(logging.INFO, logger="thanksio_connect")
    row = connected()
    renew(row)
    fresh(row).disconnect()
    assert [record.thanksio_event for record in caplog.records if record.levelno >= logging.WARNING] == []
    row = connected()
    caplog.clear()
    thanksio.next_token(status=500)
    renew(row)
    renew(row)
    thanksio.revoke(thanksio.grant_of(row.get_access_token()))
    renew(row)
    found = [(each.thanksio_event, each.levelname, each.thanksio_code) for each in caplog.records]
    assert found == [
        ("connection.failing", "WARNING", "server_error"),
        ("renewal.failed", "INFO", "server_error"),
        ("connection.recovered", "INFO", "server_error"),
        ("connection.reconnect_required", "WARNING", "invalid_grant"),
    ]
    assert {(each.thanksio_user_id, each.thanksio_connection_id) for each in caplog.records} == {(row.user_id, row.pk)}
