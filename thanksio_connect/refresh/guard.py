"""The rollback guard: a pair that had to be written in the caller's transaction is written again if that is undone.

``transaction.on_commit`` holds the only strong reference to a callback; when Django drops it uncalled, after a
ROLLBACK, its ``weakref.finalize`` fires at once (CPython counts references). Django drops the last callback first, so
the guard of a second renewal in one transaction first writes the pair that this one spent.
"""

from __future__ import annotations

import contextlib
import logging
import uuid
import weakref
from collections.abc import Callable
from itertools import count

from django.db import DatabaseError, InterfaceError, connections, transaction

from . import connections as databases

logger = logging.getLogger("thanksio_connect")

REWRITE_BUDGET_SECONDS = 30.0
_numbers = count(1)


class Guard:
    """Runs ``write(using)`` again if the block that is open on ``alias`` now is rolled back.

    ``write`` must be repeatable; ``stands(using)`` tells without a lock whether it is needed. ``row`` names what is
    written, ``lease_id`` who (see :func:`lease_of`). ``is_pair``: what is written are tokens; a later guard of the row
    writes them first. ``afterwards(using)`` runs with the last write, when the transaction is over.
    """

    def __init__(
        self,
        alias: str,
        write: Callable[[str], object],
        stands: Callable[[str], bool],
        *,
        row: object,
        lease_id: uuid.UUID | None = None,
        is_pair: bool = False,
        after_commit: Callable[[], object] | None = None,
        afterwards: Callable[[str], object] | None = None,
    ) -> None:
        self.number = next(_numbers)
        self.row = row
        self.lease_id = lease_id
        self.is_pair = is_pair
        self._alias = alias
        self._write = write
        self._stands = stands
        self._after_commit = after_commit
        self._afterwards = afterwards
        self._test_blocks = databases.testcase_blocks(alias)
        self._done = False
        self._earlier = next((guard for guard in _guards(alias, row) if guard.is_pair), None)
        self._watch()

    def _watch(self) -> None:
        committed = _Committed(self)
        weakref.finalize(committed, self._dropped).atexit = False
        connection = connections[self._alias]
        if connection.in_atomic_block:
            transaction.on_commit(committed, using=self._alias)
        else:  # set_autocommit(False): on_commit() refuses, yet Django drops the list at a rollback all the same
            connection.run_on_commit.append((set(), committed, False))  # type: ignore[arg-type]

    def committed(self) -> None:
        """The caller's transaction ended well."""
        self._done = True
        # Once more: the host may have gone back to a savepoint of its own making, of which Django does not hear.
        self._try(self._confirm)
        if self._after_commit is not None:
            self._after_commit()

    def _replay(self, using: str) -> None:
        """Write once more, after the pair that this one spent."""
        if self._stands(using):
            return
        if self._earlier is not None:
            self._earlier._replay(using)
        self._write(using)

    def _finish(self, using: str) -> None:
        self._replay(using)
        if self._afterwards is not None:
            self._afterwards(using)

    def _dropped(self) -> None:
        if not self._done:
            self._try(self._rewrite)

    def _try(self, write: Callable[[], object]) -> None:
        try:
            write()
        except Exception as error:  # noqa: BLE001 - a finalizer has nobody to raise to, nor may a host's commit fail
            logger.critical(
                "The outcome of a thanks.io token renewal could not be written after a rollback (%s). If it was a new "
                "pair that the journal does not hold, the connection is lost.",
                type(error).__name__,
            )

    def _confirm(self) -> None:
        try:
            databases.at_once(self._alias, self._finish)
        except (DatabaseError, InterfaceError):
            if not databases.has_own_connections(self._alias):
                raise
            databases.durably(self._alias, self._finish, budget_seconds=REWRITE_BUDGET_SECONDS)

    def _rewrite(self) -> None:
        connection = connections[self._alias]
        if len(connection.atomic_blocks) < self._test_blocks:
            return  # a TestCase takes back its own block: its isolation stays whole
        if not connection.in_atomic_block and not connection.autocommit and connection.connection is not None:
            # close() with autocommit off: the transaction is still open, and we would wait for its locks.
            with contextlib.suppress(DatabaseError, InterfaceError):
                connection._rollback()  # type: ignore[attr-defined]
        usable = not connection.needs_rollback and not connection.closed_in_transaction and connection.connection
        if connection.in_atomic_block and usable:  # only a savepoint went
            self._watch()
            databases.at_once(self._alias, self._replay)
        elif connection.vendor == "sqlite" and getattr(connection.connection, "isolation_level", "") is None:
            # In autocommit again, and quicker than over another connection: nobody shall come first.
            databases.persist(self._alias, self._finish, budget_seconds=REWRITE_BUDGET_SECONDS)
        elif databases.has_own_connections(self._alias):
            databases.durably(self._alias, self._finish, budget_seconds=REWRITE_BUDGET_SECONDS)
        else:
            self._finish(self._alias)


def lease_of(alias: str, row: object) -> uuid.UUID | None:
    """Under which lease this transaction has renewed the row before: its entries in the journal are its own."""
    return next((guard.lease_id for guard in _guards(alias, row)), None)


def _guards(alias: str, row: object) -> list[Guard]:
    """Those of the open transaction, the newest first."""
    callbacks = [entry[1] for entry in connections[alias].run_on_commit]
    guards = [
        callback.guard for callback in callbacks if isinstance(callback, _Committed) and callback.guard.row == row
    ]
    # Those that an inner rollback registered anew stand in another order than they were made.
    return sorted(guards, key=lambda guard: guard.number, reverse=True)


class _Committed:
    """What Django is to hold the only strong reference to."""

    def __init__(self, guard: Guard) -> None:
        self.guard = guard

    def __call__(self) -> None:
        self.guard.committed()
