"""Break each invariant of the refresh engine on purpose: the search through the interleavings finds it.

=============================================  ========================================================================
mutation                                       what is found
=============================================  ========================================================================
no lease                                       two workers spend one token
no guard                                       the rollback drops a live pair
store by lease owner instead of version        a late holder ends without the pair that it got
verdict by status code                         a wrong client secret calls a living connection dead
verdict at first sight                         dead although a living worker holds the live pair
a request that begins after its lease was over  two workers spend one token
no retry of the write                          the database hiccups, and the pair is gone
a late store does not heal the verdict         dead although the stored token lives
``fail()`` overwrites                          the row goes back to the spent pair
the verdict bumps the version                  the version does not tell whether the tokens changed
an unknown outcome is not recorded             a lost reply is taken for the user's revocation
the second sending forgets it                  the same, when that meets a wrong client secret
a takeover is not recorded                     the same, after a holder's death
no version check after a claim's read          a pair is spent that this worker does not know
a reconnect keeps the primary key              the old grant's pair is written over the new one
refresh anyway when waiting took too long      a spent token is presented
an interruption sends again                    the same
an interruption drops the pair                 a live pair is dropped
an interruption keeps the lease                a lease is left behind by a living worker
an interruption forgets the answer             a lost reply is taken for the user's revocation
=============================================  ========================================================================

Each mutation is run against the faults that it takes, and each time the unmutated engine passes the same search.
Mutations of the real statements on a database are in ``tests/integration/test_model_conformance.py``.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from tests.unit.model.explorer import explore
from tests.unit.model.provider import Token
from tests.unit.model.rows import ModelKey, ModelRow, Statements
from tests.unit.model.state import CALLERS, PARTED, Caller, Scenario, Violation
from thanksio_connect.client.tokens import TokenSet
from thanksio_connect.exceptions import InvalidGrant, RefreshInProgress, ThanksIOConfigurationError
from thanksio_connect.refresh import protocol
from thanksio_connect.refresh.protocol import (
    Claim,
    Conversation,
    Current,
    Fail,
    Load,
    Pause,
    Post,
    Release,
    Request,
    Store,
)
from thanksio_connect.refresh.token_row import Failure


class NoLease(Statements):
    def claim(self, row: Any, key: ModelKey, me: int, *, outcome_is_unknown: bool) -> tuple[ModelRow | None, bool]:
        free = row and row.without_lease()
        return super().claim(free, key, me, outcome_is_unknown=outcome_is_unknown)


class NoGuard(Statements):
    guards_rollback = False


class LateRequestIsSent(Statements):
    minds_lateness = False


class NoRetryOfTheWrite(Statements):
    retries_store = False


class StoreByLeaseOwner(Statements):
    def store(self, row: ModelRow | None, key: ModelKey, me: int, token: Token) -> ModelRow | None:
        return row if row is not None and row.lease != me else super().store(row, key, me, token)


class VerdictByStatusCode(Statements):
    def classify(self, reply: object) -> object:
        return InvalidGrant() if isinstance(reply, ThanksIOConfigurationError) else reply  # "it was a 401"


class LateStoreDoesNotHeal(Statements):
    def store(self, row: ModelRow | None, key: ModelKey, me: int, token: Token) -> ModelRow | None:
        stored = super().store(row, key, me, token)
        return stored if row is None or stored is None else stored._replace(dead=row.dead)


class FailOverwrites(Statements):
    def fail(self, row: ModelRow | None, key: ModelKey, me: int, seen: ModelRow, failure: Failure) -> ModelRow | None:
        return None if row is None else super().fail(seen._replace(lease=me), key, me, seen, failure)  # save()


class VerdictBumpsTheVersion(Statements):
    def conclude(self, row: ModelRow | None, key: ModelKey, code: str) -> ModelRow | None:
        after = super().conclude(row, key, code)
        return after if after == row or after is None else after._replace(version=key.version + 1)


class UnknownOutcomeForgotten(Statements):
    def fail(self, row: ModelRow | None, key: ModelKey, me: int, seen: ModelRow, failure: Failure) -> ModelRow | None:
        after = super().fail(row, key, me, seen, failure)
        return after and after._replace(unknown=False)


class SecondSendingForgets(Statements):
    def claim(self, row: Any, key: ModelKey, me: int, *, outcome_is_unknown: bool) -> tuple[ModelRow | None, bool]:
        return super().claim(row, key, me, outcome_is_unknown=False)


class TakeoverForgotten(Statements):
    def claim(self, row: Any, key: ModelKey, me: int, *, outcome_is_unknown: bool) -> tuple[ModelRow | None, bool]:
        after, taken = super().claim(row, key, me, outcome_is_unknown=outcome_is_unknown)
        return (after._replace(unknown=row.unknown or outcome_is_unknown) if taken and after else after), taken


class NoVersionCheckAfterTheClaim(Statements):
    def read_after_claim(self, row: ModelRow | None, taken: bool, key: ModelKey) -> tuple[bool, ModelRow | None]:
        found = self.find(row, key)
        return taken and found is not None, found


class KeepsTheLease(Statements):
    def release(self, row: ModelRow | None, key: ModelKey, me: int) -> ModelRow | None:
        return row


class ReconnectKeepsThePrimaryKey(Statements):
    def find(self, row: ModelRow | None, key: ModelKey) -> ModelRow | None:
        return row


def verdict_at_first_sight(version: int, request: Request) -> Generator[Any, Any, Current]:
    """The real protocol, with each second look skipped over."""
    conversation = protocol.renewal(version, request)
    step: Any = next(conversation)
    row = None
    try:
        while True:
            if isinstance(step, Pause) and step.second_look:
                conversation.send(True)
                step = conversation.send(row)
                continue
            result = yield step
            if isinstance(step, Claim):
                row = result.row
            step = conversation.send(result)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]


def refresh_anyway(version: int, request: Request) -> Conversation:
    """The real protocol, but whoever waited in vain spends the token all the same."""
    try:
        return (yield from protocol.renewal(version, request))
    except RefreshInProgress:
        yield Pause(second_look=True)
        row = yield Load()
        if row.version != version:
            return Current(row)
        reply = yield Post(row)
        if isinstance(reply, Exception):
            raise
        stored = yield Store(reply)
        return Current(stored.row, renewed=True)


def sends_again(row: Any, reply: Any) -> Any:
    return protocol.last_step(row, reply) if row is None or isinstance(reply, Exception) else Post(row)


def drops_the_pair(row: Any, reply: Any) -> Any:
    return Release() if isinstance(reply, TokenSet) else protocol.last_step(row, reply)


def forgets_the_answer(row: Any, reply: Any) -> Any:
    step = protocol.last_step(row, reply)
    return Release() if isinstance(step, Fail) else step


ONE = (Caller(),)
TWO = (Caller(), Caller())
FORCED = (Caller(), Caller(Request(force=True)))
IN_TRANSACTION = (Caller(), Caller(place=CALLERS))


@dataclass(frozen=True)
class Mutation:
    """What is broken, which faults it takes, and what must be found."""

    found: str
    mutant: Any
    callers: tuple[Caller, ...] = TWO
    faults: tuple[str, ...] = ()
    part: str = "statements"

    def scenario(self) -> Scenario:
        """The search, unmutated."""
        return Scenario(self.callers, frozenset(self.faults), len(self.faults))


DROPPED = "A live pair was dropped while its holder lives"
SPENT = "A spent token was presented"
WRONG_REASON = "A dead grant after an unknown outcome was recorded as invalid_grant"
DEAD_BUT_LIVES = "The row is called dead while its stored token lives"
MUTATIONS = {
    "no lease": Mutation(SPENT, NoLease()),
    "no guard": Mutation(DROPPED, NoGuard(), IN_TRANSACTION, ("rollback",)),
    "store by lease owner": Mutation(
        "A worker ended with the version that it knew", StoreByLeaseOwner(), TWO, ("lease expires", "slow holder")
    ),
    "verdict by status code": Mutation(DEAD_BUT_LIVES, VerdictByStatusCode(), TWO, ("misconfigured",)),
    "verdict at first sight": Mutation(
        "dead while a living worker holds its live pair", verdict_at_first_sight, TWO, ("lease expires",), "protocol"
    ),
    "a late request": Mutation(SPENT, LateRequestIsSent(), TWO, ("lease expires",)),
    "no retry of the write": Mutation(DROPPED, NoRetryOfTheWrite(), ONE, ("store fails",)),
    "late store does not heal": Mutation(DEAD_BUT_LIVES, LateStoreDoesNotHeal(), TWO, ("lease expires", "slow holder")),
    "fail() overwrites": Mutation("The row went back", FailOverwrites(), TWO, ("lease expires", "not sent", "crash")),
    "verdict bumps the version": Mutation("The version does not tell", VerdictBumpsTheVersion(), TWO, ("revoke",)),
    "unknown outcome forgotten": Mutation(WRONG_REASON, UnknownOutcomeForgotten(), FORCED, ("reply lost", "not sent")),
    "the second sending forgets": Mutation(WRONG_REASON, SecondSendingForgets(), TWO, ("reply lost", "misconfigured")),
    "takeover forgotten": Mutation(WRONG_REASON, TakeoverForgotten(), TWO, ("crash",)),
    "no version check after the claim": Mutation(
        "A worker ended with", NoVersionCheckAfterTheClaim(), (Caller(place=PARTED), Caller()), ("lease expires",)
    ),
    "a reconnect keeps the primary key": Mutation(
        "The row went back", ReconnectKeepsThePrimaryKey(), ONE, ("reconnect",)
    ),
    "refresh anyway": Mutation(SPENT, refresh_anyway, TWO, ("impatience",), "protocol"),
    "an interruption sends again": Mutation(SPENT, sends_again, TWO, ("interruption",), "last_step"),
    "an interruption drops the pair": Mutation(DROPPED, drops_the_pair, ONE, ("interruption",), "last_step"),
    "an interruption keeps the lease": Mutation(
        "A lease was left behind by a living worker", KeepsTheLease(), ONE, ("interruption",)
    ),
    "an interruption forgets the answer": Mutation(
        WRONG_REASON, forgets_the_answer, TWO, ("reply lost", "interruption"), "last_step"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTATIONS)
def test_the_search_finds_the_mutation_and_nothing_without_it(name: str) -> None:
    mutation = MUTATIONS[name]
    explore(mutation.scenario())
    with pytest.raises(Violation) as violation:
        explore(replace(mutation.scenario(), **{mutation.part: mutation.mutant}))
    assert mutation.found in violation.value.text
    assert violation.value.schedule
