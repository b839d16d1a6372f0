"""Exceptions that something raises into the caller's thread while a request is under way.

A time limit (Celery's, RQ's, gunicorn's, an alarm of the project's own), Ctrl-C and SIGTERM arrive as exceptions in the
middle of whatever line runs. They say nothing of the network. An exchange that must not be lost to them runs as an
:class:`Errand`; everywhere else :func:`is_interruption` tells them from the network's own errors.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from contextvars import copy_context
from types import CodeType, TracebackType
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Errand(Generic[T]):
    """A call that runs to its end in a thread of its own, whatever is raised into the caller's thread meanwhile."""

    def __init__(self, call: Callable[[], T]) -> None:
        self._call = call
        self._result: T | BaseException | None = None
        self._under_way = threading.Lock()
        self._under_way.acquire()
        context = copy_context()
        try:
            threading.Thread(target=context.run, args=(self._run,), name="thanksio-exchange", daemon=True).start()
        except RuntimeError:  # no thread can be had, or the interpreter is shutting down
            self._run()

    def _run(self) -> None:
        try:
            self._result = self._call()
        except BaseException as error:  # noqa: BLE001 - handed to whoever waits
            self._result = error
        finally:
            self._under_way.release()

    @property
    def is_done(self) -> bool:
        """Whether the call has ended."""
        return not self._under_way.locked()

    def wait(self) -> T | BaseException:
        """Return the call's result, or the exception that ended it. May be called again.

        Raises only what is raised into the waiting thread; the call goes on all the same.
        """
        with self._under_way:
            return self._result  # type: ignore[return-value]


def is_interruption(error: BaseException) -> bool:
    """Whether the exception came from outside: it is no :class:`Exception`, or a signal handler raised it.

    An exception that was raised in place of an interruption, while that was handled, counts as one.
    """
    return find_interruption(error) is not None


def find_interruption(error: BaseException) -> BaseException | None:
    """Return the interruption that the exception is, or that it was raised in place of."""
    handlers = set(_signal_handlers())
    for each in _chain(error):
        if not isinstance(each, Exception) or any(code in handlers for code in _codes(each.__traceback__)):
            return each
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _codes(traceback: TracebackType | None) -> Iterator[CodeType]:
    while traceback is not None:
        yield traceback.tb_frame.f_code
        traceback = traceback.tb_next


def _signal_handlers() -> Iterator[CodeType]:
    for number in signal.valid_signals():
        handler: Any = None
        with contextlib.suppress(ValueError):
            handler = signal.getsignal(number)
        if handler is None or isinstance(handler, int):
            continue
        function = getattr(handler, "func", handler)  # functools.partial
        function = getattr(function, "__func__", function)
        function = function if hasattr(function, "__code__") else getattr(type(function), "__call__", None)
        if (code := getattr(function, "__code__", None)) is not None:
            yield code
