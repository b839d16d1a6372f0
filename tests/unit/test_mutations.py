"""Break each invariant of the refresh engine on purpose: the search through the interleavings finds it.

================================================  =====================================================================
mutation                                          what is found
================================================  =====================================================================
no lease                                          two workers spend one token
store in the caller's transaction, no guard       the rollback drops a live pair
store by lease owner instead of version           a late holder ends without the pair that it got
verdict by status code                            a wrong client secret calls a living connection dead
no re-read before the verdict                     dead although a living worker holds the live pair
no re-read before a taken over token is spent     two workers spend one token: the lease's holder was only slow
a request that begins after its lease was over    the same
a pair that waits for the row's lock is not kept  its holder's death drops it; who has the lock spends its token
no retry of the write                             the database hiccups, and the pair is gone
a late store does not heal the verdict            dead although the stored token lives
``fail()`` overwrites                             the row goes back to the spent pair
the verdict bumps the version                     a late holder ends with a dead token
an unknown outcome is not recorded                a lost reply is taken for the user's revocation
a takeover is not recorded                        the same, after a holder's death
no version check after a claim's separate read    a reconnect's pair is spent, and the new one not stored
refresh anyway when waiting took too long         a spent token is presented
no look into the journal                          the same, between a rollback and its guard
no question whether the lock was held             the same, when the session died before the entry was seen
what the first sending came to is forgotten       the journal, or the row, loses an unknown outcome
a late failure takes an unknown outcome back      a lost reply is taken for the user's revocation
================================================  =====================================================================

Each mutation is run against the faults that it takes, and each time the unmutated engine passes the same search.
Mutations of the real statements on a database are in ``tests/integration/test_model_conformance.py``.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pytest
from thanksio_connect.refresh.row import Failure, Row
from thanksio_connect.refresh.steps import Claim, Current, Load, Pause, Post, Request, Store

from tests.unit.model.explorer import explore
from tests.unit.model.provider import Token
from tests.unit.model.rows import ModelRow, Seen, Statements
from tests.unit.model.state import AUTOCOMMIT, CALLERS, SQLITE, Caller, Scenario, Violation
from thanksio_connect.exceptions import InvalidGrant, RefreshInProgress, ThanksIOConfigurationError
from thanksio_connect.refresh import protocol


class NoLease(Statements):
    def take(self, row: ModelRow | None, me: int, version: int) -> tuple[ModelRow | None, bool, bool]:
        if row is None or row.version != version:
            return row, False, False
        return row._replace(lease=me, lease_lives=True), True, False


class NoGuard(Statements):
    guards_rollback = False


class NoLookIntoTheJournal(Statements):
    minds_journal = False


class NoQuestionAfterTheEntry(Statements):
    confirms_lock = False


class PairIsNotKept(Statements):
    keeps_pair = False


class LateRequestIsSent(Statements):
    minds_lateness = False


class FirstSendingForgotten(Statements):
    remembers_first_sending = False


class LateFailureTakesBack(Statements):
    def fail(self, row: ModelRow | None, me: int, version: int, seen: Row | Seen, failure: Failure) -> ModelRow | None:
        after = super().fail(row, me, version, seen, failure)
        if after is None or after == row or after.lease is not None:
            return row
        return after._replace(unknown=seen.outcome_unknown or failure.outcome_unknown)


class StoreByLeaseOwner(Statements):
    def store(self, row: ModelRow | None, me: int, version: int, token: Token, rejections: int) -> ModelRow | None:
        if row is not None and row.lease != me:
            return row
        return super().store(row, me, version, token, rejections)


class VerdictByStatusCode(Statements):
    def classify(self, reply: object) -> object:
        return InvalidGrant() if isinstance(reply, ThanksIOConfigurationError) else reply  # "it was a 401"


class NoRetryOfTheWrite(Statements):
    retries_store = False


class LateStoreDoesNotHeal(Statements):
    def store(self, row: ModelRow | None, me: int, version: int, token: Token, rejections: int) -> ModelRow | None:
        stored = super().store(row, me, version, token, rejections)
        return stored if row is None or stored is None else stored._replace(dead=row.dead)


class FailOverwrites(Statements):
    def fail(self, row: ModelRow | None, me: int, version: int, seen: Row, failure: Failure) -> ModelRow | None:
        before: ModelRow = seen.values["model"]  # as ``instance.save()`` would
        return None if row is None else super().fail(before._replace(lease=me), me, version, seen, failure)


class VerdictBumpsTheVersion(Statements):
    def conclude(self, row: ModelRow | None, version: int, code: str) -> ModelRow | None:
        after = super().conclude(row, version, code)
        return after if after == row or after is None else after._replace(version=version + 1)


class UnknownOutcomeForgotten(Statements):
    def fail(self, row: ModelRow | None, me: int, version: int, seen: Row, failure: Failure) -> ModelRow | None:
        failure = replace(failure, outcome_unknown=False)
        seen = Row(values={**seen.values, "outcome_unknown": False})
        return super().fail(row, me, version, seen, failure)


class TakeoverForgotten(Statements):
    def take(self, row: ModelRow | None, me: int, version: int) -> tuple[ModelRow | None, bool, bool]:
        after, taken, taken_over = super().take(row, me, version)
        if taken and row is not None and after is not None:
            after = after._replace(unknown=row.unknown)
        return after, taken, taken_over


class NoVersionCheckAfterTheClaim(Statements):
    def read_after_take(self, row: ModelRow | None, taken: bool, version: int) -> bool:
        return taken and row is not None


def without_second_look(version: int, request: Request, *, before_verdict: bool = True) -> Generator[Any, Any, Current]:
    """The real protocol, with each second look skipped over that comes after (or before) the first request."""
    conversation = protocol.renewal(version, request)
    step = next(conversation)
    row: Row | None = None
    has_posted = False
    try:
        while True:
            has_posted = has_posted or isinstance(step, Post)
            if isinstance(step, Pause) and step.second_look and has_posted == before_verdict:
                step = conversation.send(True)
                assert isinstance(step, Load)
                step = conversation.send(row)
                continue
            result = yield step
            if isinstance(step, Claim):
                row = result[1]
            step = conversation.send(result)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]


def refresh_anyway(version: int, request: Request) -> Generator[Any, Any, Current]:
    """The real protocol, but whoever waited in vain spends the token all the same."""
    try:
        return (yield from protocol.renewal(version, request))
    except RefreshInProgress:
        row = yield Load()
        if row.version != version:
            return Current(row)
        reply = yield Post(row)
        if isinstance(reply, Exception):
            raise
        _stored, row = yield Store(reply, 0)
        return Current(row, renewed=True)


TWO = (Caller(), Caller())
IN_TRANSACTION = (Caller(), Caller(place=CALLERS))
THREE = (Caller(), Caller(place=SQLITE), Caller(place=CALLERS))


@dataclass(frozen=True)
class Mutation:
    """What is broken, where it takes what faults, and what must be found."""

    found: str
    mutant: Any
    callers: tuple[Caller, ...] = TWO
    faults: tuple[str, ...] = ()
    has_journal: bool = True

    def scenario(self) -> Scenario:
        """The search, unmutated."""
        return Scenario(self.callers, frozenset(self.faults), len(self.faults), has_journal=self.has_journal)


DROPPED = "A live pair was dropped while its holder lives"
SPENT = "A spent token was presented"
DEAD_TOKEN = "A worker ended with a dead token"
WRONG_REASON = "A dead grant after an unknown outcome was recorded as invalid_grant"
MUTATIONS = {
    "no lease": Mutation(SPENT, NoLease()),
    "store in the caller's transaction": Mutation(DROPPED, NoGuard(), IN_TRANSACTION, ("rollback",), has_journal=False),
    "no look into the journal": Mutation(SPENT, NoLookIntoTheJournal(), IN_TRANSACTION, ("rollback",)),
    "no question whether the lock was held": Mutation(
        SPENT, NoQuestionAfterTheEntry(), IN_TRANSACTION, ("session dies",)
    ),
    "first sending forgotten by the journal": Mutation(
        "The journal forgets", FirstSendingForgotten(), IN_TRANSACTION, ("reply lost", "session dies")
    ),
    "first sending forgotten by the row": Mutation(
        WRONG_REASON, FirstSendingForgotten(), THREE, ("reply lost", "session dies")
    ),
    "a late failure takes it back": Mutation(
        WRONG_REASON,
        LateFailureTakesBack(),
        (Caller(place=CALLERS), Caller(place=CALLERS), Caller()),
        ("rollback", "not sent", "lease expires", "reply lost"),
    ),
    "store by lease owner": Mutation(
        "A worker ended with the version that it knew", StoreByLeaseOwner(), TWO, ("lease expires",)),
    "verdict by status code": Mutation(
        "The row is called dead while its stored token lives", VerdictByStatusCode(), TWO, ("misconfigured",)
    ),
    "no re-read before the verdict": Mutation(
        "dead while a living worker holds its live pair", without_second_look, IN_TRANSACTION,
        ("journal fails", "rollback"),
    ),
    "no re-read before a taken over token is spent": Mutation(
        SPENT, partial(without_second_look, before_verdict=False), TWO, ("lease expires",)
    ),
    "a late request": Mutation(SPENT, LateRequestIsSent(), TWO, ("lease expires",)),
    "a waiting pair is not kept, and its holder dies": Mutation(
        DROPPED, PairIsNotKept(), IN_TRANSACTION, ("crash",)
    ),
    "a waiting pair is not kept, and its lease expires": Mutation(
        SPENT, PairIsNotKept(), IN_TRANSACTION, ("lease expires",)
    ),
    "no re-read, after a rollback": Mutation(
        "dead while a living worker holds its live pair",
        without_second_look,
        IN_TRANSACTION,
        ("rollback",),
        has_journal=False,
    ),
    "no retry of the write": Mutation(DROPPED, NoRetryOfTheWrite(), (Caller(),), ("store fails",)),
    "late store does not heal": Mutation(
        "The row is called dead while its stored token lives",
        LateStoreDoesNotHeal(),
        TWO,
        ("lease expires", "slow holder"),
    ),
    "fail() overwrites": Mutation("The row went back", FailOverwrites(), TWO, ("lease expires", "request lost")),
    "verdict bumps the version": Mutation(
        DEAD_TOKEN, VerdictBumpsTheVersion(), TWO, ("lease expires", "slow holder")
    ),
    "unknown outcome forgotten": Mutation(
        WRONG_REASON, UnknownOutcomeForgotten(), TWO, ("reply lost", "not sent")
    ),
    "takeover forgotten": Mutation(WRONG_REASON, TakeoverForgotten(), TWO, ("crash",)),
    "no version check after the claim": Mutation(
        DEAD_TOKEN, NoVersionCheckAfterTheClaim(), (Caller(place=SQLITE),), ("reconnect",)
    ),
    "refresh anyway": Mutation(SPENT, refresh_anyway, (Caller(), Caller(place=AUTOCOMMIT)), ("impatience",)),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTATIONS)
def test_the_search_finds_the_mutation_and_nothing_without_it(name: str) -> None:
    mutation = MUTATIONS[name]
    explore(mutation.scenario())
    part = "statements" if isinstance(mutation.mutant, Statements) else "protocol"
    with pytest.raises(Violation) as violation:
        explore(replace(mutation.scenario(), **{part: mutation.mutant}))
    assert mutation.found in violation.value.text
    assert violation.value.schedule
