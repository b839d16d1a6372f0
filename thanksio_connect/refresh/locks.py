"""Somebody else's locks: how long to wait for them, and how to tell that one was in the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from django.db import connections

WAIT_SECONDS = 15
# How long a store waits for a lock before it puts the pair elsewhere meanwhile.
FIRST_WAIT_SECONDS = 2


def bound(using: str, seconds: int = WAIT_SECONDS) -> None:
    """Inside a transaction on PostgreSQL, which has no default bound: wait no longer than that for a lock.

    Elsewhere there is one, of 50 seconds (MariaDB) or 5 (SQLite); a shorter one is the session's, so only for a private
    connection.
    """
    is_default = seconds == WAIT_SECONDS
    statements = {
        "postgresql": f"SET LOCAL lock_timeout = '{seconds}s'",
        "mysql": None if is_default else f"SET SESSION innodb_lock_wait_timeout = {seconds}",
        "sqlite": None if is_default else f"PRAGMA busy_timeout = {1000 * seconds}",
    }
    if statement := statements.get(connections[using].vendor):
        with connections[using].cursor() as cursor:
            cursor.execute(statement)


@contextmanager
def bounded(using: str, *, is_impatient: bool) -> Iterator[None]:
    """In a transaction on the caller's connection: bound the waits of what follows, and leave the session as it is.

    ``is_impatient``: two seconds at most (not on SQLite and MySQL, where that would be a setting of the session).
    """
    connection = connections[using]
    if connection.vendor == "postgresql":
        bound(using, FIRST_WAIT_SECONDS if is_impatient else WAIT_SECONDS)
    with connection.execute_wrapper(_impatient) if is_impatient else nullcontext():
        yield


def _impatient(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
    """An execute wrapper: on MariaDB, bound the statement's wait for locks, and leave the caller's session as it is."""
    connection = context["connection"]
    if connection.vendor == "mysql" and connection.mysql_is_mariadb and sql.startswith("UPDATE"):
        sql = f"SET STATEMENT innodb_lock_wait_timeout={FIRST_WAIT_SECONDS} FOR {sql}"
    return execute(sql, params, many, context)


def is_lock_error(error: Exception) -> bool:
    """Whether somebody else's lock or snapshot is in the way: judged by the driver's code, never by the text."""
    cause = error.__cause__
    if getattr(cause, "sqlstate", None) in {"55P03", "40P01", "40001"}:
        return True
    if (getattr(cause, "sqlite_errorcode", None) or 0) & 0xFF in {5, 6}:  # SQLITE_BUSY, SQLITE_LOCKED, with details
        return True
    return bool(cause is not None and cause.args and cause.args[0] in {1205, 1213, 1020})
