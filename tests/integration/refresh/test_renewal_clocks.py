"""Clocks that stand still, and an hour that comes twice: no loop waits for ever, no token is renewed ten times.

Broken on purpose, these fail: a loop that ends by the clock alone, a moment that is stored in the project's time zone.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from django.test import override_settings
from freezegun import freeze_time

from tests.integration.browsing import Browser
from tests.integration.refresh.clocks import frozen
from tests.integration.refresh.databases import TOKEN_TABLE
from tests.integration.refresh.pairs import access, assert_live, fresh, row
from tests.integration.refresh.states import servers_only
from thanksio_connect.database import facts
from thanksio_connect.exceptions import OutcomeUnknown, ReconnectRequired, RefreshInProgress
from thanksio_connect.models import ThanksIOConnection
from thanksio_connect.refresh import renewal

every_clock = pytest.mark.parametrize("clock", ["freezegun", "time_machine"])


def lease_of_another():
    ends = facts.later(connection, 60)
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {TOKEN_TABLE} SET lease_id = 'of another', lease_expires_at = {ends.sql}", [*ends.parameters]
        )


@pytest.fixture
def short(settings, monkeypatch):
    settings.THANKSIO_CONNECT_TIMEOUT_SECONDS, settings.THANKSIO_READ_TIMEOUT_SECONDS = 0.1, 0.2
    monkeypatch.setattr(renewal, "PATIENCE_MARGIN_SECONDS", 0.1)


@every_clock
@pytest.mark.parametrize("inside", [False, True], ids=["autocommit", "transaction"])
def test_a_waiter_gives_up_by_count(thanksio, connected, short, clock, inside):
    held = connected()
    lease_of_another()
    started = time.monotonic()
    with frozen(clock):
        if inside:
            with transaction.atomic(), pytest.raises(RefreshInProgress):
                held.get_access_token()
        else:
            with pytest.raises(RefreshInProgress):
                held.get_access_token()
    assert time.monotonic() - started < 10
    assert thanksio.count("refresh_token") == 0


@every_clock
def test_a_renewal_succeeds(thanksio, connected, clock):
    held = connected()
    with frozen(clock):
        token = held.get_access_token()
    assert token == assert_live(thanksio, held)


@every_clock
def test_second_looks_end(thanksio, connected, clock, monkeypatch):
    monkeypatch.setattr("thanksio_connect.refresh.places.Place.second_look_seconds", 0.05)
    held = connected()
    thanksio.revoke(access(held))
    with frozen(clock), pytest.raises(ReconnectRequired):
        held.get_access_token()
    assert row(held)["status"] == "reconnect_required"


@every_clock
def test_the_command_keeps_its_pace(thanksio, connected, clock):
    held = [connected() for _number in range(3)]
    with frozen(clock):
        call_command("refresh_thanksio_tokens", all=True, rate=600.0, verbosity=0)
    assert [row(each)["version"] for each in held] == [2, 2, 2]


@every_clock
def test_a_callback_that_finds_its_code_used_waits_by_no_clock(thanksio, connected, clock):
    held = connected()
    browser = Browser()
    browser.force_login(held.user)
    callback = browser.allow(thanksio)
    browser.get(callback)
    ThanksIOConnection.objects.all().delete()
    started = time.monotonic()
    with frozen(clock):
        answer = browser.get(callback)
    assert answer.status_code == 200  # a page that comes back by itself, a few times
    assert time.monotonic() - started < 10


# The hour that comes twice, and the one that is missing: on 1 November 2026 New York's clocks go back from 2:00 to 1:00


FALL_BACK = datetime(2026, 11, 1, 5, 0, tzinfo=UTC)  # 1:00 in the morning, for the first time
SPRING_FORWARD = datetime(2026, 3, 8, 7, 0, tzinfo=UTC)  # 2:00, which is 3:00
ZONES = [(False, "America/New_York"), (True, "America/New_York"), (False, "UTC")]


@pytest.mark.parametrize("change", [FALL_BACK, SPRING_FORWARD], ids=["twice", "missing"])
@pytest.mark.parametrize(("use_tz", "zone"), ZONES, ids=str)
def test_through_such_an_hour_a_token_is_renewed_once_an_hour(thanksio, connected, use_tz, zone, change):
    """Asked every five minutes for three hours; a token lives an hour."""
    with override_settings(USE_TZ=use_tz, TIME_ZONE=zone):
        with frozen("time_machine", change - timedelta(minutes=31)):
            held = connected(expires_in=3600)
        for minutes in range(-30, 150, 5):
            with frozen("time_machine", change + timedelta(minutes=minutes)):
                token = fresh(held).get_access_token()
                assert thanksio.is_live(token)
                assert fresh(held).is_connected
    assert 3 <= thanksio.count("refresh_token") <= 4


@servers_only
def test_a_token_of_that_hour_expires_when_it_does_whatever_the_sessions_zone(thanksio, connected, database):
    zone = "SET TIME ZONE 'America/New_York'" if connection.vendor == "postgresql" else "SET time_zone = '-05:00'"
    with override_settings(USE_TZ=False, TIME_ZONE="America/New_York"):
        with connection.cursor() as cursor:
            cursor.execute(zone)
        with frozen("time_machine", FALL_BACK + timedelta(minutes=30)):
            held = connected(expires_in=3600)
        assert fresh(held).tokens.expires_at == FALL_BACK + timedelta(minutes=90)
        with frozen("time_machine", FALL_BACK + timedelta(minutes=91)):
            assert thanksio.is_live(fresh(held).get_access_token())
    connection.close()
    assert thanksio.count("refresh_token") == 1


# A clock that was ahead, and is set back


@contextmanager
def ahead(hours):
    """This machine's clock is ahead by so much inside the block, and set right at its end."""
    with freeze_time(datetime.now(UTC) + timedelta(hours=hours), tick=True):
        yield


@pytest.mark.parametrize("hours", [0.1, 2])
def test_a_token_that_was_renewed_while_the_clock_was_ahead_is_renewed_again_when_it_is_refused(
    thanksio, connected, hours
):
    held = connected()
    with ahead(hours):
        held.get_access_token()
    thanksio.expire_access_token(held)
    held = fresh(held)
    held.api.get("/mailing-lists/")
    assert thanksio.count("refresh_token") == 2
    assert_live(thanksio, held, version=3)


def test_a_failure_that_was_recorded_while_the_clock_was_ahead_is_not_told_until_then(thanksio, connected):
    held = connected()
    thanksio.next_token(status=500)
    with ahead(2), pytest.raises(OutcomeUnknown):
        held.get_access_token()
    held = fresh(held)
    assert held.get_access_token() == assert_live(thanksio, held)
