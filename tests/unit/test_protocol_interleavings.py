"""Every interleaving of two and three workers that drive the real protocol, with faults at every step.

The workers' steps, the crash of a worker, an interruption that is raised into its thread, a lost request or reply, an
expired lease, a takeover, a reconnect, a disconnect, a revocation at thanks.io, a rollback of the caller's transaction
and the write of its guard, a store that fails or whose reply is lost, a commit whose reply is lost, a session that
dies: each may come between any two others. ``budget`` bounds the faults in one schedule, nothing bounds where they
come. By default one fault less is allowed; ``THANKSIO_TEST_FULL_DEPTH=1`` allows all of them.

The invariants are in ``tests/unit/model/checks.py``; that they bite is shown by ``test_mutations.py``.
"""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from tests.unit.model.explorer import explore, replay
from tests.unit.model.provider import Grant, Provider, Token
from tests.unit.model.rows import ModelRow
from tests.unit.model.state import AUTOCOMMIT, CALLERS, PARTED, Caller, Scenario
from tests.unit.model.world import FAULTS
from thanksio_connect.exceptions import InvalidGrant
from thanksio_connect.refresh.protocol import SECOND_LOOKS, Request

FAULTS_LESS = 0 if os.environ.get("THANKSIO_TEST_FULL_DEPTH") == "1" else 1

NEEDED = Request()
BULK = Request(is_needed=False)
EXPIRED = Request(has_expired=True)
REJECTED = Request(rejected=True)
FORCED = Request(force=True)

REVOKED = Provider((Grant(1, lives=False),))
DEAD = ModelRow(dead=True, error="invalid_grant")
FAILED = ModelRow(failures=2, backoff=True, error="outcome_unknown", unknown=True, failed=2)
FAILED_JUST_NOW = FAILED._replace(just_failed=True)
RENEWED = ModelRow(version=2, token=Token(0, 2), recent=True)


def scenario(budget: int, *callers: tuple[str, Request] | Caller, **more: object) -> Scenario:
    """With every kind of fault."""
    parts = tuple(caller if isinstance(caller, Caller) else Caller(caller[1], caller[0]) for caller in callers)
    return Scenario(parts, FAULTS, budget, **more)  # type: ignore[arg-type]


