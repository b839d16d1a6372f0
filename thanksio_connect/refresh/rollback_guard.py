"""The rollback guard: a pair that had to be written in the caller's transaction is written again if that is undone.

``transaction.on_commit`` holds the only strong reference to a callback; when Django drops it uncalled, after a
ROLLBACK, its ``weakref.finalize`` fires at once (CPython counts references).
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable
from typing import Any

from django.db import DatabaseError, InterfaceError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from ..client.interruption import is_interruption
from ..database import facts, sessions
from ..records import record
from . import statements
from .statements import Stored
from .token_row import Key

REWRITE_BUDGET_SECONDS = 30.0
GRANT_ID = "thanksio_connect_grant_id"
# An interruption has nobody to go to from a finalizer: the write begins again.
REWRITE_TRIES = 3


class Guard:
    """Writes the pair again if the block that is open on ``alias`` now is rolled back.

    Several renewals in one transaction have a guard each, which may fire in any order: each writes over every version
    that the transaction spent. ``after_commit()`` runs when the pair was committed by the caller.
    """

    def __init__(self, alias: str, key: Key, values: dict[str, Any], after_commit: Callable[[], object]) -> None:
        self.alias = alias
        self.key = key
        self.values = values
        self.since: int = min([key.version, *(guard.since for guard in _open_guards(alias, key))])
        self.is_of_new_grant = any(_grant_id(entry[1]) == key.pk for entry in connections[alias].run_on_commit)
        self.after_commit = after_commit
        self.is_over = False
        self.watch()

    def watch(self) -> None:
        """Have Django hold the callback until the open block ends."""
        callback = _Committed(self)
        weakref.finalize(callback, self.dropped)
        connection = connections[self.alias]
        if connection.in_atomic_block:
            transaction.on_commit(callback, using=self.alias)
        else:  # set_autocommit(False): on_commit() refuses, yet Django drops the list at a rollback all the same
            connection.run_on_commit.append((set(), callback, False))  # type: ignore[arg-type]

    def store(self, using: str) -> Stored:
        """Write the pair over whatever the transaction spent; repeatable."""
        return statements.store(using, self.key, self.values, since=self.since)

    def committed(self) -> None:
        """The caller's transaction ended well."""
        self.is_over = True
        # The host may have gone back to a savepoint of its own making, of which Django does not hear.
        with self._never_raising():
            sessions.committed(self.alias, self._store_if_undone, budget_seconds=REWRITE_BUDGET_SECONDS)
        self.after_commit()

    def _store_if_undone(self, using: str) -> None:
        """Reads first: a commit must not wait for whoever has locked the row next."""
        row = statements.load(using, self.key)
        if row is not None and row.version < self.values["version"]:
            self.store(using)

    def dropped(self) -> None:
        """The callback is gone: committed, or rolled back."""
        for _try in range(0 if self.is_over else REWRITE_TRIES):
            try:
                with self._never_raising():
                    self._rewrite()
                return
            except BaseException:  # noqa: BLE001, S112 - Python would only print it
                continue

    @contextlib.contextmanager
    def _never_raising(self) -> Any:
        try:
            yield
        except Exception as error:  # a finalizer has nobody to raise to, nor may a host's commit fail
            if is_interruption(error):
                raise
            self._tell_lost(type(error).__name__)

    def _rewrite(self) -> None:
        connection = connections[self.alias]
        if _only_a_savepoint_went(connection):
            self.watch()
            sessions.committed(self.alias, self.store, on_private=False)
            return
        stored = self._store_after_rollback(connection)
        if stored is None or (stored.row is None and facts.has_private_sessions(self.alias)):
            stored = sessions.committed(
                self.alias, self._store_or_find, on_callers=False, budget_seconds=REWRITE_BUDGET_SECONDS
            )
        if stored.row is None and not self.is_of_new_grant:
            self._tell_lost("its row can't be seen after the rollback")

    def _store_after_rollback(self, connection: BaseDatabaseWrapper) -> Stored | None:
        """Write on the caller's connection, whose session has its state of before the transaction. None: in vain."""
        if connection.connection is None or connection.closed_in_transaction:
            return None
        try:
            facts.end_if_open(connection)
            with sessions.translated(), connection.wrap_database_errors:
                stored = self._store_or_find(self.alias)
                facts.commit_after_rollback(connection)
        except (DatabaseError, InterfaceError) as error:
            record("rollback.store_failed", code=type(error).__name__, **self.key.ids)
            with contextlib.suppress(DatabaseError, InterfaceError):  # the session may be gone
                facts.end_if_open(connection)
            return None
        return stored

    def _store_or_find(self, using: str) -> Stored:
        """Store; or find the row of the grant that the owner has given meanwhile, which wins."""
        stored = self.store(using)
        if stored.row is not None:
            return stored
        return Stored(False, statements.load_of_connection(using, self.key.model, self.key.connection_id))

    def _tell_lost(self, why: str) -> None:
        record("tokens.lost:rolled_back", words={"why": why}, code="rollback", **self.key.ids)


def _only_a_savepoint_went(connection: BaseDatabaseWrapper) -> bool:
    usable = not connection.needs_rollback and not connection.closed_in_transaction and connection.connection
    return bool(connection.in_atomic_block and usable)


def _open_guards(alias: str, key: Key) -> list[Guard]:
    """Those of the open transaction for the same row."""
    callbacks = [entry[1] for entry in connections[alias].run_on_commit]
    guards = [callback.guard for callback in callbacks if isinstance(callback, _Committed)]
    return [guard for guard in guards if guard.key.pk == key.pk]


def _grant_id(callback: object) -> object:
    """The key that a grant of this transaction has; ``objects.connect()`` marks its callback with it."""
    return getattr(callback, GRANT_ID, None)


class _Committed:
    """What Django is to hold the only strong reference to."""

    def __init__(self, guard: Guard) -> None:
        self.guard = guard

    def __call__(self) -> None:
        self.guard.committed()
