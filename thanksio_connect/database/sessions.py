"""Database sessions: private ones, and how a step is committed whatever happens to a session.

A step is a function of a database alias; it is short and repeatable. A driver, a pool or a wrapper that raises an
exception of its own is translated into Django's ``OperationalError``, so that callers know one kind.
"""

from __future__ import annotations

import random
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from itertools import count
from typing import TypeVar

from django.db import (
    DatabaseError,
    DataError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    ProgrammingError,
    connections,
)
from django.db.backends.base.base import BaseDatabaseWrapper

from ..client.interruption import is_interruption
from ..conf import app_settings
from ..exceptions import ThanksIOConfigurationError, ThanksIOError
from ..records import record
from . import facts

T = TypeVar("T")
LOST_IN_TRANSIT = (DatabaseError, InterfaceError)
_PERMANENT = (IntegrityError, DataError)
_numbers = count(1)

STORE_BUDGET_SECONDS = 60.0
# How long a step other than the store is tried again when its session dies.
STEP_BUDGET_SECONDS = 5.0
# The server may have no slot left just now: every caller in a transaction holds one, and wants a second for a moment.
OPEN_BUDGET_SECONDS, OPEN_RETRY_SECONDS = 10.0, 0.1
_FIRST_DELAY_SECONDS, _LONGEST_DELAY_SECONDS = 0.02, 0.5


@contextmanager
def translated() -> Iterator[None]:
    """Raise a foreign driver's, pool's or wrapper's own exception as ``OperationalError``; interruptions pass."""
    try:
        yield
    except (*LOST_IN_TRANSIT, ThanksIOError, ThanksIOConfigurationError):
        raise
    except Exception as error:
        if is_interruption(error) or not _was_raised_below(error):
            raise
        raise OperationalError(f"The database could not be used ({type(error).__name__}).") from error


def _was_raised_below(error: Exception) -> bool:
    """Whether code of the exception's own package took part, or it is Python's.

    What another thread raises into this one (``PyThreadState_SetAsyncExc``) ends in a frame of anybody's.
    """
    package = type(error).__module__.partition(".")[0]
    frames = (frame for frame, _line in traceback.walk_tb(error.__traceback__))
    return package == "builtins" or any(
        frame.f_globals.get("__name__", "").partition(".")[0] == package for frame in frames
    )


@contextmanager
def private_session(alias: str, *, patience_seconds: float = OPEN_BUDGET_SECONDS) -> Iterator[str]:
    """A session of the engine's own to the database of ``alias``, in this thread, under the alias that is yielded.

    ``THANKSIO_PREPARE_SESSION`` is called with it first. Waits ``patience_seconds`` for a server that takes no
    connection now, then raises its ``OperationalError``.
    """
    base = connections[alias]
    session = type(base)(facts.private_settings(base), alias)
    own_alias = f"_thanksio_connect_{next(_numbers)}"
    connections[own_alias] = session
    try:
        with translated():
            _open(session, patience_seconds)
            if (prepare := app_settings.prepare_session) is not None:
                prepare(session)
            with facts.own_transaction(own_alias):
                yield own_alias
    finally:
        del connections[own_alias]
        facts.close_for_good(session)


def _open(session: BaseDatabaseWrapper, patience_seconds: float) -> None:
    for is_last in _tries(patience_seconds, OPEN_RETRY_SECONDS, OPEN_RETRY_SECONDS):
        try:
            session.ensure_connection()
        except OperationalError:
            if is_last or session.vendor == "sqlite":
                raise
        else:
            return


def _tries(budget_seconds: float, first_delay: float, longest_delay: float) -> Iterator[bool]:
    """Yield whether the try is the last, with pauses in between: by the clock, and by count if that stands still."""
    deadline, delay = time.monotonic() + budget_seconds, first_delay
    for left in range(int(budget_seconds / longest_delay) + 10, -1, -1):
        is_last = left == 0 or time.monotonic() >= deadline
        yield is_last
        if is_last:
            return
        time.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, no secret
        delay = min(2 * delay, longest_delay)


@contextmanager
def callers_connection(alias: str) -> Iterator[str]:
    """The caller's connection: in a savepoint if a transaction is open, which keeps its lock time-out."""
    connection = connections[alias]
    nested = facts.in_transaction(alias)
    kept = facts.lock_wait_restored(connection) if nested else nullcontext()
    try:
        # On a dead session a savepoint fails with the driver's own error, which Django has not wrapped.
        with translated(), connection.wrap_database_errors, kept, facts.own_transaction(alias):
            yield alias
    except BaseException as error:
        if not nested and not isinstance(error, ThanksIOError):
            facts.drop_if_dead(connection)
        raise


def committed(
    alias: str,
    step: Callable[[str], T],
    *,
    on_callers: bool = True,
    on_private: bool = True,
    budget_seconds: float = STEP_BUDGET_SECONDS,
    when_lost: Callable[[], object] = lambda: None,
) -> T:
    """Run a step until it is committed: on the caller's connection first, then on private sessions.

    A commit whose reply was lost runs the step once more. Raises the database's error when the budget is used up, or
    where another try can't help. In a transaction of the caller's its connection commits nothing. ``when_lost`` is
    called once the caller's session was found dead.
    """
    on_private = on_private and facts.has_private_sessions(alias)
    for is_last in _tries(budget_seconds, _FIRST_DELAY_SECONDS, _LONGEST_DELAY_SECONDS):
        patience = min(budget_seconds, OPEN_BUDGET_SECONDS)
        session = callers_connection(alias) if on_callers else private_session(alias, patience_seconds=patience)
        try:
            with session as using:
                return step(using)
        except LOST_IN_TRANSIT as error:
            if not on_private or is_last or _is_permanent(error, budget_seconds, on_callers=on_callers):
                raise
            record("database.step_failed", code=type(error).__name__)
        if on_callers and connections[alias].connection is None:
            when_lost()
        on_callers = False
    raise AssertionError("the last try returns or raises")


def _is_permanent(error: Exception, budget_seconds: float, *, on_callers: bool) -> bool:
    """Whether another try can't help.

    A table that the caller's session does not find may be one that a prepared session finds. Where it is missing
    altogether, or a trigger refuses the write, only a store tries on: a migration may be under way, and the pair is all
    there is.
    """
    if isinstance(error, _PERMANENT):
        return True
    if isinstance(error, ProgrammingError):
        return not on_callers
    is_refused = facts.is_old_schema(error) or facts.is_raised_by_a_trigger(error)
    return budget_seconds < STORE_BUDGET_SECONDS and is_refused
