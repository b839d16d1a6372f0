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
from django.utils import timezone

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
    Unauthorized,
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
    "another client's token": untouched({"refuse": "client_mismatch"}, ThanksIOConfigurationError, "client_mismatch"),
    "their key or ours": Case({"refuse": "undecryptable"}, TokenUndecryptable, "undecryptable"),
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
DIALECTS = ["league8", "league9"]


@pytest.fixture(params=DIALECTS)
def dialect(request):
    return request.param


@pytest.fixture
def thanksio(database, dialect, monkeypatch):
    monkeypatch.setattr("thanksio_connect.refresh.place.Place.second_look_seconds", 0.01)
    with (
        FakeThanksIO(dialect=dialect) as fake,
        fake.override_settings(THANKSIO_CONNECT_TIMEOUT_SECONDS=0.3, THANKSIO_READ_TIMEOUT_SECONDS=0.7),
    ):
        yield fake


def state(row):
    stored = ThanksIOConnection.objects.get(pk=row.pk)
    return {
        "tokens": (stored.access_token, stored.refresh_token),
        "status": stored.status,
        "version": stored.version,
        "last_error_code": stored.last_error_code,
        "failures": stored.failure_count,
        "outcome_unknown": stored.outcome_unknown,
        "lease": stored.lease_id,
    }


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("how", ["expired", "refresh", "living"])
def test_failure_table(thanksio, connected, name, how):
    case = CASES[name]
    row = connected(expires_in=3600 if how == "refresh" else -1)
    if how == "living":
        soon, long_ago = timezone.now() + timedelta(seconds=100), timezone.now() - timedelta(hours=1)
        ThanksIOConnection._base_manager.filter(pk=row.pk).update(expires_at=soon, connected_at=long_ago)
        row.refresh_from_db()
    tokens, due = (row.access_token, row.refresh_token), row.next_refresh_at
    thanksio.next_token(**case.fault, times=None)
    started = time.monotonic()
    if how == "living":
        assert row.get_access_token() == tokens[0]
    else:
        with pytest.raises(case.error) as caught:
            row.get_access_token() if how == "expired" else row.refresh()
        assert (type(caught.value), caught.value.code) == (case.error, case.code)
    assert time.monotonic() - started < 5
    assert state(row) == {
        "tokens": tokens,
        "status": case.status,
        "version": 1,
        "last_error_code": case.last_error_code,
        "failures": case.failures,
        "outcome_unknown": case.outcome_unknown,
        "lease": None,
    }
    assert (row.status, row.last_error_code) == (case.status, case.last_error_code)  # the instance knows it, too
    assert thanksio.count("refresh_token") == case.posts
    stored = ThanksIOConnection.objects.get(pk=row.pk)
    if case.next_try is None:
        assert stored.next_refresh_at == due
    else:
        low, high = case.next_try
        assert low <= (stored.next_refresh_at - timezone.now()).total_seconds() <= high
    if how == "living":  # and the backoff is kept: a page that asks again costs no request
        assert row.get_access_token() == tokens[0]
        if case.failures and case.next_try[1] > 0:
            assert thanksio.count("refresh_token") == case.posts


@pytest.mark.parametrize("how", ["down", "tls"])
def test_not_sent_at_all(thanksio, connected, how, settings):
    row = connected()
    if how == "tls":
        settings.THANKSIO_TOKEN_URL = thanksio.token_url.replace("http://", "https://")
        with pytest.raises(NotSent):
            row.get_access_token()
    else:
        with thanksio.down(), pytest.raises(NotSent):
            row.get_access_token()
    assert {"last_error_code": "not_sent", "failures": 1, "outcome_unknown": False, "lease": None}.items() <= state(
        row
    ).items()
    if how == "down":
        assert thanksio.is_live(row.get_access_token())


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
    row = connected()
    thanksio.next_token(**answer)
    token = row.get_access_token()
    pair = thanksio.live_pair(thanksio.grant_of(token))
    assert state(row)["tokens"] == (token, pair.refresh_token)
    assert row.get_access_token() == token  # never a refresh on every call
    assert thanksio.count("refresh_token") == 1
    if seconds is None:
        assert row.expires_at is None
    else:
        assert abs((row.expires_at - timezone.now()).total_seconds() - seconds) < 10


@pytest.mark.parametrize("how", [{"omit": ["refresh_token"]}], ids=str)
def test_without_a_new_refresh_token_the_old_one_stays(thanksio, connected, how):
    row = connected()
    old = row.refresh_token
    thanksio.next_token(**how)
    token = row.get_access_token()
    assert state(row)["tokens"] == (token, old)
    row.refresh()
    assert thanksio.is_live(row.access_token)


def test_no_refresh_token_at_all(thanksio, connected):
    row = connected(with_refresh_token=False)
    with pytest.raises(ReconnectRequired):
        row.get_access_token()
    assert state(row)["status"] == "reconnect_required"
    assert thanksio.count("refresh_token") == 0


