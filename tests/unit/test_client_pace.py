import pytest
from requests.structures import CaseInsensitiveDict

from thanksio_connect.client.rate_limit import Pacer, RateLimit, read_rate_limit
from thanksio_connect.client.retries import RetryPolicy
from thanksio_connect.client.transport import Response


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
