"""The failure table, row by row, over both dialects of league/oauth2-server.

Broken on purpose, these fail: a verdict by status code, an unusable 2xx that is stored, a failure that takes a living
token away, a read timeout without a deadline.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.test import override_settings
from django.utils import timezone

from tests.integration.refresh.pairs import access, assert_live, fresh, row, update
from thanksio_connect.client.transport import MIB
from thanksio_connect.exceptions import (
    InvalidTokenResponse,
    NotConnected,
    NotSent,
    OutcomeUnknown,
    ReconnectRequired,
    ThanksIOConfigurationError,
    Throttled,
    TokenUndecryptable,
)
from thanksio_connect.models import ThanksIOConnection
from thanksio_connect.testing import FakeThanksIO

PAIR = {"access_token": "new-access", "refresh_token": "new-refresh", "token_type": "Bearer", "expires_in": 3600}
MINUTE, HOUR = 60.0, 3600.0


@dataclass(frozen=True)
class Case:
    """``fault`` answers every token request. Then ``error`` is raised and the row shows the rest."""

    fault: dict[str, Any]
    error: type[Exception]
    code: str
    row_code: str | None = None  # if it is another than ``code``
    posts: int = 1
    status: str = "connected"
    failures: int = 1
    outcome_unknown: bool = False
    next_try: tuple[float, float] | None = field(default=(0.8 * MINUTE - 3, MINUTE))

    @property
    def last_error_code(self):
        return self.code if self.row_code is None else self.row_code


def untouched(fault, error, code, **more):
    return Case(fault, error, code, row_code=more.pop("row_code", ""), failures=0, next_try=None, **more)


def unusable(**answer):
    return Case({"status": 200, **answer}, InvalidTokenResponse, "invalid_token_response", outcome_unknown=True)


def http_date(**later):
    return format_datetime(datetime.now(UTC) + timedelta(**later), usegmt=True)


CASES = {
    "dead grant": untouched(
        {"refuse": "invalid_grant"},
        ReconnectRequired,
        "invalid_grant",
        row_code="invalid_grant",
        status="reconnect_required",
    ),
    "refresh token expired": untouched(
        {"refuse": "refresh_expired"},
        ReconnectRequired,
        "invalid_grant",
        row_code="invalid_grant",
        status="reconnect_required",
    ),
    "wrong client secret": untouched({"refuse": "invalid_client"}, ThanksIOConfigurationError, "invalid_client"),
    "grant type not allowed": untouched(
        {"refuse": "unauthorized_client"}, ThanksIOConfigurationError, "unauthorized_client"
    ),
    "another client's token": Case({"refuse": "client_mismatch"}, ReconnectRequired, "other_client"),
    "their key or ours": Case(
        {"refuse": "undecryptable"}, TokenUndecryptable, "undecryptable", next_try=(HOUR - 5, HOUR)
    ),
    "connection lost": Case(
        {"lose_reply": "before"}, OutcomeUnknown, "outcome_unknown", posts=2, outcome_unknown=True
    ),
    "connection reset": Case(
        {"lose_reply": "before", "reset": True}, OutcomeUnknown, "outcome_unknown", posts=2, outcome_unknown=True
    ),
    "timeout": Case({"delay": 1.5}, OutcomeUnknown, "timeout", outcome_unknown=True),
    "drip": Case({"drip": "all", "drip_seconds": 0.05}, OutcomeUnknown, "timeout", outcome_unknown=True),
    "too large": Case(
        {"status": 200, "body": b" " * (MIB + 1)}, OutcomeUnknown, "too_large", outcome_unknown=True
    ),
    "server error": Case({"refuse": "server_error"}, OutcomeUnknown, "server_error", outcome_unknown=True),
    "bad gateway": Case({"status": 502, "body": "<html>"}, OutcomeUnknown, "server_error", outcome_unknown=True),
    "429": Case({"status": 429}, Throttled, "throttled", row_code="unavailable"),
    "503": Case(
        {"status": 503, "body": "<html>maintenance</html>"}, Throttled, "throttled", row_code="unavailable"
    ),
    "429 with seconds": Case({"status": 429, "retry_after": 600}, Throttled, "throttled", next_try=(595, 600)),
    "429 with days": Case({"status": 429, "retry_after": 90000}, Throttled, "throttled", next_try=(HOUR - 5, HOUR)),
    "503 with a date": Case(
        {"status": 503, "headers": {"Retry-After": http_date(hours=9)}},
        Throttled,
        "throttled",
        next_try=(HOUR - 5, HOUR),
    ),
    "503 with a past date": Case(
        {"status": 503, "headers": {"Retry-After": http_date(hours=-9)}}, Throttled, "throttled", next_try=(-5, 0)
    ),
    "503 with junk": Case(
        {"status": 503, "headers": {"Retry-After": "soon"}}, Throttled, "throttled", row_code="unavailable"
    ),
    "empty answer": unusable(body=b""),
    "HTML with 200": unusable(body="<html><body>Welcome to the hotel</body></html>"),
    "JSON list": unusable(body=[1]),
    "no access token": unusable(body={key: PAIR[key] for key in PAIR if key != "access_token"}),
    "empty access token": unusable(body=PAIR | {"access_token": ""}),
    "access token a number": unusable(body=PAIR | {"access_token": 7}),
    "access token with CR LF": unusable(body=PAIR | {"access_token": "a\r\nSet-Cookie: x"}),
    "access token with a blank": unusable(body=PAIR | {"access_token": "a b"}),
    "another token type": unusable(body=PAIR | {"token_type": "mac"}),
    "redirect": Case(
        {"status": 307, "headers": {"Location": "http://127.0.0.1:9/"}}, InvalidTokenResponse, "redirect",
        outcome_unknown=False,
    ),
    "proxy's 403": Case({"status": 403, "body": "<html>"}, InvalidTokenResponse, "http_403"),
    "proxy's 404": Case({"status": 404, "body": "<html>"}, InvalidTokenResponse, "http_404"),
    "401 that says nothing": Case({"status": 401, "body": ""}, InvalidTokenResponse, "http_401"),
    "400 that says something else": Case(
        {"status": 400, "body": {"error": "invalid_request", "hint": "Something else"}},
        InvalidTokenResponse,
        "invalid_request",
    ),
}  # fmt: skip
DIALECTS = ["league8", "league9"]  # how thanks.io's OAuth library words a refusal, and nothing else


@pytest.fixture
def thanksio(database, monkeypatch, request):
    dialect = getattr(request, "param", DIALECTS[1])
    monkeypatch.setattr("thanksio_connect.refresh.places.Place.second_look_seconds", 0.01)
    with (
        FakeThanksIO(dialect=dialect) as fake,
        fake.override_settings(THANKSIO_CONNECT_TIMEOUT_SECONDS=0.3, THANKSIO_READ_TIMEOUT_SECONDS=0.7),
    ):
        yield fake


CASES_BY_DIALECT = [
    pytest.param(dialect, name, id=f"{name}-{dialect}")
    for name, case in CASES.items()
    for dialect in (DIALECTS if "refuse" in case.fault else DIALECTS[1:])
]


@pytest.mark.parametrize(("thanksio", "name"), CASES_BY_DIALECT, indirect=["thanksio"])
@pytest.mark.parametrize("how", ["expired", "refresh", "living"])
def test_failure_table(thanksio, connected, name, how):
    case = CASES[name]
    connection = connected(expires_in=3600 if how == "refresh" else -1)
    if how == "living":
        soon, long_ago = timezone.now() + timedelta(seconds=100), timezone.now() - timedelta(hours=1)
        update(connection, expires_at=soon, obtained_at=long_ago)
    before, due = row(connection), connection.next_refresh_at
    thanksio.next_token(**case.fault, times=None)
    started = time.monotonic()
    if how == "living":
        assert connection.get_access_token() == before["access_token"]
    else:
        with pytest.raises(case.error) as caught:
            connection.get_access_token() if how == "expired" else connection.refresh()
        assert (type(caught.value), caught.value.code) == (case.error, case.code)
    assert time.monotonic() - started < 5
    expected = before | {
        "status": case.status,
        "last_error_code": case.last_error_code,
        "failure_count": case.failures,
        "outcome_unknown": case.outcome_unknown,
    }
    assert row(connection) == expected
    assert (connection.status, connection.last_error_code) == (case.status, case.last_error_code)  # the instance, too
    assert thanksio.count("refresh_token") == case.posts
    next_refresh_at = fresh(connection).next_refresh_at
    if case.next_try is None:
        assert next_refresh_at == due
    else:
        low, high = case.next_try
        assert low <= (next_refresh_at - timezone.now()).total_seconds() <= high
    if how == "living":  # and the backoff is kept: a page that asks again costs no request
        assert connection.get_access_token() == before["access_token"]
        if case.failures and case.next_try[1] > 0:
            assert thanksio.count("refresh_token") == case.posts


@pytest.mark.parametrize("how", ["down", "tls"])
def test_not_sent_at_all(thanksio, connected, how, settings):
    connection = connected()
    before = row(connection)
    if how == "tls":
        settings.THANKSIO_TOKEN_URL = thanksio.token_url.replace("http://", "https://")
        with pytest.raises(NotSent):
            connection.get_access_token()
    else:
        with thanksio.down(), pytest.raises(NotSent):
            connection.get_access_token()
    assert row(connection) == before | {"last_error_code": "not_sent", "failure_count": 1}
    if how == "down":
        connection.refresh(force=True)
        assert_live(thanksio, connection)


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        ({"omit": ["expires_in"]}, 3600),  # the JWT says it
        ({"reply": {"expires_in": "3600"}}, 3600),
        ({"reply": {"expires_in": 0}}, 3600),
        ({"reply": {"expires_in": -5}}, 3600),
        ({"reply": {"expires_in": None}}, 3600),
        ({"reply": {"expires_in": True}}, 3600),
        ({"reply": {"expires_in": 10**30}}, 3600),
        ({"reply": {"expires_in": "tomorrow"}}, 3600),
        ({"reply": {"expires_in": [3600]}}, 3600),
        ({"reply": {"expires_in": -5}, "token_length": 6000}, None),
        ({"omit": ["expires_in", "token_type"]}, 3600),
    ],
    ids=str,
)
def test_a_good_pair_with_a_bad_lifetime_is_stored(thanksio, connected, answer, seconds):
    connection = connected()
    thanksio.next_token(**answer)
    token = connection.get_access_token()
    assert token == assert_live(thanksio, connection)
    assert connection.get_access_token() == token  # never a refresh on every call
    assert thanksio.count("refresh_token") == 1
    if seconds is None:
        assert connection.expires_at is None
    else:
        assert abs((connection.expires_at - timezone.now()).total_seconds() - seconds) < 10


def test_without_a_new_refresh_token_the_old_one_stays(thanksio, connected):
    connection = connected()
    old = row(connection)["refresh_token"]
    thanksio.next_token(omit=["refresh_token"])
    token = connection.get_access_token()
    assert (row(connection)["access_token"], row(connection)["refresh_token"]) == (token, old)
    connection.refresh()
    assert thanksio.is_live(access(connection))


def test_no_refresh_token_at_all(thanksio, connected):
    connection = connected(with_refresh_token=False)
    with pytest.raises(ReconnectRequired):
        connection.get_access_token()
    assert row(connection)["status"] == "reconnect_required"
    assert thanksio.count("refresh_token") == 0


@pytest.mark.parametrize("lost", [{"lose_reply": "after"}, {"lose_reply": "midway"}, {"delay_reply": 1.5}], ids=str)
def test_a_dead_grant_after_an_unknown_outcome_is_a_lost_reply(thanksio, connected, lost):
    connection = connected()
    thanksio.next_token(**lost)
    error = OutcomeUnknown if "delay_reply" in lost else ReconnectRequired
    with pytest.raises(error):
        connection.get_access_token()
    if error is OutcomeUnknown:
        assert (row(connection)["status"], row(connection)["outcome_unknown"]) == ("connected", True)
        with pytest.raises(ReconnectRequired) as caught:
            connection.refresh(force=True)
        assert caught.value.code == "lost_reply"
    assert (row(connection)["status"], row(connection)["last_error_code"]) == ("reconnect_required", "lost_reply")


def test_a_lost_request_is_sent_once_more_and_succeeds(thanksio, connected):
    connection = connected()
    thanksio.next_token(lose_reply="before")
    assert connection.get_access_token() == assert_live(thanksio, connection)
    assert thanksio.count("refresh_token") == 2


def test_backoff_doubles_to_six_hours_and_a_success_ends_it(thanksio, connected):
    connection = connected(expires_in=3600)
    fault = thanksio.next_token(refuse="server_error", times=None)
    waits = []
    for _failure in range(12):
        with pytest.raises(OutcomeUnknown):
            connection.refresh()
        waits.append((connection.next_refresh_at - timezone.now()).total_seconds())
        long_ago = timezone.now() - timedelta(minutes=1)
        update(connection, next_refresh_at=long_ago, last_failed_at=long_ago)
    for number, wait in enumerate(waits):
        full = min(60 * 2**number, 6 * 3600)
        assert 0.79 * full - 1 <= wait <= full
    fault.times = fault.used
    thanksio.faults.clear()
    connection.refresh()
    assert_live(thanksio, connection)


def test_while_a_backoff_lasts_the_failure_is_told_and_asked_for_once_in_five_seconds(thanksio, connected):
    connection = connected()
    thanksio.next_token(refuse="server_error", times=None)
    for _call in range(5):
        with pytest.raises(OutcomeUnknown):
            fresh(connection).get_access_token()
    assert thanksio.count("refresh_token") == 1
    first = fresh(connection)
    update(connection, last_failed_at=timezone.now() - timedelta(seconds=6))
    for _call in range(5):
        with pytest.raises(OutcomeUnknown):
            fresh(connection).get_access_token()
    assert thanksio.count("refresh_token") == 2
    later = fresh(connection)
    assert (later.next_refresh_at, later.tokens.failure_count) == (first.next_refresh_at, 1)


def test_throttled_is_not_asked_again_before_its_time_unless_forced(thanksio, connected):
    connection = connected()
    thanksio.next_token(status=429, retry_after=120)
    for _time in range(3):
        with pytest.raises(Throttled) as caught:
            connection.get_access_token()
        assert 100 < caught.value.retry_after <= 120
    assert thanksio.count("refresh_token") == 1
    connection.refresh(force=True)
    assert_live(thanksio, connection)


def test_a_verdict_is_not_tried_again_unless_forced_and_heals_by_force(thanksio, connected):
    connection = connected()
    thanksio.next_token(refuse="invalid_grant")
    for _time in range(3):
        with pytest.raises(ReconnectRequired):
            connection.get_access_token()
    assert thanksio.count("refresh_token") == 1
    connection.refresh(force=True)
    assert_live(thanksio, connection)


def test_a_removed_row_is_not_connected(thanksio, connected):
    connection = connected()
    ThanksIOConnection.objects.filter(pk=connection.pk).delete()
    with pytest.raises(NotConnected):
        connection.get_access_token()
    assert thanksio.count("refresh_token") == 0


def test_with_a_wrong_key_nothing_is_sent_and_nothing_overwritten(thanksio, connected, settings):
    connection = connected()
    before = row(connection)
    with override_settings(FIELD_ENCRYPTION_KEY=Fernet.generate_key().decode()), pytest.raises(TokenUndecryptable):
        fresh(connection).get_access_token()
    assert thanksio.count("refresh_token") == 0
    assert row(connection) == before | {"last_error_code": "undecryptable"}
    assert abs((fresh(connection).next_refresh_at - timezone.now()).total_seconds() - 3600) < 10
    assert fresh(connection).get_access_token() == assert_live(thanksio, connection)  # put right at once


def test_with_keys_that_rotate_the_pair_is_stored_under_the_newest(thanksio, connected, settings):
    connection = connected()
    old, new = settings.FIELD_ENCRYPTION_KEY, Fernet.generate_key().decode()
    settings.FIELD_ENCRYPTION_KEY = f"{new},{old}"
    token = fresh(connection).get_access_token()
    settings.FIELD_ENCRYPTION_KEY = new
    assert token == assert_live(thanksio, fresh(connection))
