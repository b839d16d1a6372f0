"""Exceptions that something raises into the caller's thread while a request is under way.

A time limit (Celery's, RQ's, gunicorn's, an alarm of the project's own), Ctrl-C and SIGTERM arrive as exceptions in the
middle of whatever line runs. They say nothing of the network. An exchange that must not be lost to them runs as an
:class:`Errand`; everywhere else :func:`find_interruption` tells them from the network's own errors.
"""

from __future__ import annotations

import _thread
import threading
from collections.abc import Callable, Iterator
from contextvars import copy_context
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Any, Generic, TypeVar

T = TypeVar("T")
_HTTP_STACK = frozenset({"requests", "urllib3"})


class Errand(Generic[T]):
    """A call that runs to its end in a thread of its own, whatever is raised into the caller's thread meanwhile.

    The call begins once somebody waits for it: by then the caller holds the errand, and no interruption can part the
    two. No lock is held while something waits, so an interruption leaves none behind.
    """

    def __init__(self, call: Callable[[], T]) -> None:
        self._call = call
        self._context = copy_context()
        self._turn = threading.Lock()  # taken once, by the thread that makes the call
        self._result: T | BaseException | None = None
        self._is_done = False
        self._ended: SimpleQueue[None] = SimpleQueue()

    def _run(self) -> None:
        if not self._turn.acquire(blocking=False):
            return  # an interrupted wait() had started a thread already
        try:
            self._result = self._context.run(self._call)
        except BaseException as error:  # noqa: BLE001 - handed to whoever waits
            self._result = error
        finally:
            self._is_done = True
            self._ended.put(None)

    @property
    def is_done(self) -> bool:
        """Whether the call has ended."""
        return self._is_done

    def wait(self) -> T | BaseException:
        """Return the call's result, or the exception that ended it. May be called again.

        Raises only what is raised into the waiting thread; the call goes on all the same.
        """
        self.ends_within(None)
        return self._result  # type: ignore[return-value]

    def ends_within(self, seconds: float | None) -> bool:
        """Wait, at most so long (None: without end), and return whether the call has ended."""
        if not self._turn.locked():
            try:
                # Not threading.Thread: an interruption in the middle of its start() comes out as a KeyError.
                _thread.start_new_thread(self._run, ())
            except RuntimeError:  # no thread can be had, or the interpreter is shutting down
                self._run()
        while not self._is_done:
            try:
                self._ended.get(timeout=seconds)
            except Empty:
                return self._is_done
        self._ended.put(None)  # for whoever else waits
        return True


def is_interruption(error: BaseException) -> bool:
    """Return whether the exception came from outside, or was raised in place of one that did."""
    return find_interruption(error) is not None


def find_interruption(error: BaseException) -> BaseException | None:
    """Return the interruption that the exception is, or that it was raised in place of.

    An interruption is no :class:`Exception`, or a signal handler raised it, or it is a TimeoutError of a class that
    neither Python nor the HTTP stack has. Nothing gives away a plain TimeoutError or OSError that another thread raises
    into this one (``PyThreadState_SetAsyncExc``): it counts as the network's.
    """
    found = [
        each
        for each in _chain(error)
        if not isinstance(each, Exception) or _is_foreign_timeout(each) or is_raised_by_a_signal_handler(each)
    ]
    # urllib3 gives its own error, raised in an interruption's place, the interruption's traceback.
    return next((each for each in found if _package(each) not in _HTTP_STACK), found[-1] if found else None)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The exception and all that it was raised from or in place of, the newest first."""
    seen: set[int] = set()
    to_see: list[BaseException | None] = [error]
    while to_see:
        each = to_see.pop()
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            yield each
            to_see += (each.__context__, each.__cause__)


def _package(error: BaseException) -> str:
    return type(error).__module__.partition(".")[0]


def _is_foreign_timeout(error: BaseException) -> bool:
    return isinstance(error, TimeoutError) and _package(error) not in _HTTP_STACK | {"builtins", "socket", "ssl"}


def is_raised_by_a_signal_handler(error: BaseException) -> bool:
    """Return whether a time limit's or an alarm's handler raised the exception.

    Python gives a handler the very frame that it interrupts, which is the one before it in the traceback.
    """
    traceback, interrupted = error.__traceback__, None
    while traceback is not None:
        frame = traceback.tb_frame
        if interrupted is not None and _has_argument(frame, interrupted):
            return True
        traceback, interrupted = traceback.tb_next, frame
    return False


def _has_argument(frame: FrameType, value: FrameType) -> bool:
    def is_it(local: Any) -> bool:
        return local is value or (isinstance(local, tuple) and any(item is value for item in local))  # *args

    return any(is_it(local) for local in list(frame.f_locals.values()))
