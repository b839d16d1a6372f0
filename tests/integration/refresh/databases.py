"""A database of the refresh tests' own, in every way in which a project may have configured it.

SQLite in memory can't be shared between processes, so SQLite means files here.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.db import connection, connections

KIND = settings.DATABASE
VARIANTS = {
    "sqlite": ["journal", "wal", "immediate"],
    "postgres": ["default", "repeatable_read", "serializable", "pool"],
    "mariadb": ["default", "repeatable_read", "snapshot_isolation"],
}[KIND]
NOTE_TABLE = "host_note"  # a table of the project's with a foreign key to the connection
TOKEN_TABLE = "thanksio_connect_connectiontokens"
OURS = (
    TOKEN_TABLE,
    "thanksio_connect_thanksioconnection",
    "thanksio_connect_authorizationrequest",
    "thanksio_connect_sentorder",
    "thanksio_connect_sweep",
    "thanksio_connect_connectionevent",
)
# SQLite's own five seconds would be waited for in full by each test in which somebody keeps the database locked.
BUSY_SECONDS = {"timeout": 1.5}
OPTIONS: dict[str, dict[str, Any]] = {
    "journal": {**BUSY_SECONDS},
    "wal": {**BUSY_SECONDS, "init_command": "PRAGMA journal_mode=WAL"},
    "immediate": {**BUSY_SECONDS, "transaction_mode": "IMMEDIATE"},
    "pool": {"pool": {"min_size": 1, "max_size": 2, "timeout": 3}},
    "repeatable_read": {"isolation_level": 3 if KIND == "postgres" else "repeatable read"},
    "serializable": {"isolation_level": 4},
    "snapshot_isolation": {
        "isolation_level": "repeatable read",
        "init_command": "SET SESSION innodb_snapshot_isolation=ON",
    },
}


class Database:
    """Made once for the test run; :func:`using` points Django at it in one of the variants."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.name = str(folder / "template.sqlite3") if KIND == "sqlite" else name
        self.base = {**settings.DATABASES["default"], "NAME": self.name}

    def create(self) -> None:
        if KIND != "sqlite":
            with self.administration() as cursor:
                cursor.execute(f"DROP DATABASE IF EXISTS {self.name}")
                cursor.execute(f"CREATE DATABASE {self.name}")
        with using(self.settings("plain")):
            call_command("migrate", verbosity=0)
            column = {"sqlite": "integer", "postgres": "bigint", "mariadb": "bigint"}[KIND]
            with connection.cursor() as cursor:
                cursor.execute(
                    f"CREATE TABLE {NOTE_TABLE} (id integer PRIMARY KEY, connection_id {column} NOT NULL, "
                    "FOREIGN KEY (connection_id) REFERENCES thanksio_connect_thanksioconnection (id))"
                )

    def destroy(self) -> None:
        """Drop it without force: a connection that somebody left open makes PostgreSQL refuse."""
        if KIND != "sqlite":
            with self.administration() as cursor:
                cursor.execute(f"DROP DATABASE {self.name}")

    @contextmanager
    def administration(self) -> Iterator[Any]:
        with using(settings.DATABASES["default"]), connection.cursor() as cursor:
            yield cursor

    def settings(self, variant: str) -> dict[str, Any]:
        """``DATABASES["default"]`` for the variant."""
        return {**self.base, "OPTIONS": OPTIONS.get(variant, {}), "TEST": {}}

    def copy(self, variant: str) -> dict[str, Any]:
        """As :meth:`settings`, on SQLite with a file of its own."""
        values = self.settings(variant)
        if KIND == "sqlite":
            values["NAME"] = str(self.folder / f"{variant}.sqlite3")
            for old in self.folder.glob(f"{variant}.sqlite3*"):
                old.unlink()
            shutil.copy(self.name, values["NAME"])
        return values


@contextmanager
def using(values: dict[str, Any], alias: str = "default") -> Iterator[None]:
    """Django's ``alias`` is this database inside the block."""
    settings_before = connections.settings.get(alias)
    before = connections[alias] if settings_before is not None else None
    if before is not None:
        before.close()  # SQLite in memory stays open: without a connection it would be gone
    point_at(values, alias)
    try:
        yield
    finally:
        let_go(connections[alias])
        if before is not None:
            connections.settings[alias] = settings_before
            connections[alias] = before
        else:
            del connections[alias]
            del connections.settings[alias]


def point_at(values: dict[str, Any], alias: str = "default") -> None:
    """Django's ``alias`` is this database from now on; the one before must be closed."""
    connections.settings[alias] = connections.configure_settings({"default": values})["default"]
    connections[alias] = connections.create_connection(alias)


def let_go(wrapper: Any) -> None:
    """Close its session, and its pool."""
    if wrapper.in_atomic_block and not wrapper.get_autocommit():
        wrapper.close()
    wrapper.close()
    if hasattr(wrapper, "close_pool"):
        wrapper.close_pool()


def empty() -> None:
    """Remove every row that a test made."""
    with connection.cursor() as cursor:
        for table in (NOTE_TABLE, *OURS, "auth_user", "auth_group"):
            cursor.execute(f"DELETE FROM {table}")


def session_count(*, wanted: int | None = None) -> int:
    """How many sessions of other connections the server has open on this database (SQLite: 0).

    A closed one takes the server some milliseconds: looks again, up to two seconds, while there are more than wanted.
    """
    for _look in range(100):
        count = _session_count()
        if wanted is None or count <= wanted:
            break
        time.sleep(0.02)
    return count


def _session_count() -> int:
    with connection.cursor() as cursor:
        if KIND == "postgres":
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
                "AND backend_type = 'client backend'"
            )
        elif KIND == "mariadb":
            cursor.execute(
                "SELECT count(*) FROM information_schema.processlist WHERE db = database() AND id <> connection_id()"
            )
        else:
            return 0
        return int(cursor.fetchone()[0])
