"""The place for a caller whose transaction holds the row: its own connection, a guard, and an entry in the journal."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar

from django.db import DatabaseError, InterfaceError, connections

from . import connections as databases
from . import journal, rows
from .guard import Guard, lease_of
from .place import Place
from .row import Failure, Key, Row, failed_values, holds, stands

logger = logging.getLogger("thanksio_connect")

T = TypeVar("T")


class CallersTransaction(Place):
    """The row is the caller's own for now: steps run in savepoints of its transaction, guarded against its rollback.

    An entry in the journal keeps others from spending the refresh token between that rollback and the guard's write.
    """

    may_wait = False
    may_conclude = False

    def __init__(self, alias: str, key: Key, lease_seconds: float) -> None:
        super().__init__(alias, key, lease_seconds)
        self.row = (key.model._meta.concrete_model, key.pk)
        self.lease_id = lease_of(alias, self.row) or self.lease_id
        self.announced: journal.Announced | None = None
        self.is_first = True

    def run(self, step: Callable[[str], T], *, may_block: bool = True) -> T:
        """One short step; it stands or falls with the caller's transaction."""
        return databases.at_once(self.alias, step, may_block=may_block)

    def _claim_step(self, using: str) -> tuple[bool, Row | None]:
        return rows.claim(using, self.key, self.lease_id, self.lease_seconds)

    def _claim(self) -> tuple[bool, Row | None]:
        self.is_first = not self.has_claimed
        taken, row = super()._claim()
        if not taken or row is None or not self.has_journal:
            return taken, row
        # The caller's own connection never reads the journal: its snapshot is old, and MariaDB may lock what it reads.
        announced = self._outside(lambda using: journal.announce(using, self.key, self.lease_id, self.lease_seconds))
        if announced is not None:
            self.announced = announced if announced.is_ours else None
        self._confirm_lock()
        if announced is None or (announced.is_ours and not announced.taken_over):
            return True, row
        if announced.is_ours:
            self.run(lambda using: self.key.rows(using).update(outcome_unknown=True))
            return True, Row(values={**row.values, "outcome_unknown": True})
        if (values := announced.values) is not None:  # what another transaction got, and could not commit
            self.run(lambda using: rows.store(using, self.key, values))
            return False, Row(values={**row.values, **values})
        self.run(lambda using: rows.release(using, self.key, self.lease_id))
        return False, row

    def _confirm_lock(self) -> None:
        """Raise if the caller's session is gone: its lock went with it, perhaps before others could see the entry."""
        try:
            with connections[self.alias].cursor() as cursor:
                cursor.execute("SELECT 1")
        except (DatabaseError, InterfaceError):
            self._withdraw()
            raise

    def load(self) -> Row | None:
        """Read the row as the caller sees it."""
        return self.run(lambda using: rows.load(using, self.key))

    def store(self, values: dict[str, Any], after_commit: Callable[[], object]) -> tuple[bool, Row | None]:
        """Write now, and again on a private connection if the caller rolls back."""
        key = self.key
        self._guard(
            lambda using: rows.store(using, key, values)[0],
            stands=lambda using: stands(rows.load(using, key), values),
            is_pair=True,
            after_commit=after_commit,
        )
        if self.announced is not None:
            self._outside(lambda using: journal.record(using, key, self.lease_id, values))
        try:
            return databases.at_once(self.alias, self.writes(values))
        except (DatabaseError, InterfaceError) as error:
            # The transaction is broken; the guard writes when it ends. The new token is good already.
            logger.warning("Storing renewed tokens failed (%s); the rollback will store them.", type(error).__name__)
            return True, Row(values=values)

    def fail(self, row: Row, failure: Failure) -> Row:
        """Record it, and again after a rollback: an unknown outcome must not be forgotten."""
        key, written = self.key, failed_values(row, failure)
        self._guard(
            lambda using: rows.fail(using, key, self.lease_id, row, failure),
            stands=lambda using: key.is_past(now := rows.load(using, key)) or holds(now, written),
        )
        return self.run(lambda using: rows.fail(using, key, self.lease_id, row, failure))

    def conclude(self, code: str, *, access_token_dead: bool) -> bool:
        """Write the verdict, and again after a rollback."""
        key = self.key

        def step(using: str) -> bool:
            return rows.conclude(using, key, code, access_token_dead=access_token_dead)

        def is_written(using: str) -> bool:
            now = rows.load(using, key)
            return now is None or now.is_dead or key.is_past(now)

        self._guard(step, stands=is_written)
        return self.run(step)

    def release(self) -> None:
        """Give the lease back; nobody else needs to know of this renewal any more."""
        try:
            super().release()
        finally:
            self._withdraw()

    def _withdraw(self) -> None:
        if self.announced is not None:
            step = journal.forget if self.is_first and self.announced.is_new else journal.expire
            self._outside(lambda using: step(using, self.key, self.lease_id))

    def _guard(self, step: Callable[[str], object], stands: Callable[[str], bool], **options: Any) -> None:
        key = self.key
        afterwards = None if self.announced is None else lambda using: journal.forget(using, key, self.lease_id)
        Guard(self.alias, step, stands, row=self.row, lease_id=self.lease_id, afterwards=afterwards, **options)


class InTestCase(CallersTransaction):
    """As above, but nobody else can see the rows: verdicts need no second look."""

    may_conclude = True
    second_look_seconds = 0.0

    def __init__(self, alias: str, key: Key, lease_seconds: float) -> None:
        super().__init__(alias, key, lease_seconds)
        self.has_journal = False
