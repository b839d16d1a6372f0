"""Where each step of a renewal touches the database. Known before anything is sent.

==================================  ============================================================================
the caller stands                   the engine works
==================================  ============================================================================
in autocommit                       on the caller's connection; a store that fails goes on over private sessions
in a transaction                    on private sessions (PostgreSQL, MariaDB): its rollback changes nothing
in a transaction whose token row    on the caller's connection, in savepoints, with the rollback guard
a private session can't see, or
sees otherwise; or on SQLite
in a ``TestCase``                   on the caller's connection, silently, without the guard
==================================  ============================================================================
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from django.db import ProgrammingError

from ..database import facts, sessions
from ..exceptions import RefreshInProgress
from ..records import record
from . import statements
from .protocol import Claim, Conclude, Fail, Load, Release
from .rollback_guard import Guard
from .statements import Claimed, Lease, Stored
from .token_row import Key, Row, new_id

T = TypeVar("T")
NOT_SEEN = (
    "The session in which the thanks.io tokens were read is gone, and a private one does not see their row. If it "
    "takes a tenant, a role or a variable to see it, name a function that sets it in THANKSIO_PREPARE_SESSION."
)
# How long one whose token still lives waits for a lock.
LIVING_LOCK_WAIT_SECONDS = 0.1
# How long one whose transaction has its own connection waits for a second one before the first has to do.
SESSION_WAIT_SECONDS = 2.0


class Place:
    """The caller is in autocommit: each step is committed on its connection, or over private sessions."""

    on_callers, on_private = True, True
    may_wait = True
    second_look_seconds = 0.5
    lock_wait_seconds = 5.0  # how long a claim waits for somebody else's lock on the row

    def __init__(self, alias: str, key: Key, lease_seconds: float, *, is_urgent: bool) -> None:
        self.alias = alias
        self.key = key
        self.is_urgent = is_urgent
        self.lease_id = new_id()
        self.lease_seconds = lease_seconds
        self.claimed_at = 0.0  # on the monotonic clock; 0 before a claim
        self.claim_budget_seconds = sessions.STEP_BUDGET_SECONDS
        if not is_urgent:  # what lives is handed out at once
            self.lock_wait_seconds, self.claim_budget_seconds = LIVING_LOCK_WAIT_SECONDS, 0.0

    def settled(self, known: dict[str, Any]) -> Place | None:
        """Return the place that it comes to. None: only the caller's transaction would do, and the token still lives.

        ``known``: the row's values as the caller has them.
        """
        return self

    def commit(self, step: Callable[[str], T], *, budget_seconds: float = sessions.STEP_BUDGET_SECONDS) -> T:
        """Run one short, repeatable step; it is committed when this returns.

        Once the caller's session has died, its state (a tenant, a role) is gone: private ones do from then on.
        """
        return sessions.committed(
            self.alias,
            step,
            on_callers=self.on_callers,
            on_private=self.on_private,
            budget_seconds=budget_seconds,
            when_lost=self.leave_callers,
        )

    def leave_callers(self) -> None:
        """Use the caller's session no more."""
        self.on_callers = False

    def load(self, step: Load) -> Row | None:
        """Read the row as committed."""
        return self.commit(lambda using: statements.load(using, self.key))

    def claim(self, step: Claim) -> Claimed:
        """Take the lease. Raises RefreshInProgress if somebody has the row locked."""
        self.claimed_at = time.monotonic()
        claim = partial(statements.claim, key=self.key, lease=self.lease(step))
        return self.commit(claim, budget_seconds=self.claim_budget_seconds)

    def lease(self, step: Claim) -> Lease:
        """What a claim asks for."""
        return Lease(self.lease_id, self.lease_seconds, self.lock_wait_seconds, step.outcome_is_unknown)

    def store(self, values: dict[str, Any], after_commit: Callable[[], object]) -> Stored:
        """Make the pair durable, whatever it takes; ``after_commit`` runs once it is."""
        callers_saw_it = self.on_callers  # at the claim

        def write(using: str) -> Stored:
            stored = statements.store(using, self.key, values)
            if stored.row is None and callers_saw_it and not self.on_callers:
                raise ProgrammingError(NOT_SEEN)
            return stored

        stored = self.commit(write, budget_seconds=sessions.STORE_BUDGET_SECONDS)
        if stored.stands:
            after_commit()
        return stored

    def fail(self, step: Fail) -> Row:
        """Give the lease back and record why."""
        return self.commit(lambda using: statements.fail(using, self.key, self.lease_id, step.row, step.failure))

    def conclude(self, step: Conclude) -> bool:
        """Write the verdict."""
        return self.commit(lambda using: statements.conclude(using, self.key, step.code, step.access_token_dead))

    def release(self, step: Release) -> None:
        """Give the lease back, if one was claimed."""
        if self.claimed_at:
            self.commit(lambda using: statements.release(using, self.key, self.lease_id))


