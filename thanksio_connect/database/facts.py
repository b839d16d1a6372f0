"""What differs between databases and drivers, and every private Django name that is used.

Each fact was found by experiment and is pinned by a test in ``tests/integration/database/test_facts.py``.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import DatabaseError, InterfaceError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import QuerySet

try:
    from django.db.backends.postgresql.psycopg_any import IsolationLevel, is_psycopg3
except ImportError:  # no driver for PostgreSQL, so no PostgreSQL
    IsolationLevel, is_psycopg3 = None, False  # type: ignore[assignment, misc]

SQLITE_RETURNS_FROM = (3, 35)
# SQLite's default, in seconds, as the sqlite3 module and so Django have it.
SQLITE_BUSY_TIMEOUT_SECONDS = 5.0


def in_transaction(alias: str) -> bool:
    """Whether a rollback could undo what is written on the caller's connection now."""
    connection = connections[alias]
    if connection.connection is None:  # and is not opened for the answer
        return connection.in_atomic_block or not connection.settings_dict["AUTOCOMMIT"]
    return connection.in_atomic_block or not connection.get_autocommit()


def in_testcase(alias: str) -> bool:
    """Whether the open transaction belongs to Django's ``TestCase``, whose rows no other session sees."""
    return any(getattr(block, "_from_testcase", False) for block in connections[alias].atomic_blocks)


def has_private_sessions(alias: str) -> bool:
    """Whether a second session sees the same database: not so for SQLite in memory."""
    connection = connections[alias]
    return not (connection.vendor == "sqlite" and connection.is_in_memory_db())  # type: ignore[attr-defined]


def obstacle_beside_a_transaction(alias: str) -> str:
    """Why no other session may write the row while the caller's transaction is open; empty if one may."""
    connection = connections[alias]
    if connection.vendor == "sqlite":
        return "SQLite has one writer at a time"
    level = str(connection.settings_dict["OPTIONS"].get("isolation_level"))
    if connection.vendor == "mysql" and level.lower() == "serializable":
        return "it is SERIALIZABLE, so MariaDB has locked what it read"
    return ""


def has_one_writer(alias: str) -> bool:
    """Whether a lock is on the whole database, and so tells nothing of a row."""
    return connections[alias].vendor == "sqlite"


def private_settings(base: BaseDatabaseWrapper) -> dict[str, Any]:
    """The settings of a private session: outside any pool, in autocommit, at the isolation that the engine expects."""
    options = {
        name: value
        for name, value in base.settings_dict["OPTIONS"].items()
        if name not in ("pool", "isolation_level", "server_side_binding")
    }
    if base.vendor == "postgresql":  # the server's or the role's default may be another
        options["isolation_level"] = IsolationLevel.READ_COMMITTED
    return {**base.settings_dict, "OPTIONS": options, "AUTOCOMMIT": True, "CONN_MAX_AGE": 0}


def close_for_good(connection: BaseDatabaseWrapper) -> None:
    """Close a session. SQLite's own ``close()`` passes over databases in memory."""
    BaseDatabaseWrapper.close(connection)


def drop_if_dead(connection: BaseDatabaseWrapper) -> None:
    """Let the caller's next query, which is outside any transaction, open a new session if this one is gone.

    A session that dies between COMMIT and the switch back to autocommit leaves Django's connection without autocommit,
    and the next ``atomic()`` on it would be entered only halfway, and never left; so does an interruption.
    """
    is_clean = connection.autocommit and not connection.in_atomic_block
    if connection.connection is not None and not (is_clean and connection.is_usable()):
        connection.in_atomic_block = False
        connection.close()


def own_transaction(alias: str) -> AbstractContextManager[object]:
    """A savepoint in the caller's transaction. Outside one nothing: each message to the database is a transaction.

    Where PostgreSQL's parameters are bound by the server, a message holds one statement, and no lock wait beside it.
    """
    connection = connections[alias]
    if in_transaction(alias):
        return _own_savepoint(connection)
    binds_on_server = connection.settings_dict["OPTIONS"].get("server_side_binding")
    return transaction.atomic(using=alias) if binds_on_server and connection.vendor == "postgresql" else nullcontext()


