"""The rollback guard: a pair that had to be written in the caller's transaction is written again if that is undone.

``transaction.on_commit`` holds the only strong reference to a callback; when Django drops it uncalled, after a
ROLLBACK, its ``weakref.finalize`` fires at once (CPython counts references). Django drops the last callback first, so
the guard of a second renewal in one transaction first writes the pair that this one spent.
"""

from __future__ import annotations

import logging
import uuid
import weakref
from collections.abc import Callable

from django.db import DatabaseError, InterfaceError, connections, transaction

from . import connections as databases

logger = logging.getLogger("thanksio_connect")

REWRITE_BUDGET_SECONDS = 30.0


class Guard:
    """Runs ``write(using)`` again if the block that is open on ``alias`` now is rolled back.

    ``row`` names what is written, ``lease_id`` who (see :func:`lease_of`). ``write`` must be repeatable. For a pair of
    tokens it returns whether the pair stands then, and ``stands(using)`` tells the same without a write.
    ``afterwards(using)`` runs with the last write, when the transaction is over.
    """

    def __init__(
        self,
        alias: str,
        write: Callable[[str], object],
        *,
        row: object,
        lease_id: uuid.UUID | None = None,
        stands: Callable[[str], bool] | None = None,
        after_commit: Callable[[], object] | None = None,
        afterwards: Callable[[str], object] | None = None,
    ) -> None:
        self._alias = alias
        self._write = write
        self.row = row
        self.lease_id = lease_id
        self._stands = stands
        self._after_commit = after_commit
        self._afterwards = afterwards
        self._test_blocks = databases.testcase_blocks(alias)
        self._done = False
        self._earlier = self._earlier_pair()
        self._watch()

    def _earlier_pair(self) -> Guard | None:
        """The guard of the pair that was stored last over the same row in this transaction."""
        return next((guard for guard in _guards(self._alias, self.row) if guard._stands), None)

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

    def _replay(self, using: str) -> bool:
        """Write once more, after the pair that this one spent. Returns whether it stands."""
        if self._earlier is not None:
            if self._stands is not None and self._stands(using):
                return True
            if not self._earlier._replay(using) and self._stands is not None:
                return False  # a reconnect came first, and may have the version that this one spent
        return bool(self._write(using))

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
                "pair, the connection is lost.",
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
    callbacks = [entry[1] for entry in reversed(connections[alias].run_on_commit)]
    guards = [callback.guard for callback in callbacks if isinstance(callback, _Committed)]
    return [guard for guard in guards if guard.row == row]


class _Committed:
    """What Django is to hold the only strong reference to."""

    def __init__(self, guard: Guard) -> None:
        self.guard = guard

    def __call__(self) -> None:
        self.guard.committed()
