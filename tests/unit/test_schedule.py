"""When tokens are renewed: pure functions, checked over whole ranges rather than at one moment."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.utils import timezone

from thanksio_connect.refresh import schedule
from thanksio_connect.refresh.token_row import Row

OBTAINED = datetime(2026, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def connection(*, age: timedelta = timedelta(0), left: timedelta | None = timedelta(hours=1), **more: Any) -> Any:
    """A token that is ``age`` old and has ``left`` of its lifetime (None: nobody knows)."""
    now = timezone.now()
    values = {
        "expires_at": None if left is None else now + left,
        "next_refresh_at": now + timedelta(days=1),
        "obtained_at": now - age,
        "failure_count": 0,
        "status": "connected",
    }
    return SimpleNamespace(**(values | more))


@pytest.mark.parametrize("lifetime", [timedelta(seconds=10), timedelta(hours=1), timedelta(days=365)])
def test_the_command_renews_with_a_third_left_less_a_tenth_of_jitter(lifetime: timedelta) -> None:
    due = [schedule.due_at(OBTAINED + lifetime, obtained_at=OBTAINED) - OBTAINED for _try in range(500)]
    assert min(due) >= lifetime * 2 / 3 - timedelta(microseconds=1)
    assert max(due) <= lifetime * (2 / 3 + 1 / 10) + timedelta(microseconds=1)
    assert max(due) - min(due) > lifetime / 20  # a fleet spreads


def test_an_unknown_lifetime_counts_as_a_day() -> None:
    due = [schedule.due_at(None, obtained_at=OBTAINED) - OBTAINED for _try in range(100)]
    assert timedelta(hours=16) <= min(due) <= max(due) <= timedelta(days=1)


def test_a_lifetime_that_is_over_is_due_at_once() -> None:
    assert schedule.due_at(OBTAINED - MINUTE, obtained_at=OBTAINED) == OBTAINED


@pytest.mark.parametrize(
    ("failures", "seconds"), [(1, 60), (2, 120), (3, 240), (9, 15360), (10, 21600), (11, 21600), (10**6, 21600)]
)
def test_backoff_doubles_from_a_minute_to_six_hours_with_a_fifth_of_jitter(failures: int, seconds: float) -> None:
    for _try in range(100):
        before = timezone.now()
        delay = (schedule.retry_at(failures) - before).total_seconds()
        assert seconds * 0.8 <= delay <= seconds + 5


def test_backoffs_of_many_rows_differ() -> None:
    now = timezone.now()
    delays = [(schedule.retry_at(5) - now).total_seconds() for _try in range(200)]
    assert max(delays) - min(delays) > 960 * 0.1


@pytest.mark.parametrize("asked", [0.0, 1.0, 3600.0])
def test_what_thanksio_asked_for_is_never_undercut(asked: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random, "uniform", lambda low, high: low)
    before = timezone.now()
    assert (schedule.retry_at(1, asked) - before).total_seconds() >= asked


def test_a_fresh_token_is_left_alone() -> None:
    assert not schedule.needs_renewal(connection())


def test_less_than_the_leeway_is_renewed() -> None:
    assert schedule.needs_renewal(connection(age=timedelta(hours=1), left=timedelta(seconds=299)))
    assert not schedule.needs_renewal(connection(age=timedelta(hours=1), left=timedelta(seconds=305)))


def test_the_leeway_is_the_projects(settings: Any) -> None:
    settings.THANKSIO_REFRESH_LEEWAY_SECONDS = 30
    assert not schedule.needs_renewal(connection(age=timedelta(hours=1), left=timedelta(seconds=60)))
    settings.THANKSIO_REFRESH_LEEWAY_SECONDS = 90
    assert schedule.needs_renewal(connection(age=timedelta(hours=1), left=timedelta(seconds=60)))


@pytest.mark.parametrize("lifetime", [20, 60, 300, 599])
def test_the_leeway_is_never_more_than_half_of_the_lifetime(lifetime: int) -> None:
    third = timedelta(seconds=lifetime / 3)
    assert not schedule.needs_renewal(connection(age=third, left=2 * third))
    assert schedule.needs_renewal(connection(age=2 * third, left=third))


def test_the_lifetime_counts_from_the_last_renewal() -> None:
    renewed = timezone.now() - MINUTE
    row = connection(age=timedelta(days=300), left=4 * MINUTE, obtained_at=renewed)
    assert not schedule.needs_renewal(row)


def test_a_backoff_holds_while_the_token_lives_and_not_longer() -> None:
    failed = {"failure_count": 1, "next_refresh_at": timezone.now() + MINUTE}
    assert not schedule.needs_renewal(connection(age=timedelta(hours=1), left=MINUTE, **failed))
    assert schedule.needs_renewal(connection(age=timedelta(hours=1), left=-MINUTE, **failed))
    over = {"failure_count": 1, "next_refresh_at": timezone.now() - MINUTE}
    assert schedule.needs_renewal(connection(age=timedelta(hours=1), left=MINUTE, **over))


def test_an_unknown_expiry_is_probed_when_due_and_never_counts_as_expired() -> None:
    assert not schedule.needs_renewal(connection(age=timedelta(days=30), left=None))
    due = connection(age=timedelta(days=30), left=None, next_refresh_at=timezone.now() - MINUTE)
    assert schedule.needs_renewal(due)
    assert not schedule.is_expired(due)


def test_expired_is_expired() -> None:
    assert schedule.is_expired(connection(left=-MINUTE))
    assert not schedule.is_expired(connection(left=MINUTE))


@pytest.mark.parametrize(("age", "is_recent"), [(1, True), (55, True), (65, False)])
def test_a_storm_is_a_minute(age: int, is_recent: bool) -> None:
    renewed = Row({"last_refreshed_at": datetime.now(UTC) - timedelta(seconds=age)})
    assert renewed.was_renewed_lately is is_recent
    assert not Row({"last_refreshed_at": None}).was_renewed_lately


def test_a_backoff_needs_a_failure_that_counts() -> None:
    later = datetime.now(UTC) + MINUTE
    assert 55 < Row({"failure_count": 1, "next_refresh_at": later}).backoff_seconds <= 60
    assert Row({"failure_count": 0, "next_refresh_at": later}).backoff_seconds == 0
    assert Row({"failure_count": 1, "next_refresh_at": later - 2 * MINUTE}).backoff_seconds == 0
