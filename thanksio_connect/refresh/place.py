"""A place is where the steps of a renewal touch the database: the caller's connection, or private ones."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from django.db import DatabaseError, InterfaceError

from . import connections as databases
from . import journal, locks, rows
from .row import Failure, Key, Row

logger = logging.getLogger("thanksio_connect")

T = TypeVar("T")
# A locked row is in the caller's hands, or in another worker's short step: its lease tells that there is such a worker.
LOCKED_SECONDS, LOCKED_TRIES, LEASED_TRIES = 0.02, 3, 25
# How long a step other than the store is tried again when its session dies.
STEP_BUDGET_SECONDS = 5.0
JOURNAL_BUDGET_SECONDS = 0.9  # again if its session dies, but not after a second's wait for a lock


class Place:
    """The caller is in autocommit: steps run, and commit, on its connection."""

    may_wait = True
    may_conclude = True
    second_look_seconds = 0.5
    patience_seconds: float | None = None  # how long to wait for others at most, if less than one exchange may take

    def __init__(self, alias: str, key: Key, lease_seconds: float) -> None:
        self.alias = alias
        self.key = key
        self.lease_id = uuid.uuid4()
        self.lease_seconds = lease_seconds
        self.probed: tuple[bool, Row | None] | None = None
        self.has_claimed = False
        self.has_journal = databases.has_own_connections(alias)
        self.is_kept = False  # the pair, in the journal
        self.claimed_at = 0.0  # on the monotonic clock

    def run(self, step: Callable[[str], T], *, may_block: bool = True) -> T:
        """One short, repeatable step, committed when this returns. ``may_block``: it waits for row locks."""
        return self._durably(step, budget_seconds=STEP_BUDGET_SECONDS, may_block=may_block)

    def _durably(self, step: Callable[[str], T], **options: Any) -> T:
        return databases.persist(self.alias, step, **options)

    def load(self) -> Row | None:
        """Read the row as committed, in one statement without a transaction."""
        return rows.load(self.alias, self.key)

    def claim(self) -> tuple[bool, Row | None]:
        """Take the lease."""
        if self.probed is not None:
            (result, self.probed) = (self.probed, None)
            return result
        return self._claim()

    def _claim(self) -> tuple[bool, Row | None]:
        self.claimed_at = time.monotonic()
        try:
            taken, row = self.run(self._claim_step, may_block=False)
        except DatabaseError as error:
            if not locks.is_lock_error(error):
                raise
            taken, row = False, None
        if taken and row is not None:
            self.has_claimed = True
            self.key = replace(self.key, grant_id=row.values["grant_id"])
        return taken, row

    def _claim_step(self, using: str) -> tuple[bool, Row | None]:
        return journal.claim(using, self.key, self.lease_id, self.lease_seconds, again=self.has_claimed)

    def probe(self) -> bool:
        """Try the first claim now, for the renewal to begin with. Returns whether the row could be had here at all."""
        self.probed = self.claim()
        return self.probed[0] or self.probed[1] is not None

    def store(self, values: dict[str, Any], after_commit: Callable[[], object]) -> tuple[bool, Row | None]:
        """Make the pair durable, whatever it takes; ``after_commit`` runs once it is."""
        stored = self._durably(
            self.writes(values),
            budget_seconds=databases.STORE_BUDGET_SECONDS,
            when_locked=lambda: self.keep(values),
        )
        if self.is_kept:
            key = self.key
            self._outside(lambda using: journal.forget(using, key, self.lease_id))
        if stored[0]:
            after_commit()
        return stored

    def keep(self, values: dict[str, Any]) -> None:
        """Put the pair into the journal for now: the row is locked, perhaps for longer than the lease or we live."""
        key = self.key
        self.is_kept = bool(self._outside(lambda using: journal.keep(using, key, self.lease_id, values)))

    def _outside(self, step: Callable[[str], T]) -> T | None:
        """Do a step in the journal, within a second or not at all: the row's store, or the guard, does without."""
        try:
            return databases.durably(self.alias, step, budget_seconds=JOURNAL_BUDGET_SECONDS, lock_wait_seconds=1)
        except (DatabaseError, InterfaceError) as error:
            logger.warning("The journal of renewals could not be written (%s).", type(error).__name__)
            return None

    def writes(self, values: dict[str, Any]) -> Callable[[str], tuple[bool, Row | None]]:
        """The store as a repeatable step."""
        key = self.key
        return lambda using: rows.store(using, key, values)

    def fail(self, row: Row, failure: Failure) -> Row:
        """Give the lease back and record why."""
        return self.run(lambda using: rows.fail(using, self.key, self.lease_id, row, failure))

    def conclude(self, code: str, *, access_token_dead: bool) -> bool:
        """Write the verdict."""
        return self.run(lambda using: rows.conclude(using, self.key, code, access_token_dead=access_token_dead))

    def release(self) -> None:
        """Give the lease back; a claim after that is a new one."""
        self.has_claimed = False
        self.run(lambda using: rows.release(using, self.key, self.lease_id))


class OwnConnections(Place):
    """The caller is in a transaction: each step opens a private connection and closes it."""

    def _durably(self, step: Callable[[str], T], **options: Any) -> T:
        return databases.durably(self.alias, step, **options)

    def load(self) -> Row | None:
        """Read the row as committed."""
        with databases.own_connection(self.alias) as using:
            return rows.load(using, self.key)

    def reaches_row(self) -> bool | None:
        """Look at a locked row until it can be had. None: it stays locked. False: it is gone or is not visible here."""
        tries = 0
        while (row := self.load()) is not None:
            if row.version < self.key.version:
                return False  # the caller's transaction has a newer grant, which nobody else sees yet
            if row.version > self.key.version:
                self.probed = (False, row)
                return True
            if tries >= (LEASED_TRIES if row.lease_lives else LOCKED_TRIES):
                return None
            tries += 1
            time.sleep(LOCKED_SECONDS)
            if self.probe():
                return True
        return False
