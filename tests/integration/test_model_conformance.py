"""The in-memory row of the interleaving tests behaves as the real statements do on a database.

Random sequences of statements, also such as no protocol would send, run on both; after each the rows and the results
are the same. Broken on purpose, the real statements differ: no lease, store by lease owner, a late store that does not
heal, ``fail()`` that overwrites, a verdict that bumps the version, a takeover or unknown outcome that leaves no trace.
"""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest
from django.db.models import F

from tests.integration.browsing import make_user
from tests.unit.model.provider import Token
from tests.unit.model.rows import ModelKey, ModelRow, Statements
from thanksio_connect.client.tokens import TokenSet
from thanksio_connect.models import ConnectionTokens, ThanksIOConnection
from thanksio_connect.refresh import statements
from thanksio_connect.refresh.statements import Claimed, Lease, Stored
from thanksio_connect.refresh.token_row import Failure, Key, Row, Status, new_id, renewed_values

SEQUENCES, LENGTH = 60, 12
WORKERS = 2
HOUR = timedelta(hours=1)
FAILURES = (
    Failure("outcome_unknown", outcome_unknown=True),
    Failure("not_sent"),
    Failure("not_sent", lengthens=False),
    Failure("undecryptable", retry_after_seconds=3600, is_counted=False),
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
        self.leases = [new_id() for _worker in range(WORKERS)]
        self.seen: list[tuple[Row, ModelRow] | None] = [None] * WORKERS
        self.done: list[str] = []
        self.grants = [self.connection.tokens.pk]

    def run(self) -> None:
        """One sequence; raises AssertionError at the first difference."""
        acts = [self.claim] * 3 + [self.store, self.fail, self.conclude, self.release, self.expire, self.expire]
        for _step in range(LENGTH):
            act = self.random.choice([*acts, self.reconnect])
            me = self.random.randrange(WORKERS)
            assert self.model is not None
            newest = ModelKey(len(self.grants) - 1, self.model.version)
            older = self.random.choice([newest._replace(version=max(1, newest.version - 1)), newest._replace(grant=0)])
            key = self.random.choice([newest, newest, older])
            self.done.append(f"{act.__name__}({me}, {key})")
            act(me, key)
            self.compare(self.stored(), self.model)

    def compare(self, real: object, model: object) -> None:
        if isinstance(model, ModelRow):
            seen = model.as_row()  # the database's row shows no backoff without a failure that counts
            model = model._replace(failed=0, just_failed=False, backoff=seen.backoff_seconds > 0)
        assert real == model, f"{real} is not {model} after {self.done}"

    def key(self, key: ModelKey) -> Key:
        return Key(ConnectionTokens, self.grants[key.grant], self.connection.pk, key.version)

    def stored(self) -> ModelRow | None:
        return self.as_model(statements.load("default", self.key(ModelKey(len(self.grants) - 1, 1))))

    def as_model(self, row: Row | None) -> ModelRow | None:
        if row is None:
            return None
        values = row.values
        _name, grant, number = values["access_token"].reveal().split("-")
        lease = values["lease_id"]
        return ModelRow(
            version=row.version,
            token=Token(int(grant), int(number)),
            dead=row.is_dead,
            lease=None if lease is None else self.leases.index(lease),
            lease_lives=row.lease_lives,
            unknown=values["outcome_unknown"],
            failures=row.failure_count,
            error=row.error_code,
            backoff=row.backoff_seconds > 0,
            recent=row.was_renewed_lately,
        )

    # The statements.

    def claim(self, me: int, key: ModelKey) -> None:
        again = self.random.random() < 0.2
        claimed = statements.claim("default", self.key(key), Lease(self.leases[me], 3600, 5, again))
        self.model, taken = self.statements.claim(self.model, key, me, outcome_is_unknown=again)
        self.compare(claimed.taken, taken)
        found = self.statements.find(self.model, key)
        self.compare(self.as_model(claimed.row), found)
        if taken:
            assert claimed.row is not None
            assert found is not None
            self.seen[me] = (claimed.row, found)

    def store(self, me: int, key: ModelKey) -> None:
        token = Token(key.grant, key.version + 1)
        values = renewed_values(key.version, token_set(token))
        stored = statements.store("default", self.key(key), values)
        found = self.statements.find(self.model, key)
        self.compare(stored.stands, found is not None and found.version == key.version)
        self.model = self.statements.store(self.model, key, me, token)
        if stored.stands:  # a commit whose reply was lost: the second try finds it
            self.compare(statements.store("default", self.key(key), values).stands, True)

    def fail(self, me: int, key: ModelKey) -> None:
        if (seen := self.seen[me]) is None:
            return
        failure = self.random.choice(FAILURES)
        statements.fail("default", self.key(key), self.leases[me], seen[0], failure)
        self.model = self.statements.fail(self.model, key, me, seen[1], failure)

    def conclude(self, me: int, key: ModelKey) -> None:
        before = self.model
        changed = statements.conclude("default", self.key(key), "invalid_grant", access_token_dead=bool(me))
        self.model = self.statements.conclude(before, key, "invalid_grant")
        self.compare(changed, self.model != before)

    def release(self, me: int, key: ModelKey) -> None:
        statements.release("default", self.key(key), self.leases[me])
        self.model = self.statements.release(self.model, key, me)

    def expire(self, me: int, key: ModelKey) -> None:
        leased = ConnectionTokens.objects.exclude(lease_id=None)
        leased.update(lease_expires_at=datetime.now(UTC) - HOUR)
        assert self.model is not None
        self.model = self.model._replace(lease_lives=False)

    def reconnect(self, me: int, key: ModelKey) -> None:
        token = Token(len(self.grants), 1)
        self.grants.append(ThanksIOConnection.objects.connect(self.user, token_set(token)).tokens.pk)
        self.model = ModelRow(token=token)


@pytest.mark.django_db
def test_the_model_and_the_statements_agree() -> None:
    for seed in range(SEQUENCES):
        Both(str(seed)).run()


@pytest.mark.django_db
def test_a_late_failure_does_not_take_an_unknown_outcome_back() -> None:
    both = Both("late")
    key = ModelKey(0, 1)
    both.claim(0, key)
    both.expire(0, key)
    both.claim(1, key)
    assert both.seen[0] is not None
    statements.fail("default", both.key(key), both.leases[0], both.seen[0][0], Failure("not_sent"))
    stored = both.stored()
    assert stored is not None
    assert (stored.unknown, stored.lease) == (True, 1)


# The statements, broken.


def rows(key):
    return ConnectionTokens._base_manager.filter(pk=key.pk)


def claim_without_lease(using, key, lease):
    ends = datetime.now(UTC) + timedelta(seconds=lease.seconds)
    values = {"lease_id": lease.id, "lease_expires_at": ends}
    taken = bool(rows(key).filter(version=key.version).update(**values))
    return Claimed(taken, statements.load(using, key))


def claim_without_trace(using, key, lease):
    before = rows(key).values_list("outcome_unknown", flat=True).first()
    claimed = CLAIM(using, key, lease)
    if claimed.row is not None:
        rows(key).update(outcome_unknown=before)
    return claimed


def second_claim_without_trace(using, key, lease):
    return CLAIM(using, key, Lease(lease.id, lease.seconds, lease.lock_wait_seconds))


def store_by_lease_owner(using, key, values):
    row = statements.load(using, key)
    return Stored(False, row) if row is None or row.values["lease_id"] is None else STORE(using, key, values)


def store_without_healing(using, key, values):
    return STORE(using, key, {name: value for name, value in values.items() if name != "status"})


def store_without_comparison(using, key, values):
    updated = rows(key).filter(version=key.version).update(**values)
    return Stored(bool(updated), statements.load(using, key))


def store_over_a_newer_grant(using, key, values):
    newest = Key(
        key.model, ConnectionTokens.objects.get(connection=key.connection_id).pk, key.connection_id, key.version
    )
    return STORE(using, newest, values)


def fail_overwrites(using, key, lease_id, row, failure):
    values = {**row.values, "lease_id": None, "lease_expires_at": None, "last_error_code": failure.code}
    del values["id"]
    rows(key).update(**values)
    return Row(values)


def fail_forgets_the_outcome(using, key, lease_id, row, failure):
    written = FAIL(using, key, lease_id, row, failure)
    rows(key).filter(version=key.version).update(outcome_unknown=False)
    return written


def conclude_bumps_the_version(using, key, code, *, access_token_dead):
    changed = CONCLUDE(using, key, code, access_token_dead=access_token_dead)
    if changed:
        rows(key).update(version=F("version") + 1)
    return changed


def conclude_whatever_the_version(using, key, code, *, access_token_dead):
    values = {"status": Status.RECONNECT_REQUIRED, "last_error_code": code, "lease_id": None, "lease_expires_at": None}
    return bool(rows(key).update(**values))


def release_anybodys(using, key, lease_id):
    rows(key).update(lease_id=None, lease_expires_at=None)


CLAIM, STORE, FAIL, CONCLUDE = statements.claim, statements.store, statements.fail, statements.conclude
MUTATIONS = {
    "no lease": ("claim", claim_without_lease),
    "takeover without a trace": ("claim", claim_without_trace),
    "second claim without a trace": ("claim", second_claim_without_trace),
    "store by lease owner": ("store", store_by_lease_owner),
    "late store does not heal": ("store", store_without_healing),
    "a stored pair is not recognised": ("store", store_without_comparison),
    "the old grant's pair over the new one": ("store", store_over_a_newer_grant),
    "fail() overwrites": ("fail", fail_overwrites),
    "unknown outcome forgotten": ("fail", fail_forgets_the_outcome),
    "verdict bumps the version": ("conclude", conclude_bumps_the_version),
    "verdict over a newer version": ("conclude", conclude_whatever_the_version),
    "release of another's lease": ("release", release_anybodys),
}


@pytest.mark.django_db
@pytest.mark.parametrize("name", MUTATIONS)
def test_a_broken_statement_differs(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statements, *MUTATIONS[name])
    with pytest.raises(AssertionError, match="is not"):
        test_the_model_and_the_statements_agree()
