"""Everything that raises an exception into the thread of a renewal, each as its maker does it."""

from __future__ import annotations

import ctypes
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from gunicorn.workers.base import Worker as GunicornWorker
from rq.timeouts import JobTimeoutException

from thanksio_connect.testing import FakeThanksIO

Fire = Callable[[], None]


class Limit(Exception):
    """A project's own time limit."""

    __module__ = "project.limits"


def raised_by_the_handler(error: BaseException) -> Callable[[int, Any], None]:
    def handler(number: int, frame: Any) -> None:
        raise error

    return handler


@contextmanager
def handled(number: signal.Signals, handler: Any) -> Iterator[Fire]:
    """The signal's handler is this one; yields what sends the signal to this process."""
    before = signal.signal(number, handler)
    try:
        yield lambda: os.kill(os.getpid(), number)
    finally:
        signal.signal(number, signal.SIG_DFL if before is None else before)  # None: faulthandler's


@contextmanager
def alarm(error: BaseException) -> Iterator[Fire]:
    """``signal.setitimer`` with a handler that raises: a project's own limit, Celery's soft one, RQ's."""
    with handled(signal.SIGALRM, raised_by_the_handler(error)):
        yield lambda: signal.setitimer(signal.ITIMER_REAL, 0.001) and None


@contextmanager
def gunicorns_abort() -> Iterator[Fire]:
    """gunicorn's arbiter finds that a worker has said nothing for too long."""
    worker = SimpleNamespace(alive=True, cfg=SimpleNamespace(worker_abort=lambda worker: None))
    with handled(signal.SIGABRT, lambda number, frame: GunicornWorker.handle_abort(worker, number, frame)) as fire:
        yield fire


@contextmanager
def from_another_thread(kind: type[BaseException]) -> Iterator[Fire]:
    """``PyThreadState_SetAsyncExc``: RQ's timer, where there is no SIGALRM."""
    ident = threading.main_thread().ident
    assert ident is not None

    def fire() -> None:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), ctypes.py_object(kind))

    yield fire
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), None)


@contextmanager
def ctrl_c() -> Iterator[Fire]:
    with handled(signal.SIGINT, signal.default_int_handler) as fire:
        yield fire


WAYS: dict[str, tuple[Callable[[], Any], type[BaseException]]] = {
    "alarm, TimeoutError": (lambda: alarm(TimeoutError("mine")), TimeoutError),
    "alarm, own exception": (lambda: alarm(Limit("mine")), Limit),
    "RQ, SIGALRM": (lambda: alarm(JobTimeoutException("mine")), JobTimeoutException),
    "RQ, another thread": (lambda: from_another_thread(JobTimeoutException), JobTimeoutException),
    "another thread, own exception": (lambda: from_another_thread(Limit), Limit),
    "gunicorn": (gunicorns_abort, SystemExit),
    "Ctrl-C": (ctrl_c, KeyboardInterrupt),
}


def while_asked(thanksio: FakeThanksIO, *fires: Fire, every_seconds: float = 0.2) -> threading.Thread:
    """Fire once the token endpoint has been asked, the first and then each of the others."""

    def run() -> None:
        thanksio.wait_for_token_requests(1, timeout_seconds=60)
        for fire in fires:
            time.sleep(every_seconds)
            fire()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def later(fire: Fire, *seconds: float) -> list[threading.Timer]:
    timers = [threading.Timer(each, fire) for each in seconds]
    for timer in timers:
        timer.start()
    return timers