@contextmanager
def _own_savepoint(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """A savepoint that is no block of Django's.

    An interruption in the middle of ``Atomic.__enter__`` leaves a savepoint on Django's list for good: the caller's
    own ``atomic()`` then takes itself for an inner one, and never commits.
    """
    name: Any = connection.savepoint()
    try:
        yield
    except BaseException:
        try:
            with connection.wrap_database_errors:
                connection.savepoint_rollback(name)
        except (DatabaseError, InterfaceError):
            connection.needs_rollback = connection.in_atomic_block  # as atomic() has it
        raise
    connection.savepoint_commit(name)


def commit_after_rollback(connection: BaseDatabaseWrapper) -> None:
    """Commit what was written between Django's ROLLBACK and its switch back to autocommit."""
    if not connection.in_atomic_block:
        connection._commit()  # type: ignore[attr-defined]


def end_if_open(connection: BaseDatabaseWrapper) -> None:
    """End a transaction that ``close()`` with autocommit off may have left open: we would wait for its locks."""
    if not connection.in_atomic_block and not connection.autocommit:
        connection._rollback()  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Moment:
    """The database's clock as SQL, in the form in which ``UTCDateTimeField`` stores a moment, and its parameters."""

    sql: str
    parameters: tuple[Any, ...] = ()


_NOW = {
    "postgresql": Moment("(STATEMENT_TIMESTAMP() AT TIME ZONE 'UTC')"),
    # CURRENT_TIMESTAMP would follow the session's time zone.
    "mysql": Moment("UTC_TIMESTAMP(6)"),
    "sqlite": Moment("STRFTIME('%%Y-%%m-%%d %%H:%%M:%%f', 'now')"),
}
_LATER = {
    "postgresql": "(STATEMENT_TIMESTAMP() AT TIME ZONE 'UTC' + CAST(%s AS double precision) * INTERVAL '1 second')",
    "mysql": "(UTC_TIMESTAMP(6) + INTERVAL %s SECOND)",
    "sqlite": "STRFTIME('%%Y-%%m-%%d %%H:%%M:%%f', 'now', %s || ' seconds')",
}


def now(connection: BaseDatabaseWrapper) -> Moment:
    """Now, by the database's clock; by this machine's on a database that is not known here."""
    return _NOW.get(connection.vendor) or _own_clock(connection, 0.0)


def later(connection: BaseDatabaseWrapper, seconds: float) -> Moment:
    """So many seconds from now, by the same clock."""
    sql = _LATER.get(connection.vendor)
    return _own_clock(connection, seconds) if sql is None else Moment(sql, (seconds,))


def _own_clock(connection: BaseDatabaseWrapper, seconds: float) -> Moment:
    moment = datetime.now(UTC).replace(tzinfo=None) + timedelta(seconds=seconds)
    return Moment("%s", (connection.ops.adapt_datetimefield_value(moment),))


def returns_updated_row(connection: BaseDatabaseWrapper) -> bool:
    """Whether ``UPDATE … RETURNING`` exists. MariaDB 10.11 has it for INSERT and DELETE alone."""
    if connection.vendor == "sqlite":
        return sqlite3.sqlite_version_info >= SQLITE_RETURNS_FROM
    return connection.vendor == "postgresql"


def may_pass_over_rows(connection: BaseDatabaseWrapper) -> bool:
    """Whether an UPDATE may leave out a row that is there and meets its condition: for a policy, or for a trigger.

    MariaDB has neither. There a row that was read in a transaction may be an older one than the UPDATE has met.
    """
    return connection.vendor != "mysql"


def unlocked(rows: QuerySet[Any]) -> QuerySet[Any]:
    """Lock the rows that no other transaction has locked. SQLite has one writer, and no such locks."""
    return rows.select_for_update(skip_locked=connections[rows.db].features.has_select_for_update_skip_locked)


@contextmanager
def executed(
    connection: BaseDatabaseWrapper, sql: str, parameters: list[Any], *, lock_wait_seconds: float
) -> Iterator[Any]:
    """Execute a statement that waits so long for somebody else's lock; yields the cursor, at the statement's result."""
    with lock_wait(connection, lock_wait_seconds) as begins_with, connection.cursor() as cursor:
        cursor.execute(begins_with + sql, parameters)
        if is_psycopg3 and begins_with.startswith("SET LOCAL"):
            cursor.nextset()
        yield cursor


@contextmanager
def lock_wait(connection: BaseDatabaseWrapper, seconds: float) -> Iterator[str]:
    """Bound how long the statement inside waits for somebody else's lock; yields what the statement begins with.

    PostgreSQL has no default bound (MariaDB's is 50 seconds, SQLite's 5): there the bound lasts as long as the
    transaction, which is the open one, or else the message. MySQL keeps its own.
    """
    if connection.vendor == "postgresql":
        yield _postgresql_lock_wait(connection, seconds)
    elif connection.vendor == "mysql":
        is_mariadb = connection.mysql_is_mariadb  # type: ignore[attr-defined]
        yield f"SET STATEMENT innodb_lock_wait_timeout={int(seconds)} FOR " if is_mariadb else ""
    elif connection.vendor == "sqlite" and seconds < _busy_timeout(connection):
        with connection.cursor() as cursor:
            cursor.execute(f"PRAGMA busy_timeout = {round(1000 * seconds)}")
            try:
                yield ""
            finally:
                cursor.execute(f"PRAGMA busy_timeout = {round(1000 * _busy_timeout(connection))}")
    else:
        yield ""


def _postgresql_lock_wait(connection: BaseDatabaseWrapper, seconds: float) -> str:
    statement = f"SET LOCAL lock_timeout = '{max(1, round(1000 * seconds))}ms'; "
    if not connection.in_atomic_block:
        return statement
    with connection.cursor() as cursor:
        cursor.execute(statement)
    return ""


def _busy_timeout(connection: BaseDatabaseWrapper) -> float:
    return float(connection.settings_dict["OPTIONS"].get("timeout", SQLITE_BUSY_TIMEOUT_SECONDS))


@contextmanager
def lock_wait_restored(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """In the caller's transaction on PostgreSQL: leave its ``lock_timeout`` as it was. A failure rolls it back."""
    if connection.vendor != "postgresql":
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute("SHOW lock_timeout")
        before = cursor.fetchone()[0]
        yield
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [before])


def is_lock_error(error: BaseException) -> bool:
    """Whether somebody else's lock lasted too long: judged by the driver's code, never by the text."""
    cause = error.__cause__
    if (getattr(cause, "sqlite_errorcode", None) or 0) & 0xFF in {5, 6}:  # SQLITE_BUSY, SQLITE_LOCKED, with details
        return True
    return _code(cause) in {"55P03", 1205}


def is_old_schema(error: BaseException) -> bool:
    """Whether a table or a column is missing. SQLite has no code for that.

    Not by the class: PostgreSQL's drivers make the same of a right that is missing, and of what a trigger raises.
    """
    sqlite_says = ("no such table", "no such column", "has no column")
    missing = {"42P01", "42703", "3F000", 1054, 1146}
    return _code(error.__cause__) in missing or any(text in str(error) for text in sqlite_says)


def is_raised_by_a_trigger(error: BaseException) -> bool:
    """Whether the project's own rule on the table refuses the write: PostgreSQL's RAISE, MariaDB's SIGNAL."""
    return _code(error.__cause__) in {"P0001", 1644}


def is_conflict(error: BaseException) -> bool:
    """Whether the database refuses the write for a deadlock or another's write: in a new transaction it may go well."""
    return _code(error.__cause__) in {"40001", "40P01", 1213, 1020}


def _code(cause: BaseException | None) -> object:
    """PostgreSQL's SQLSTATE, as psycopg or psycopg2 names it, or MariaDB's error number."""
    code = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    return code or (cause.args[0] if cause is not None and cause.args else None)