SCENARIOS = {
    # Where they stand.
    "two in autocommit": scenario(3, (AUTOCOMMIT, NEEDED), (AUTOCOMMIT, NEEDED)),
    "two in autocommit without RETURNING": scenario(2, (PARTED, NEEDED), (PARTED, NEEDED)),
    "autocommit and a caller's transaction": scenario(3, (AUTOCOMMIT, NEEDED), (CALLERS, NEEDED)),
    "two callers' transactions": scenario(3, (CALLERS, NEEDED), (CALLERS, NEEDED)),
    # Why they want it.
    "needed and bulk": scenario(3, (AUTOCOMMIT, EXPIRED), (AUTOCOMMIT, BULK)),
    "bulk and bulk": scenario(3, (AUTOCOMMIT, BULK), (AUTOCOMMIT, BULK)),
    "rejected and a caller's transaction, rejected": scenario(3, (PARTED, REJECTED), (CALLERS, REJECTED)),
    "forced and bulk": scenario(3, (AUTOCOMMIT, FORCED), (AUTOCOMMIT, BULK)),
    # How the row was.
    "dead: forced and needed": scenario(3, (AUTOCOMMIT, FORCED), (AUTOCOMMIT, NEEDED), row=DEAD, provider=REVOKED),
    "dead: forced twice": scenario(3, (AUTOCOMMIT, FORCED), (CALLERS, FORCED), row=DEAD, provider=REVOKED),
    "failed before: needed and bulk": scenario(3, (AUTOCOMMIT, EXPIRED), (AUTOCOMMIT, BULK), row=FAILED),
    "failed just now: needed and forced": scenario(3, (AUTOCOMMIT, NEEDED), (AUTOCOMMIT, FORCED), row=FAILED_JUST_NOW),
    "renewed lately, and refused": scenario(3, (AUTOCOMMIT, REJECTED), (AUTOCOMMIT, NEEDED), row=ModelRow(recent=True)),
    "an old instance and a fresh one": scenario(
        3, Caller(NEEDED, version=1), Caller(NEEDED, version=2), row=RENEWED, provider=Provider((Grant(2),))
    ),
    "revoked before": scenario(3, (AUTOCOMMIT, NEEDED), (AUTOCOMMIT, BULK), provider=REVOKED),
    "revoked before, in a caller's transaction": scenario(3, (CALLERS, NEEDED), (AUTOCOMMIT, BULK), provider=REVOKED),
    "another client's grant": scenario(
        3, (AUTOCOMMIT, NEEDED), (AUTOCOMMIT, FORCED), provider=REVOKED, refusal=InvalidGrant(code="other_client")
    ),
    # A provider that kills the grant when a spent token comes back.
    "reuse detected": scenario(3, (AUTOCOMMIT, NEEDED), (CALLERS, NEEDED), detects_reuse=True),
    # Three.
    "three in autocommit": scenario(2, (AUTOCOMMIT, NEEDED), (AUTOCOMMIT, NEEDED), (AUTOCOMMIT, NEEDED)),
    "three: needed, bulk, rejected": scenario(2, (AUTOCOMMIT, EXPIRED), (AUTOCOMMIT, BULK), (AUTOCOMMIT, REJECTED)),
    "three: one in a caller's transaction": scenario(2, (AUTOCOMMIT, NEEDED), (PARTED, BULK), (CALLERS, NEEDED)),
    "three callers' transactions": scenario(2, (CALLERS, NEEDED), (CALLERS, BULK), (CALLERS, REJECTED)),
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_no_interleaving_breaks_an_invariant(name: str, record_property: pytest.RecordProperty) -> None:
    budget = SCENARIOS[name].budget - FAULTS_LESS
    explored = explore(replace(SCENARIOS[name], budget=budget))
    record_property("scenario", f"{name}, up to {budget} faults")
    for number in ("schedules", "states", "steps"):
        record_property(number, getattr(explored, number))
    assert explored.schedules > 1


@pytest.mark.parametrize("name", SCENARIOS)
def test_without_faults_one_post_and_no_error(name: str) -> None:
    assert explore(replace(SCENARIOS[name], budget=0)).schedules


# Schedules that once broke an invariant, or show what a rule is for.

TWO = SCENARIOS["two in autocommit"]
IN_TRANSACTION = SCENARIOS["autocommit and a caller's transaction"]


def second_looks(worker: str) -> list[str]:
    return [f"{worker}: second look"] * SECOND_LOOKS


def test_an_unknown_outcome_is_remembered_when_the_second_sending_meets_a_wrong_secret() -> None:
    end = replay(
        TWO,
        *["A: claim", "A: post", "A: reply lost", "A: claim", "A: misconfigured", "A: reply", "A: release"],
        *["B: claim", "B: post", "B: reply", *second_looks("B"), "B: conclude invalid_grant"],
    )
    assert end.row is not None
    assert end.row.error == "lost_reply"


def test_an_interruption_after_a_lost_reply_remembers_the_unknown_outcome() -> None:
    end = replay(
        replace(TWO, callers=(Caller(), Caller(FORCED))),
        *["A: claim", "A: post", "A: reply lost", "A: is interrupted", "A: fail"],
        *["B: claim", "B: post", "B: reply", *second_looks("B"), "B: conclude invalid_grant"],
    )
    assert end.row is not None
    assert end.row.error == "lost_reply"


def test_an_interruption_leaves_the_exchange_to_the_engine() -> None:
    end = replay(TWO, "A: claim", "A: post", "A: is interrupted", "B: claim", "A: reply", "A: store")
    assert end.row == RENEWED
    assert end.provider.grants[0].last == 2


def test_an_interruption_before_anything_was_sent_gives_the_lease_back() -> None:
    end = replay(TWO, "A: claim", "A: is interrupted", "B: claim", "A: release")
    assert end.row == RENEWED


def test_an_interrupted_transaction_is_rolled_back_and_the_guard_writes() -> None:
    schedule = ["B: claim", "B: post", "B: is interrupted", "B: reply", "B: store", "B: rolls back"]
    end = replay(IN_TRANSACTION, *schedule, "B: the guard writes again")
    assert end.row == RENEWED


def test_a_request_that_comes_after_its_lease_is_not_sent() -> None:
    end = replay(
        TWO,
        *["A: claim", "B: claim", "lease expires", "B: wait", "B: claim", "B: post", "B: reply", "B: store"],
        *["A: too late to post", "A: release", "A: claim"],
    )
    assert end.row == RENEWED
    assert end.provider.grants[0].last == 2


def test_a_late_store_heals_the_verdict_of_a_caller_that_can_not_look_twice() -> None:
    end = replay(
        IN_TRANSACTION,
        *["A: claim", "A: post", "lease expires", "B: claim", "B: post", "B: reply", "B: conclude invalid_grant"],
        *["B: conclude, read", "B: commits", "A: reply", "A: store"],
    )
    assert end.row is not None
    assert (end.row.token, end.row.dead) == (Token(0, 2), False)


def test_an_exchange_whose_second_claim_finds_the_row_locked_is_recorded_and_gives_its_lease_back() -> None:
    end = replay(
        IN_TRANSACTION,
        *["A: claim", "A: post", "A: reply lost", "B: claim", "A: claim, row locked", "B: commits", "A: fail"],
    )
    assert end.row is not None
    assert (end.row.lease, end.row.unknown, end.row.failures) == (None, True, 1)


def test_a_reconnect_between_the_two_statements_of_a_claim_is_noticed() -> None:
    end = replay(
        SCENARIOS["two in autocommit without RETURNING"], "A: claim", "user reconnects", "A: claim, read", "B: claim"
    )
    assert end.row == ModelRow(token=Token(1, 1))


def test_one_who_forces_and_waits_hears_of_the_verdict() -> None:
    waiting = replace(SCENARIOS["forced and bulk"], row=ModelRow(), provider=REVOKED)
    schedule = ["B: claim", "A: claim", "B: post", "B: reply", *second_looks("B"), "B: conclude invalid_grant"]
    assert replay(waiting, *schedule, "A: wait").workers[0].phase == "done"
