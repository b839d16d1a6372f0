"""Every interleaving of two and three workers that drive the real protocol, with faults at every step.

The workers' steps, the crash of a worker, a lost request or reply, an expired lease, a takeover, a reconnect, a
disconnect, a revocation at thanks.io, a rollback of the caller's transaction and the write of its guard, a store that
fails or whose reply is lost, a commit whose reply is lost, a database session that dies, a journal that can't be
written: each may come between any two others. ``budget`` bounds the faults in one schedule, nothing bounds where they
come. ``THANKSIO_TEST_MORE_FAULTS=1`` allows one more in each (minutes, some GB of memory).

The invariants are in ``tests/unit/model/checks.py``; that they bite is shown by ``test_mutations.py``.
"""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
from thanksio_connect.refresh.steps import Request

from tests.unit.model.explorer import explore, replay
from tests.unit.model.provider import Grant, Provider, Token
from tests.unit.model.rows import ModelRow
from tests.unit.model.state import AUTOCOMMIT, CALLERS, SQLITE, Caller, Scenario
from tests.unit.model.world import FAULTS

MORE_FAULTS = int(os.environ.get("THANKSIO_TEST_MORE_FAULTS", "0"))

NEEDED = Request()
BULK = Request(is_needed=False)
EXPIRED = Request(has_expired=True)
REJECTED = Request(rejected=True)
FORCED = Request(force=True)

REVOKED = Provider((Grant(1, lives=False),))
DEAD = ModelRow(dead=True, error="invalid_grant")
FAILED = ModelRow(failures=2, backoff=True, error="outcome_unknown", unknown=True)
THROTTLED = ModelRow(failures=1, backoff=True, error="throttled")
RENEWED = ModelRow(version=2, token=Token(0, 2), recent=True)


def scenario(budget: int, *callers: tuple[str, Request] | Caller, **more: object) -> Scenario:
    """With every kind of fault."""
    parts = tuple(caller if isinstance(caller, Caller) else Caller(caller[1], caller[0]) for caller in callers)
    return Scenario(parts, FAULTS, budget, **more)  # type: ignore[arg-type]


