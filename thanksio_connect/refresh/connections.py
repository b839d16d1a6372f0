"""Where the engine may read and write: the state of the caller's database connection, and private connections.

What each database does, and why these are the rules, was found by experiment: a private connection in the same thread,
outside any pool and with the server's default isolation, closed after each step.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import count
from typing import Any, TypeVar

from django.db import (
    DatabaseError,
    DataError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    connections,
    transaction,
)
from django.db.backends.base.base import BaseDatabaseWrapper

from . import locks

try:
    from django.db.backends.postgresql.psycopg_any import IsolationLevel
except ImportError:  # no driver for PostgreSQL, so no PostgreSQL
    IsolationLevel = None  # type: ignore[assignment, misc]

logger = logging.getLogger("thanksio_connect")

T = TypeVar("T")
_numbers = count(1)
_LOST_IN_TRANSIT = (DatabaseError, InterfaceError)
_PERMANENT = (IntegrityError, DataError)
STORE_BUDGET_SECONDS = 60.0
# The server may have no slot left just now: every caller in a transaction holds one, and wants a second for a moment.
OPEN_BUDGET_SECONDS, OPEN_RETRY_SECONDS = 10.0, 0.1


def in_transaction(alias: str) -> bool:
    """Whether a rollback could undo what is written on the caller's connection now."""
    connection = connections[alias]
    return connection.in_atomic_block or not connection.get_autocommit()


def testcase_blocks(alias: str) -> int:
    """How many ``atomic`` blocks of the caller belong to Django's ``TestCase``."""
    return sum(getattr(block, "_from_testcase", False) for block in connections[alias].atomic_blocks)


def has_own_connections(alias: str) -> bool:
    """Whether a second connection sees the same database: not so for SQLite in memory."""
    connection = connections[alias]
    return not (connection.vendor == "sqlite" and connection.is_in_memory_db())  # type: ignore[attr-defined]


@contextmanager
def own_connection(alias: str) -> Iterator[str]:
    """A private connection to the database of ``alias`` in this thread, under the alias that is yielded.

    Waits some seconds for a server that takes no connection now, then raises its ``OperationalError``.
    """
    base = connections[alias]
    options = {
        name: value for name, value in base.settings_dict["OPTIONS"].items() if name not in ("pool", "isolation_level")
    }
    if base.vendor == "postgresql":  # the server's or the role's default may be another
        options["isolation_level"] = IsolationLevel.READ_COMMITTED
    with _private(alias, OPTIONS=options) as own_alias:
        yield own_alias


@contextmanager
def sqlite_file(alias: str, path: str) -> Iterator[str]:
    """A private connection to another SQLite file than that of ``alias``, under the alias that is yielded."""
    with _private(alias, NAME=path, OPTIONS={"transaction_mode": "IMMEDIATE"}) as own_alias:
        yield own_alias


@contextmanager
def _private(alias: str, **changes: Any) -> Iterator[str]:
    base = connections[alias]
    wrapper = type(base)({**base.settings_dict, **changes, "AUTOCOMMIT": True, "CONN_MAX_AGE": 0}, alias)
    own_alias = f"_thanksio_connect_{next(_numbers)}"
    connections[own_alias] = wrapper
    try:
        _open(wrapper)
        yield own_alias
    finally:
        del connections[own_alias]
        BaseDatabaseWrapper.close(wrapper)  # SQLite's own close() passes over in-memory databases


