"""Where each step of a renewal touches the database. Chosen before anything is sent.

=====================  ===================================================================================
the caller stands      the engine works
=====================  ===================================================================================
in autocommit          on the caller's connection; a store that fails goes on over private connections
in a transaction       on private connections (PostgreSQL, MariaDB), so a rollback of the caller's changes nothing
in a transaction that  on the caller's connection, in savepoints, waiting for nobody, and with a guard that writes the
holds the row, or on   pair again after a rollback; but on SQLite and in a TestCase, with an entry in the journal
SQLite, or a TestCase  that tells others meanwhile
=====================  ===================================================================================
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from django.db import DatabaseError, InterfaceError, connections

from . import connections as databases
from . import journal, rows
from .guard import Guard, lease_of
from .row import Failure, Key, Row, failed_values, holds, stands

logger = logging.getLogger("thanksio_connect")

T = TypeVar("T")
# A locked row is in the caller's hands, or in another worker's short step: its lease tells that there is such a worker.
LOCKED_SECONDS, LOCKED_TRIES, LEASED_TRIES = 0.02, 3, 25
# MariaDB locks the row for a child of it: two transactions with a child each would wait for one another.
SHARED_LOCK_SECONDS = 5.0
# SQLite has no journal: whoever held the file may just have rolled a new pair back, which its guard writes again now.
WAITED_SECONDS, GUARD_SECONDS = 0.005, 0.2
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
        self.was_locked = False

    def run(self, step: Callable[[str], T], *, may_block: bool = True) -> T:
        """One short, repeatable step, committed when this returns. ``may_block``: it waits for row locks."""
        return databases.persist(self.alias, step, budget_seconds=STEP_BUDGET_SECONDS, may_block=may_block)

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
        began = time.monotonic()
        try:
            taken, row = self.run(self._claim_step, may_block=False)
        except DatabaseError as error:
            if not databases.is_lock_error(error):
                raise
            taken, row = False, None
        if self.may_wait and connections[self.alias].vendor == "sqlite":
            has_waited = self.was_locked or time.monotonic() - began > WAITED_SECONDS
            self.was_locked = row is None
            if taken and has_waited:
                time.sleep(GUARD_SECONDS)
                row = self.load()
                taken = row is not None and row.version == self.key.version
        if taken and row is not None:
            self.key = replace(self.key, grant_id=row.values["grant_id"])
        return taken, row

    def _claim_step(self, using: str) -> tuple[bool, Row | None]:
        return journal.claim(using, self.key, self.lease_id, self.lease_seconds)

    def probe(self) -> bool:
        """Try the first claim now, for the renewal to begin with. Returns whether the row could be had here at all."""
        self.probed = self.claim()
        return self.probed[0] or self.probed[1] is not None

    def store(self, values: dict[str, Any], after_commit: Callable[[], object]) -> tuple[bool, Row | None]:
        """Make the pair durable, whatever it takes; ``after_commit`` runs once it is."""
        stored = databases.persist(self.alias, self.writes(values))
        if stored[0]:
            after_commit()
        return stored

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
        """Give the lease back."""
        self.run(lambda using: rows.release(using, self.key, self.lease_id))


class OwnConnections(Place):
    """The caller is in a transaction: each step opens a private connection and closes it."""

    def run(self, step: Callable[[str], T], *, may_block: bool = True) -> T:
        """One short, repeatable step, committed when this returns."""
        return databases.durably(self.alias, step, budget_seconds=STEP_BUDGET_SECONDS, may_block=may_block)

    def load(self) -> Row | None:
        """Read the row as committed."""
        with databases.own_connection(self.alias) as using:
            return rows.load(using, self.key)

    def store(self, values: dict[str, Any], after_commit: Callable[[], object]) -> tuple[bool, Row | None]:
        """Make the pair durable, whatever it takes and whatever the caller's transaction comes to."""
        stored = databases.durably(self.alias, self.writes(values), budget_seconds=databases.STORE_BUDGET_SECONDS)
        if stored[0]:
            after_commit()
        return stored

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
        self.has_journal = connections[alias].vendor != "sqlite"
        self.announced: journal.Announced | None = None

    def run(self, step: Callable[[str], T], *, may_block: bool = True) -> T:
        """One short step; it stands or falls with the caller's transaction."""
        return databases.at_once(self.alias, step, may_block=may_block)

    def _claim_step(self, using: str) -> tuple[bool, Row | None]:
        return rows.claim(using, self.key, self.lease_id, self.lease_seconds)

    def _claim(self) -> tuple[bool, Row | None]:
        taken, row = super()._claim()
        if not taken or row is None or not self.has_journal:
            return taken, row
        # The caller's own connection never reads the journal: its snapshot is old, and MariaDB may lock what it reads.
        announced = self._outside(lambda using: journal.announce(using, self.key, self.lease_id, self.lease_seconds))
        self.announced = announced if announced is not None and announced.is_ours else None
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

    def _outside(self, step: Callable[[str], T]) -> T | None:
        """Do a step in the journal, within a second or not at all: the guard does without."""
        try:
            return databases.durably(self.alias, step, budget_seconds=JOURNAL_BUDGET_SECONDS, lock_wait_seconds=1)
        except (DatabaseError, InterfaceError) as error:
            logger.warning("The journal of renewals could not be written (%s).", type(error).__name__)
            return None

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
        super().release()
        self._withdraw()

    def _withdraw(self) -> None:
        if self.announced is not None:
            step = journal.expire if self.announced.taken_over else journal.forget
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


def choose(alias: str, key: Key, lease_seconds: float, *, must_renew: bool) -> Place | None:
    """The place for this caller. None: only the caller's transaction would do, and the token still lives, so use it."""
    if not databases.in_transaction(alias):
        return Place(alias, key, lease_seconds)
    if databases.testcase_blocks(alias):
        return InTestCase(alias, key, lease_seconds)
    callers = CallersTransaction(alias, key, lease_seconds)
    if connections[alias].vendor != "sqlite":
        own = OwnConnections(alias, key, lease_seconds)
        reached = own.probe() or own.reaches_row()
        if reached:
            return own
        if not must_renew:
            return None
        if not callers.probe() and reached is None:
            own.probed = None
            if not connections[alias].features.has_select_for_no_key_update:
                own.patience_seconds = SHARED_LOCK_SECONDS
            return own  # somebody else's lock: wait for it there
        reason = "the transaction holds, or has just created, the connection's row"
    elif not must_renew:
        return None
    else:
        reason = "SQLite has one writer at a time"
    logger.warning(
        "thanks.io tokens of connection %s are renewed inside a database transaction, because %s. Its locks are held "
        "until thanks.io answers. Call connection.get_access_token() before the transaction begins.",
        key.pk,
        reason,
    )
    return callers