SCENARIOS = {
    # Where they stand.
    "two in autocommit": scenario(3, (AUTOCOMMIT, NEEDED), (AUTOCOMMIT, NEEDED)),
    "two in autocommit on SQLite": scenario(2, (SQLITE, NEEDED), (SQLITE, NEEDED)),
    "autocommit and a caller's transaction": scenario(3, (AUTOCOMMIT, NEEDED), (CALLERS, NEEDED)),
    "SQLite and a caller's transaction": scenario(3, (SQLITE, NEEDED), (CALLERS, NEEDED)),
    "two callers' transactions": scenario(3, (CALLERS, NEEDED), (CALLERS, NEEDED)),
    "two callers' transactions, without the journal": scenario(
        3, (CALLERS, NEEDED), (CALLERS, NEEDED), has_journal=False
    ),
    # Why they want it.
    "needed and bulk": scenario(3, (AUTOCOMMIT, EXPIRED), (AUTOCOMMIT, BULK)),
    "bulk and bulk": scenario(3, (AUTOCOMMIT, BULK), (AUTOCOMMIT, BULK)),
    "bulk and a caller's transaction": scenario(3, (AUTOCOMMIT, BULK), (CALLERS, EXPIRED)),
    "two rejected": scenario(3, (AUTOCOMMIT, REJECTED), (AUTOCOMMIT, REJECTED)),
    "rejected and a caller's transaction, rejected": scenario(3, (SQLITE, REJECTED), (CALLERS, REJECTED)),
    "forced and bulk": scenario(3, (AUTOCOMMIT, FORCED), (AUTOCOMMIT, BULK)),
    "two forced": scenario(3, (AUTOCOMMIT, FORCED), (AUTOCOMMIT, FORCED)),
    # How the row was.
    "dead: forced and needed": scenario(3, (AUTOCOMMIT, FORCED), (AUTOCOMMIT, NEEDED), row=DEAD, provider=REVOKED),
    "dead: forced twice": scenario(3, (AUTOCOMMIT, FORCED), (CALLERS, FORCED), row=DEAD, provider=REVOKED),
    "failed before: needed and bulk": scenario(3, (AUTOCOMMIT, EXPIRED), (AUTOCOMMIT, BULK), row=FAILED),
    "throttled: needed and forced": scenario(3, (AUTOCOMMIT, EXPIRED), (AUTOCOMMIT, FORCED), row=THROTTLED),
    "a storm of rejections": scenario(
        3, (AUTOCOMMIT, REJECTED), (AUTOCOMMIT, NEEDED), row=ModelRow(rejections=3, recent=True)
    ),
    "an old instance and a fresh one": scenario(
        3, Caller(NEEDED, version=1), Caller(NEEDED, version=2), row=RENEWED, provider=Provider((Grant(2),))
    ),
    "revoked before": scenario(3, (AUTOCOMMIT, NEEDED), (AUTOCOMMIT, BULK), provider=REVOKED),
    "revoked before, in callers' transactions": scenario(
        2, (CALLERS, NEEDED), (CALLERS, EXPIRED), (CALLERS, NEEDED), provider=REVOKED
    ),
    "revoked before, in a caller's transaction and not": scenario(
        2, (CALLERS, NEEDED), (CALLERS, EXPIRED), (AUTOCOMMIT, NEEDED), provider=REVOKED
    ),
    # A provider that kills the grant when a spent token comes back.
    "reuse detected": scenario(3, (AUTOCOMMIT, NEEDED), (AUTOCOMMIT, NEEDED), detects_reuse=True),
    "reuse detected, in a caller's transaction": scenario(
        3, (AUTOCOMMIT, NEEDED), (CALLERS, NEEDED), detects_reuse=True
    ),
    # Three.
    "three in autocommit": scenario(2, (AUTOCOMMIT, NEEDED), (AUTOCOMMIT, NEEDED), (AUTOCOMMIT, NEEDED)),
    "three: needed, bulk, rejected": scenario(2, (AUTOCOMMIT, EXPIRED), (AUTOCOMMIT, BULK), (AUTOCOMMIT, REJECTED)),
    "three: one in a caller's transaction": scenario(2, (AUTOCOMMIT, NEEDED), (SQLITE, BULK), (CALLERS, NEEDED)),
    "three callers' transactions": scenario(2, (CALLERS, NEEDED), (CALLERS, BULK), (CALLERS, REJECTED)),
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_no_interleaving_breaks_an_invariant(name: str, record_property: pytest.RecordProperty) -> None:
    explored = explore(replace(SCENARIOS[name], budget=SCENARIOS[name].budget + MORE_FAULTS))
    record_property("scenario", f"{name}, up to {SCENARIOS[name].budget + MORE_FAULTS} faults")
    for number in ("schedules", "states", "steps"):
        record_property(number, getattr(explored, number))
    assert explored.schedules > 1


@pytest.mark.parametrize("name", SCENARIOS)
def test_without_faults_one_post_and_no_error(name: str) -> None:
    assert explore(replace(SCENARIOS[name], budget=0)).schedules


# Schedules that once broke an invariant.

TWO = SCENARIOS["two in autocommit"]


def announced(worker: str) -> list[str]:
    return [f"{worker}: claim", f"{worker}: claim, announce", f"{worker}: claim, confirm"]


def before_a_takeover(worker: str) -> list[str]:
    return [*[f"{worker}: second look", f"{worker}: load"] * 2, f"{worker}: release", f"{worker}: claim"]


def after_second_looks(worker: str) -> list[str]:
    return [f"{worker}: second look", f"{worker}: load"] * 4


def test_an_unknown_outcome_is_remembered_when_the_second_sending_meets_a_wrong_secret() -> None:
    end = replay(
        TWO,
        *["A: claim", "A: post", "A: reply lost", "A: claim", "A: misconfigured", "A: fail"],
        *["B: claim", "B: post", "B: reply", *after_second_looks("B"), "B: claim", "B: conclude lost_reply"],
    )
    assert end.row is not None
    assert end.row.dead


def test_a_request_that_comes_after_its_lease_is_not_sent() -> None:
    end = replay(
        TWO,
        *["A: claim", "B: claim", "lease expires", "B: wait", "B: load", "B: claim", *before_a_takeover("B")],
        *["B: post", "B: reply", "B: store", "A: too late to post", "A: release", "A: claim"],
    )
    assert end.row == ModelRow(version=2, token=Token(0, 2), recent=True)
    assert end.provider.grants[0].last == 2


def test_a_slow_holders_pair_is_waited_for_before_its_token_is_spent_again() -> None:
    end = replay(
        replace(TWO, detects_reuse=True),
        *["A: claim", "A: post", "B: claim", "lease expires", "B: wait", "B: load", "B: claim"],
        *["A: reply", "A: store", "B: second look", "B: load"],
    )
    assert end.row == ModelRow(version=2, token=Token(0, 2), recent=True)
    assert end.provider.grants[0].lives


def test_a_second_verdict_leaves_no_lease_behind() -> None:
    end = replay(
        TWO,
        *["A: claim", "A: post", "A: reply lost", "A: claim", "A: post", "A: reply", *after_second_looks("A")],
        *["B: claim", "lease expires", "B: wait", "B: load", "B: claim", "A: claim", "A: conclude lost_reply"],
    )
    assert end.row is not None
    assert not end.row.lease_lives


def test_a_reconnect_between_the_two_statements_of_a_claim_on_sqlite_is_noticed() -> None:
    end = replay(
        SCENARIOS["two in autocommit on SQLite"],
        *["A: claim", "A: claim, look", "user reconnects", "A: claim, read"],
    )
    assert end.row is not None
    assert end.row.token == Token(1, 1)


def test_between_a_rollback_and_its_guard_others_find_the_pair_in_the_journal() -> None:
    end = replay(
        replace(SCENARIOS["autocommit and a caller's transaction"], budget=2),
        *["B: begins its transaction", *announced("B"), "B: post", "B: reply", "B: store", "B: rolls back"],
        *["A: claim", "B: the guard writes again"],
    )
    assert end.row == ModelRow(version=2, token=Token(0, 2), recent=True)
    assert end.provider.grants[0].last == 2


def test_a_caller_that_dies_before_its_commit_leaves_the_pair_in_the_journal() -> None:
    end = replay(
        replace(SCENARIOS["autocommit and a caller's transaction"], budget=2),
        *["B: begins its transaction", *announced("B"), "B: post", "B: reply", "B: store", "B: crashes", "A: claim"],
    )
    assert end.row == ModelRow(version=2, token=Token(0, 2), recent=True)


def test_a_pair_that_waits_for_the_rows_lock_survives_its_holder() -> None:
    end = replay(
        replace(SCENARIOS["autocommit and a caller's transaction"], budget=2),
        *["A: claim", "A: post", "A: reply", "B: begins its transaction", "A: store waits", "A: crashes"],
        *["lease expires", *announced("B"), "B: rolls back"],
    )
    assert end.provider.grants[0].last == 2
    assert end.row is not None
    assert end.entry is not None
    assert end.entry.token == Token(0, 2)


def test_a_late_store_heals_a_verdict() -> None:
    end = replay(
        TWO,
        *["A: claim", "A: post", "B: claim", "lease expires", "B: wait", "B: load", "B: claim"],
        *[*["B: second look in vain", "B: load"] * 2, "B: release", "B: claim"],
        *["B: post", "B: reply", *["B: second look in vain", "B: load"] * 4],
        *["B: claim", "B: conclude lost_reply", "A: reply", "A: store"],
    )
    assert end.row == ModelRow(version=2, token=Token(0, 2), recent=True)


def test_a_rollback_does_not_lose_the_pair_that_others_called_dead_without_a_journal() -> None:
    end = replay(
        replace(SCENARIOS["autocommit and a caller's transaction"], budget=2, has_journal=False),
        *["B: begins its transaction", "B: claim", "B: post", "B: reply", "B: store", "B: rolls back"],
        *[
            "A: claim",
            "A: post",
            "A: reply",
            *["A: second look in vain", "A: load"] * 4,
            "A: claim",
            "A: conclude invalid_grant",
        ],
    )
    assert end.row == ModelRow(version=2, token=Token(0, 2), recent=True)