@pytest.mark.parametrize("lost", [{"lose_reply": "after"}, {"lose_reply": "midway"}, {"delay_reply": 1.5}], ids=str)
def test_a_dead_grant_after_an_unknown_outcome_is_a_lost_reply(thanksio, connected, lost):
    row = connected()
    thanksio.next_token(**lost)
    error = OutcomeUnknown if "delay_reply" in lost else ReconnectRequired
    with pytest.raises(error):
        row.get_access_token()
    if error is OutcomeUnknown:
        assert (state(row)["status"], state(row)["outcome_unknown"]) == ("connected", True)
        with pytest.raises(ReconnectRequired) as caught:
            row.get_access_token()
        assert caught.value.code == "lost_reply"
    assert (state(row)["status"], state(row)["last_error_code"]) == ("reconnect_required", "lost_reply")


def test_a_lost_request_is_sent_once_more_and_succeeds(thanksio, connected):
    row = connected()
    thanksio.next_token(lose_reply="before")
    assert thanksio.is_live(row.get_access_token())
    assert (state(row)["outcome_unknown"], state(row)["failures"]) == (False, 0)
    assert thanksio.count("refresh_token") == 2


def test_backoff_doubles_to_six_hours_and_a_success_ends_it(thanksio, connected):
    row = connected(expires_in=3600)
    fault = thanksio.next_token(refuse="server_error", times=None)
    waits = []
    for _failure in range(12):
        with pytest.raises(OutcomeUnknown):
            row.refresh(force=True)
        waits.append((row.next_refresh_at - timezone.now()).total_seconds())
    for number, wait in enumerate(waits):
        full = min(60 * 2**number, 6 * 3600)
        assert 0.79 * full - 1 <= wait <= full
    fault.times = fault.used
    thanksio.faults.clear()
    row.refresh()
    assert (row.failure_count, row.last_error_code, row.version) == (0, "", 2)


def test_throttled_is_not_asked_again_before_its_time_unless_forced(thanksio, connected):
    row = connected()
    thanksio.next_token(status=429, retry_after=120)
    for _time in range(3):
        with pytest.raises(Throttled) as caught:
            row.get_access_token()
        assert 100 < caught.value.retry_after <= 120
    assert thanksio.count("refresh_token") == 1
    row.refresh(force=True)
    assert thanksio.is_live(row.get_access_token())


def test_whoever_needs_a_token_does_not_wait_for_a_time_that_nobody_named(connected, thanksio):
    row = connected()
    thanksio.next_token(status=503)
    with pytest.raises(Throttled) as caught:
        row.get_access_token()
    assert caught.value.retry_after is None
    assert thanksio.is_live(row.get_access_token())


def test_a_verdict_is_not_tried_again_unless_forced_and_heals_by_force(thanksio, connected):
    row = connected()
    thanksio.next_token(refuse="invalid_grant")
    for _time in range(3):
        with pytest.raises(ReconnectRequired):
            row.get_access_token()
    assert thanksio.count("refresh_token") == 1
    row.refresh(force=True)
    assert (row.status, row.last_error_code) == ("connected", "")
    assert thanksio.is_live(row.get_access_token())


def test_a_removed_row_is_not_connected(thanksio, connected):
    row = connected()
    ThanksIOConnection.objects.filter(pk=row.pk).delete()
    with pytest.raises(NotConnected):
        row.get_access_token()
    assert thanksio.count("refresh_token") == 0


# 401s from the API


def test_a_refused_token_is_renewed_once_and_the_call_replayed_once(thanksio, connected):
    row = connected(expires_in=3600)
    thanksio.expire_access_token(row)
    row.api.get("/mailing-lists/")
    assert (thanksio.count("refresh_token"), len(thanksio.api_requests())) == (1, 2)


def test_an_ownership_401_spends_nothing(thanksio, connected):
    row = connected(expires_in=3600)
    thanksio.next_api(status=401, body={"status": "failed", "errors": ["Unauthorized"]}, times=None)
    with pytest.raises(Unauthorized):
        row.api.get("/mailing-lists/")
    assert (thanksio.count("refresh_token"), len(thanksio.api_requests())) == (0, 1)


def test_a_newer_token_in_the_row_is_used_instead_of_a_renewal(thanksio, connected):
    row = connected(expires_in=3600)
    old = ThanksIOConnection.objects.get(pk=row.pk)
    row.refresh()
    old.api.get("/mailing-lists/")
    assert (thanksio.count("refresh_token"), len(thanksio.api_requests())) == (1, 2)
    assert old.access_token == row.access_token


def test_an_api_that_always_says_unauthenticated_causes_no_storm(thanksio, connected):
    row = connected(expires_in=3600)
    thanksio.next_api(status=401, body={"message": "Unauthenticated."}, times=None)
    for _call in range(12):
        with pytest.raises(Unauthorized):
            ThanksIOConnection.objects.get(pk=row.pk).api.get("/mailing-lists/")
    assert thanksio.count("refresh_token") <= 4
    thanksio.faults.clear()
    row.refresh_from_db()
    row.api.get("/mailing-lists/")
    assert state(row)["status"] == "connected"