def _open(wrapper: BaseDatabaseWrapper) -> None:
    deadline = time.monotonic() + OPEN_BUDGET_SECONDS
    while True:
        try:
            return wrapper.ensure_connection()
        except OperationalError:
            if wrapper.vendor == "sqlite" or time.monotonic() > deadline:
                raise
        time.sleep(OPEN_RETRY_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311 - jitter, no secret


def persist(
    alias: str,
    write: Callable[[str], T],
    *,
    budget_seconds: float = STORE_BUDGET_SECONDS,
    may_block: bool = True,
    when_locked: Callable[[], object] | None = None,
) -> T:
    """Run ``write(using)`` until it is committed: on the caller's connection, which is in autocommit, else on others.

    ``write`` must be repeatable. Raises the database's error when the budget is used up, or at once if ``write`` was
    not to wait for a lock (``may_block``) and met one. ``when_locked()`` is called once, when a lock was waited for in
    vain: for two seconds, or on the caller's connection as :func:`at_once` says.
    """
    try:
        return at_once(alias, write, may_block=may_block, is_impatient=when_locked is not None)
    except _LOST_IN_TRANSIT as error:
        if not has_own_connections(alias) or not _is_worth_repeating(error, may_block=may_block):
            raise
        when_locked = _told(when_locked, error)
    return durably(alias, write, budget_seconds=budget_seconds, may_block=may_block, when_locked=when_locked)


def _told(when_locked: Callable[[], object] | None, error: Exception) -> Callable[[], object] | None:
    """A write failed and is tried again; if that was for a lock, it is told, once. Returns what is still to be told."""
    logger.warning("A write of thanks.io tokens failed (%s); trying again.", type(error).__name__)
    if when_locked is None or not locks.is_lock_error(error):
        return when_locked
    when_locked()
    return None


def _is_worth_repeating(error: Exception, *, may_block: bool) -> bool:
    if isinstance(error, _PERMANENT):
        return False
    return may_block or not locks.is_lock_error(error)


def durably(
    alias: str,
    write: Callable[[str], T],
    *,
    budget_seconds: float,
    may_block: bool = True,
    lock_wait_seconds: int = locks.WAIT_SECONDS,
    when_locked: Callable[[], object] | None = None,
) -> T:
    """Run ``write(using)`` on a fresh private connection, again and again until it is committed.

    In a transaction, but on SQLite, where each statement commits itself.

    ``write`` must be repeatable: a commit whose reply was lost runs it once more. ``may_block`` is False for a step
    that waits for no lock, and so needs no bound; meeting one raises at once. ``when_locked`` is as in :func:`persist`.
    Raises the database's error when the budget is used up.
    """
    deadline, delay = time.monotonic() + budget_seconds, 0.02
    while True:
        try:
            with own_connection(alias) as using, _in_transaction(using):
                if may_block:
                    locks.bound(using, lock_wait_seconds if when_locked is None else locks.FIRST_WAIT_SECONDS)
                return write(using)
        except _LOST_IN_TRANSIT as error:
            if not _is_worth_repeating(error, may_block=may_block) or time.monotonic() > deadline:
                raise
            when_locked = _told(when_locked, error)
        time.sleep(delay)
        delay = min(2 * delay, 0.5)


def at_once(alias: str, write: Callable[[str], T], *, may_block: bool = True, is_impatient: bool = False) -> T:
    """Run ``write(using)`` on the caller's connection: in a savepoint, or in a transaction of its own.

    In the latter its waits for locks are bounded (see :func:`locks.bounded`, which also says what ``is_impatient`` is).
    """
    connection = connections[alias]
    nested = in_transaction(alias)
    bounds = locks.bounded(alias, is_impatient=is_impatient) if may_block and not nested else nullcontext()
    try:
        # On a dead session a savepoint fails with the driver's own error, which Django has not wrapped.
        with connection.wrap_database_errors, _in_transaction(alias), bounds:
            return write(alias)
    except _LOST_IN_TRANSIT:
        if not nested:
            _drop_if_dead(connection)
        raise


def _in_transaction(using: str) -> AbstractContextManager[object]:
    """A transaction or a savepoint. On SQLite a transaction would read first and then fail to write."""
    connection = connections[using]
    if connection.vendor == "sqlite" and not connection.in_atomic_block:
        return nullcontext()
    return transaction.atomic(using=using)


def _drop_if_dead(connection: BaseDatabaseWrapper) -> None:
    """Let the caller's next query, which is outside any transaction, open a new session if this one is gone.

    A session that dies between COMMIT and the switch back to autocommit leaves Django's connection without autocommit,
    and the next ``atomic()`` on it would be entered only halfway, and never left.
    """
    if connection.connection is not None and not (connection.autocommit and connection.is_usable()):
        connection.close()
