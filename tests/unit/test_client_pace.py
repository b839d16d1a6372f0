from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from requests.structures import CaseInsensitiveDict

from thanksio_connect.client.rate_limit import Pacer, RateLimit, read_rate_limit
from thanksio_connect.client.retries import RetryPolicy
from thanksio_connect.client.transport import LONGEST_RETRY_AFTER_SECONDS, Response, parse_retry_after


class Clock:
    def __init__(self):
        self.now = 100.0
        self.slept = []

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.slept.append(round(seconds, 3))
        self.now += seconds


def pacer(per_minute=60):
    clock = Clock()
    return Pacer(per_minute, clock=clock, sleep=clock.sleep), clock


@pytest.mark.parametrize(
    ("headers", "limit"),
    [
        ({"x-ratelimit-limit": "120", "x-ratelimit-remaining": "7"}, RateLimit(120, 7)),
        ({"X-RateLimit-Remaining": " 0 "}, RateLimit(None, 0)),
        ({"X-RateLimit-Limit": "-1", "X-RateLimit-Remaining": "٣"}, None),
        ({"X-RateLimit-Limit": "9" * 5000}, None),
        ({}, None),
    ],
)
def test_the_rate_limit_of_an_answer(headers, limit):
    assert read_rate_limit(CaseInsensitiveDict(headers)) == limit


def test_requests_are_spread_evenly():
    pace, clock = pacer(60)
    for _ in range(3):
        pace.wait()
    assert clock.slept == [1.0, 1.0]
    clock.now += 10
    pace.wait()
    assert clock.slept == [1.0, 1.0]


def test_a_lower_limit_of_the_server_slows_it_down():
    pace, clock = pacer(120)
    pace.wait()
    pace.heed(RateLimit(60, 59))
    pace.wait()
    pace.heed(RateLimit(600, 59))
    pace.wait()
    pace.heed(RateLimit(None, 0))
    pace.heed(None)
    assert clock.slept == [0.5, 1.0]


def test_a_limit_that_was_lower_for_a_moment_does_not_last():
    pace, clock = pacer(120)
    for limit in (1, 60, 600):
        pace.heed(RateLimit(limit, 0))
        pace.wait()
    pace.wait()
    assert clock.slept == [60.0, 1.0, 0.5]


def test_a_pause_is_kept_for_a_minute_at_most():
    pace, clock = pacer()
    pace.pause(20)
    pace.wait()
    pace.pause(9999)
    pace.wait()
    assert clock.slept == [20.0, 60.0]


@pytest.mark.parametrize("per_minute", [0, -1, float("nan")])
def test_a_pace_is_above_zero(per_minute):
    with pytest.raises(ValueError, match="per_minute"):
        Pacer(per_minute)


@pytest.mark.parametrize(
    ("answer", "shortest", "longest"),
    [
        (None, 0.125, 0.25),
        (Response(503), 0.125, 0.25),
        (Response(502, CaseInsensitiveDict({"Retry-After": "2"})), 2.125, 2.25),
        (Response(504, CaseInsensitiveDict({"Retry-After": "nonsense"})), 0.125, 0.25),
        (Response(429, CaseInsensitiveDict({"Retry-After": "0"})), 0.125, 0.25),
        (Response(429, CaseInsensitiveDict({"Retry-After": "5"})), 5.125, 5.25),
    ],
)
def test_what_is_tried_again_and_when(answer, shortest, longest):
    assert all(shortest <= RetryPolicy().wait_after(1, answer) <= longest for _ in range(50))
    assert RetryPolicy().wait_after(3, answer) is None


@pytest.mark.parametrize("status", [200, 302, 400, 401, 404, 409, 422, 429, 500, 501])
def test_what_is_not_tried_again(status):
    assert RetryPolicy().wait_after(1, Response(status)) is None


def test_a_long_wait_is_left_to_the_caller():
    answer = Response(429, CaseInsensitiveDict({"Retry-After": "6"}))
    assert RetryPolicy().wait_after(1, answer) is None
    assert RetryPolicy(longest_wait_seconds=60).wait_after(1, answer) is not None


def test_the_wait_grows_and_is_bounded():
    policy = RetryPolicy(attempts=1000, longest_wait_seconds=5)
    assert policy.wait_after(4, None) >= 1
    assert policy.wait_after(999, None) <= 5


dates = st.sampled_from(
    ["Sun", "Sunday", ",", " ", "01", "1", "Mar", "-", "2026", "26", "99999", "12:01:30", "25:61:61", ":", "GMT",
     "+0500", "-0000", "+99999999999", "(comment", "\x00", "0", "T", "Z", "²"]
)  # fmt: skip


@given(st.text(max_size=30) | st.lists(dates, max_size=9).map(" ".join) | st.lists(dates, max_size=9).map("".join))
def test_any_retry_after_is_a_time_within_the_hour_or_none(text):
    seconds = parse_retry_after(text, now=datetime(2026, 3, 1, 12, tzinfo=UTC))
    assert seconds is None or 0 <= seconds <= LONGEST_RETRY_AFTER_SECONDS
    wait = RetryPolicy().wait_after(1, Response(429, CaseInsensitiveDict({"Retry-After": text})))
    assert wait is None or 0 < wait <= 10


@given(st.integers(0, 10**30), st.sampled_from(["", " ", "\t", "000"]))
def test_each_number_of_seconds_is_understood(seconds, padding):
    assert parse_retry_after(f"{padding}{seconds}") == min(seconds, LONGEST_RETRY_AFTER_SECONDS)


@given(st.datetimes(datetime(2000, 1, 1), datetime(9000, 1, 1), timezones=st.just(UTC)), st.integers(-9999, 9999))
def test_each_http_date_is_understood(now, seconds):
    now = now.replace(microsecond=0)
    moment = datetime.fromtimestamp(now.timestamp() + seconds, UTC)
    expected = min(max(seconds, 0), LONGEST_RETRY_AFTER_SECONDS)
    assert parse_retry_after(format_datetime(moment, usegmt=True), now=now) == expected


@given(st.text(max_size=12) | st.integers().map(str), st.text(max_size=12) | st.integers().map(str))
def test_any_rate_limit_is_whole_numbers_or_none(limit, remaining):
    read = read_rate_limit(CaseInsensitiveDict({"X-RateLimit-Limit": limit, "X-RateLimit-Remaining": remaining}))
    if read is not None:
        told = [number for number in (read.limit, read.remaining) if number is not None]
        assert told
        assert all(0 <= number < 10**9 for number in told)
        pace, clock = pacer()
        pace.heed(read)
        pace.wait()
        assert clock.slept == []
