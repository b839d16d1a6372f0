"""The in-memory row of the interleaving tests behaves as the real statements do on a database.

Random sequences of statements, also such as no protocol would send, run on both; after each the rows and the results
are the same. Broken on purpose, the real statements differ: no lease, store by lease owner, a late store that does not
heal, ``fail()`` that overwrites, a verdict that bumps the version, a takeover or unknown outcome that leaves no trace.
"""

from __future__ import annotations

import random
import uuid
from datetime import timedelta

import pytest
from django.db import transaction
from django.db.models import F
from django.utils import timezone
from thanksio_connect.refresh.row import Failure, Key, Row, Status, renewed_values
from thanksio_connect.refresh.rows import UtcNow

from tests.integration.browsing import make_user
from tests.unit.model.provider import Token
from tests.unit.model.rows import ModelRow, Statements
from thanksio_connect.client.tokens import TokenSet
from thanksio_connect.models import ThanksIOConnection
from thanksio_connect.refresh import rows, schedule

SEQUENCES, LENGTH = 60, 12
WORKERS = 2
HOUR = timedelta(hours=1)
FAILURES = (
    Failure("outcome_unknown", outcome_unknown=True),
    Failure("not_sent"),
    Failure("undecryptable", backs_off=False),
    Failure("throttled", retry_after_seconds=60),
)


def token_set(token: Token) -> TokenSet:
    return TokenSet(f"access-{token.grant}-{token.number}", f"refresh-{token.grant}-{token.number}", expires_in=3600)


class Both:
    """A row on the database and one in memory, each statement on both."""

    def __init__(self, seed: str) -> None:
        self.random = random.Random(seed)
        self.user = make_user(f"user-{seed}")
        self.connection = ThanksIOConnection.objects.connect(self.user, token_set(Token(0, 1)))
        self.model: ModelRow | None = ModelRow()
        self.statements = Statements()
        self.leases = [uuid.uuid4() for _worker in range(WORKERS)]
        self.seen: list[tuple[Row, Row] | None] = [None] * WORKERS
        self.done: list[str] = []
        self.grants = 1

    def run(self) -> None:
        """One sequence; raises AssertionError at the first difference."""
        acts = [self.claim] * 3 + [self.store, self.fail, self.conclude, self.release, self.expire, self.expire]
        for _step in range(LENGTH):
            act = self.random.choice([*acts, self.reconnect])
            me = self.random.randrange(WORKERS)
            assert self.model is not None
            version = self.random.choice([self.model.version, self.model.version, max(1, self.model.version - 1)])
            self.done.append(f"{act.__name__}({me}, {version})")
            act(me, version)
            self.compare(self.stored(), self.model)

    def compare(self, real: object, model: object) -> None:
        assert real == model, f"{real} is not {model} after {self.done}"

    def key(self, version: int) -> Key:
        return Key(ThanksIOConnection, self.connection.pk, self.user.pk, self.connection.created_at, version)

    def stored(self) -> ModelRow | None:
        row = rows.load("default", self.key(1))
        return None if row is None else self.as_model(row)

    def as_model(self, row: Row) -> ModelRow:
        values = row.values
        _name, grant, number = values["access_token"].decrypt().split("-")
        lease = values["lease_id"]
        return ModelRow(
            version=row.version,
            token=Token(int(grant), int(number)),
            dead=row.is_dead,
            lease=None if lease is None else self.leases.index(lease),
            lease_lives=row.lease_lives,
            unknown=row.outcome_unknown,
            failures=row.failure_count,
            error=row.error_code,
            backoff=row.backoff_seconds > 0,
            rejections=values["rejection_count"],
            recent=schedule.is_recent(values["last_refreshed_at"]),
        )

    # The statements.

    def claim(self, me: int, version: int) -> None:
        before = self.model
        with transaction.atomic():
            taken, row = rows.claim("default", self.key(version), self.leases[me], 3600)
        self.model, expected, _taken_over = self.statements.take(before, me, version)
        self.compare(taken, expected)
        if taken:
            assert row is not None
            assert self.model is not None
            self.compare(row.outcome_unknown, self.model.unknown)
            self.seen[me] = (row, self.model.as_row())

    def store(self, me: int, version: int) -> None:
        assert self.model is not None
        token = Token(self.model.token.grant, self.model.token.number + 1)
        values = renewed_values(self.key(version), token_set(token), rejection_count=me)
        stored, _row = rows.store("default", self.key(version), values)
        self.compare(stored, self.model.version == version)
        self.model = self.statements.store(self.model, me, version, token, me)
        if stored:  # a commit whose reply was lost: the second try finds it
            self.compare(rows.store("default", self.key(version), values)[0], True)

    def fail(self, me: int, version: int) -> None:
        if (seen := self.seen[me]) is None:
            return
        failure = self.random.choice(FAILURES)
        rows.fail("default", self.key(version), self.leases[me], seen[0], failure)
        self.model = self.statements.fail(self.model, me, version, seen[1], failure)

    def conclude(self, me: int, version: int) -> None:
        before = self.model
        changed = rows.conclude("default", self.key(version), "invalid_grant", access_token_dead=bool(me))
        self.model = self.statements.conclude(before, version, "invalid_grant")
        self.compare(changed, self.model != before)

    def release(self, me: int, version: int) -> None:
        rows.release("default", self.key(version), self.leases[me])
        self.model = self.statements.release(self.model, me)

    def expire(self, me: int, version: int) -> None:
        self.key(version).rows("default").exclude(lease_id=None).update(lease_expires_at=UtcNow() - HOUR)
        assert self.model is not None
        self.model = self.model._replace(lease_lives=False)

    def reconnect(self, me: int, version: int) -> None:
        assert self.model is not None
        token = Token(self.grants, 1)
        self.grants += 1
        ThanksIOConnection.objects.connect(self.user, token_set(token))
        self.model = ModelRow(version=self.model.version + 1, token=token)