class PrivateSessions(Place):
    """The caller is in a transaction: each step opens a private session, commits and closes it."""

    on_callers = False
    lock_wait_seconds = 2.0  # it may be the caller's own transaction that has the row locked
    probed: Claimed | None = None

    def claim(self, step: Claim) -> Claimed:
        """As elsewhere; the first claim was made while the place was chosen."""
        probed, self.probed = self.probed, None
        return probed or super().claim(step)

    def settled(self, known: dict[str, Any]) -> Place | None:
        """Claim the row, or go to the caller's transaction."""
        reason = "a private session does not see its token row (see THANKSIO_PREPARE_SESSION)"
        try:
            if self.sees_the_row(known, SESSION_WAIT_SECONDS if self.is_urgent else 0.0):
                return self
        except sessions.LOST_IN_TRANSIT as error:
            reason = f"a private session could not be had ({type(error).__name__})"
        place = CallersTransaction(self.alias, self.key, self.lease_seconds, is_urgent=self.is_urgent, reason=reason)
        place.lease_id = self.lease_id  # which a claim may have taken whose reply was lost
        return place.settled(known)

    def sees_the_row(self, known: dict[str, Any], patience_seconds: float) -> bool:
        """Claim the row, if a private session sees it, and sees the one that the caller has.

        Another tenant's table may hold the same key: its row differs in owner or token. A row that is older than the
        caller's was renewed in the caller's transaction.
        """
        with sessions.private_session(self.alias, patience_seconds=patience_seconds) as using:
            # First a read: MariaDB's UPDATE would wait for a row that the caller has just inserted.
            if (row := statements.load(using, self.key)) is None or is_another(row, self.key, known):
                return False
            self.claimed_at = time.monotonic()
            self.probed = statements.claim(using, self.key, self.lease(Claim()))
        return self.probed.row is not None


def is_another(row: Row, key: Key, known: dict[str, Any]) -> bool:
    if row.values["connection_id"] != key.connection_id or row.version < key.version:
        return True
    stored = row.refresh_token or ""
    return row.version == key.version and known.get("refresh_token", stored) != stored


class InTestCase(Place):
    """The rows are the test's own: steps run in savepoints of its transaction, and nobody else can see them."""

    on_private = False
    may_wait = False
    second_look_seconds = 0.0

    def claim(self, step: Claim) -> Claimed:
        """As elsewhere. What conflicts with the caller's snapshot can't be tried again in its transaction."""
        try:
            return super().claim(step)
        except sessions.LOST_IN_TRANSIT as error:
            if not facts.is_conflict(error):
                raise
            raise RefreshInProgress(code="row_locked") from error


class CallersTransaction(InTestCase):
    """No other session will do: steps run in savepoints of the caller's transaction, guarded against its rollback."""

    def __init__(self, alias: str, key: Key, lease_seconds: float, *, is_urgent: bool, reason: str) -> None:
        super().__init__(alias, key, lease_seconds, is_urgent=is_urgent)
        self.reason = reason

    def settled(self, known: dict[str, Any]) -> Place | None:
        """What lives is used rather than renewed here; else say why it is done here."""
        if not self.is_urgent:
            return None
        record("transaction.renewed_inside", words={"reason": self.reason}, **self.key.ids)
        return self

    def store(self, values: dict[str, Any], after_commit: Callable[[], object]) -> Stored:
        """Write now, and again if the caller rolls back."""
        Guard(self.alias, self.key, values, after_commit)
        try:
            return self.commit(partial(statements.store, key=self.key, values=values))
        except sessions.LOST_IN_TRANSIT as error:
            # The transaction is broken; the guard writes when it ends. The new token is good already.
            record("transaction.store_failed", code=type(error).__name__, **self.key.ids)
            return Stored(True, Row(values))


def first_choice(alias: str, key: Key, lease_seconds: float, *, is_urgent: bool) -> Place:
    """Return the place for this caller, as far as it is known without a query; :meth:`Place.settled` decides.

    ``is_urgent``: nothing but a new token helps the caller.
    """
    if not facts.in_transaction(alias):
        return Place(alias, key, lease_seconds, is_urgent=is_urgent)
    if facts.in_testcase(alias):
        return InTestCase(alias, key, lease_seconds, is_urgent=is_urgent)
    if reason := facts.obstacle_beside_a_transaction(alias):
        return CallersTransaction(alias, key, lease_seconds, is_urgent=is_urgent, reason=reason)
    return PrivateSessions(alias, key, lease_seconds, is_urgent=is_urgent)
