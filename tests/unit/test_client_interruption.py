"""Which exceptions came from outside, and a call that outlasts them."""

import contextlib
import functools
import signal
import ssl
import threading
import time
from contextvars import ContextVar
from unittest import mock

import pytest
import requests
import urllib3

from thanksio_connect.client.interruption import Errand, find_interruption, is_interruption


class Limit(Exception):
    """Somebody's time limit."""


class TimeoutLimit(TimeoutError):
    """One that looks like the network's."""


def caught_from(action):
    try:
        action()
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


def interrupted(handler):
    """Return the exception that a real alarm's handler raises into this frame."""

    def wait():
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        time.sleep(5)

    before = signal.signal(signal.SIGALRM, handler)
    try:
        return caught_from(wait)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def raising(error):
    def handler(number, frame):
        raise error

    return handler


class Handler:
    def __call__(self, number, frame):
        raise OSError("an alarm's")

    def method(self, number, frame):
        self(number, frame)


def variadic(*args):
    raise OSError("an alarm's")


def resetting(number, frame):
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    raise OSError("an alarm's")


class TestFinding:
    @pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(), GeneratorExit(), TimeoutLimit()])
    def test_what_is_no_networks_error(self, error):
        assert find_interruption(error) is error

    @pytest.mark.parametrize(
        "error",
        [
            TimeoutError(),
            OSError(),
            ssl.SSLError(),
            ConnectionResetError(),
            requests.ReadTimeout(),
            urllib3.exceptions.ReadTimeoutError(None, None, ""),
            ValueError(),
        ],
    )
    def test_what_is_one(self, error):
        assert not is_interruption(error)
        assert not is_interruption(caught_from(lambda: raising(error)(14, None)))

    @pytest.mark.parametrize(
        "handler",
        [
            raising(TimeoutError("an alarm's")),
            raising(Limit("an alarm's")),
            variadic,
            resetting,
            Handler(),
            Handler().method,
            functools.partial(lambda _extra, *args: variadic(*args), 1),
        ],
        ids=range(7),
    )
    def test_what_a_signal_handler_raised(self, handler):
        error = interrupted(handler)
        assert str(error) == "an alarm's"
        assert find_interruption(error) is error

    def test_what_was_raised_in_its_place(self):
        alarm = interrupted(raising(TimeoutError("an alarm's")))

        def wrap():
            try:
                raise alarm
            except TimeoutError as error:
                raise urllib3.exceptions.ProtocolError("aborted") from error

        def wrap_again():
            try:
                wrap()
            except urllib3.exceptions.ProtocolError:
                raise requests.ConnectionError from ValueError("another cause")

        assert find_interruption(caught_from(wrap)) is alarm
        assert find_interruption(caught_from(wrap_again)) is alarm

    def test_a_chain_that_bites_its_tail(self):
        first, second = OSError(), OSError()
        first.__context__, second.__context__ = second, first
        assert find_interruption(first) is None


class TestErrand:
    def test_gives_back_a_result_or_an_exception_again_and_again(self):
        errand = Errand(lambda: 17)
        assert [errand.wait(), errand.wait()] == [17, 17]
        error = Limit()
        errand = Errand(mock.Mock(side_effect=error))
        assert errand.wait() is error

    def test_begins_when_somebody_waits_and_once(self):
        call = mock.Mock(return_value=1)
        errand = Errand(call)
        time.sleep(0.02)
        assert not call.called
        assert not errand.is_done
        threads = [threading.Thread(target=errand.wait) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(5)
            assert not thread.is_alive()
        assert errand.is_done
        assert call.call_count == 1

    def test_sees_the_callers_context(self):
        variable: ContextVar[int] = ContextVar("variable")
        variable.set(17)
        assert Errand(variable.get).wait() == 17

    def test_outlasts_whatever_is_raised_into_the_waiting_thread(self):
        def slow():
            time.sleep(0.3)
            return 17

        errand = Errand(slow)

        def handler(number, frame):
            raise TimeoutError("an alarm's")

        before = signal.signal(signal.SIGALRM, handler)
        interruptions = 0
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
            while not errand.is_done:
                try:
                    errand.wait()
                except TimeoutError:
                    interruptions += 1
        finally:
            with contextlib.suppress(TimeoutError):
                signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        assert interruptions > 5
        assert errand.wait() == 17

    def test_a_wait_may_be_bounded(self):
        end = threading.Event()
        errand = Errand(lambda: end.wait(10))
        began = time.monotonic()
        assert not errand.ends_within(0.05)
        assert 0.04 < time.monotonic() - began < 5
        end.set()
        assert errand.ends_within(10)
        assert errand.wait() is True

    def test_runs_here_where_no_thread_can_be_had(self):
        with mock.patch("_thread.start_new_thread", side_effect=RuntimeError("can't start new thread")):
            assert Errand(threading.get_ident).wait() == threading.get_ident()

    def test_what_interrupts_the_start_of_the_thread_is_raised_as_it_is(self):
        def handler(number, frame):
            if armed:
                raise Limit

        armed, interruptions = False, 0
        before = signal.signal(signal.SIGALRM, handler)
        try:
            for number in range(200):
                errand = Errand(lambda: 17)
                try:
                    armed = True
                    signal.setitimer(signal.ITIMER_REAL, (5 + number % 100) / 1e6)
                    errand.wait()
                    armed = False
                except Limit:
                    interruptions += 1
                armed = False
                assert errand.wait() == 17
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        assert interruptions > 10