@pytest.mark.django_db
def test_the_model_and_the_statements_agree() -> None:
    for seed in range(SEQUENCES):
        Both(str(seed)).run()


@pytest.mark.django_db
def test_a_late_failure_does_not_take_an_unknown_outcome_back() -> None:
    both = Both("late")
    both.claim(0, 1)
    both.expire(0, 1)
    both.claim(1, 1)
    both.release(1, 1)
    assert both.seen[0] is not None
    rows.fail("default", both.key(1), both.leases[0], both.seen[0][0], Failure("not_sent"))
    stored = both.stored()
    assert stored is not None
    assert (stored.unknown, stored.error) == (True, "not_sent")


# The statements, broken.


def claim_without_lease(using, key, lease_id, ttl_seconds):
    values = {"lease_id": lease_id, "lease_expires_at": UtcNow() + timedelta(seconds=ttl_seconds)}
    taken = bool(key.rows(using).filter(version=key.version).update(**values))
    return taken, rows.load(using, key)


def store_by_lease_owner(using, key, values):
    row = rows.load(using, key)
    if row is None or row.values["lease_id"] is None:
        return False, row
    return STORE(using, key, values)


def store_without_healing(using, key, values):
    return STORE(using, key, {name: value for name, value in values.items() if name != "status"})


def store_without_comparison(using, key, values):
    updated = key.rows(using).filter(version=key.version).update(updated_at=timezone.now(), **values)
    return bool(updated), rows.load(using, key)


def fail_overwrites(using, key, lease_id, row, failure):
    values = {**row.values, "lease_id": None, "lease_expires_at": None, "last_error_code": failure.code}
    values |= {"failure_count": row.failure_count + 1, "next_refresh_at": schedule.retry_at(1)}
    key.rows(using).update(**values)
    return Row(values=values)


def fail_forgets_the_outcome(using, key, lease_id, row, failure):
    written = FAIL(using, key, lease_id, row, failure)
    key.rows(using).filter(version=key.version).update(outcome_unknown=False)
    return written


def fail_under_its_own_lease_alone(using, key, lease_id, row, failure):
    before = rows.load(using, key)
    written = FAIL(using, key, lease_id, row, failure)
    if before is not None and before.values["lease_id"] not in (None, lease_id):
        key.rows(using).update(outcome_unknown=before.outcome_unknown)
    return written


def conclude_bumps_the_version(using, key, code, *, access_token_dead):
    changed = CONCLUDE(using, key, code, access_token_dead=access_token_dead)
    if changed:
        key.rows(using).update(version=F("version") + 1)
    return changed


def conclude_whatever_the_version(using, key, code, *, access_token_dead):
    values = {"status": Status.RECONNECT_REQUIRED, "last_error_code": code, "lease_id": None, "lease_expires_at": None}
    return bool(key.rows(using).update(**values))


def release_anybodys(using, key, lease_id):
    key.rows(using).update(lease_id=None, lease_expires_at=None)


def take_without_trace(using, key, lease_id, ttl_seconds, *conditions):
    unknown = key.rows(using).values_list("outcome_unknown", flat=True).get()
    taken = TAKE(using, key, lease_id, ttl_seconds, *conditions)
    key.rows(using).update(outcome_unknown=unknown)
    return taken


STORE, FAIL, CONCLUDE, TAKE = rows.store, rows.fail, rows.conclude, rows.take
MUTATIONS = {
    "no lease": ("claim", claim_without_lease),
    "store by lease owner": ("store", store_by_lease_owner),
    "late store does not heal": ("store", store_without_healing),
    "a stored pair is not recognised": ("store", store_without_comparison),
    "fail() overwrites": ("fail", fail_overwrites),
    "unknown outcome forgotten": ("fail", fail_forgets_the_outcome),
    "unknown outcome under another's lease": ("fail", fail_under_its_own_lease_alone),
    "verdict bumps the version": ("conclude", conclude_bumps_the_version),
    "verdict over a newer version": ("conclude", conclude_whatever_the_version),
    "release of another's lease": ("release", release_anybodys),
    "takeover without a trace": ("take", take_without_trace),
}


@pytest.mark.django_db
@pytest.mark.parametrize("name", MUTATIONS)
def test_a_broken_statement_differs(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, *MUTATIONS[name])
    with pytest.raises(AssertionError, match="is not"):
        test_the_model_and_the_statements_agree()
