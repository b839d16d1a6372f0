"""The row in memory, and the statements of ``thanksio_connect.refresh.statements`` on it.

``tests/integration/test_model_conformance.py`` runs the same statements on a real database. A mutation is a subclass of
:class:`Statements`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from thanksio_connect.refresh.token_row import Failure, Row, Status, verdict_code

from .provider import Token

# The model has no clock: a backoff that lasts ends in the far future.
FUTURE = datetime.fromisoformat("2999-01-01T00:00:00+00:00")
PAST = datetime.fromisoformat("2001-01-01T00:00:00+00:00")


@dataclass(frozen=True)
class Moment:
    """When the n-th failure, or version, came: a moment ago, or an hour."""

    number: int
    is_just_now: bool = field(compare=False)

    def __rsub__(self, now: datetime) -> timedelta:
        return timedelta(0) if self.is_just_now else timedelta(hours=1)


class ModelKey(NamedTuple):
    """Which grant, and the version to spend."""

    grant: int
    version: int


class ModelRow(NamedTuple):
    """What the engine reads and writes of the row. Its primary key is the grant; ``lease`` is a worker's number."""

    version: int = 1
    token: Token = Token(0, 1)
    dead: bool = False
    lease: int | None = None
    lease_lives: bool = False
    unknown: bool = False
    failures: int = 0
    error: str = ""
    backoff: bool = False
    failed: int = 0  # how many failures were recorded
    just_failed: bool = False
    recent: bool = False  # renewed lately

    def as_row(self) -> Row:
        """The row as the protocol sees it."""
        return Row(
            lease_lives=self.lease_lives,
            values={
                "model": self,
                "version": self.version,
                "access_token": self.token,
                "refresh_token": self.token,
                "status": Status.RECONNECT_REQUIRED if self.dead else Status.CONNECTED,
                "lease_id": self.lease,
                "outcome_unknown": self.unknown,
                "failure_count": self.failures,
                "last_error_code": self.error,
                "last_failed_at": Moment(self.failed, self.just_failed) if self.failed else None,
                "next_refresh_at": FUTURE if self.backoff else PAST,
                "last_refreshed_at": Moment(self.version, is_just_now=True) if self.recent else None,
            },
        )

    def without_lease(self) -> ModelRow:
        """The row after its lease was given back."""
        return self._replace(lease=None, lease_lives=False)


class Statements:
    """One method for each function of ``statements``: given the row as it is, the row as it becomes."""

    retries_store = True
    guards_rollback = True
    minds_lateness = True  # a claim whose lease is over sends nothing

    def find(self, row: ModelRow | None, key: ModelKey) -> ModelRow | None:
        """The row with that primary key."""
        return row if row is not None and row.token.grant == key.grant else None

    def claim(
        self, row: ModelRow | None, key: ModelKey, me: int, *, outcome_is_unknown: bool
    ) -> tuple[ModelRow | None, bool]:
        """The row after the conditional UPDATE, and whether the lease was taken."""
        found = self.find(row, key)
        if found is None or found.version != key.version or (found.lease_lives and found.lease != me):
            return row, False
        unknown = found.unknown or found.lease not in (None, me) or outcome_is_unknown
        return found._replace(lease=me, lease_lives=True, unknown=unknown), True

    def read_after_claim(self, row: ModelRow | None, taken: bool, key: ModelKey) -> tuple[bool, ModelRow | None]:
        """Where UPDATE returns no row it is read in a statement of its own: whether the claim counts, and the row."""
        found = self.find(row, key)
        return taken and found is not None and found.version == key.version, found

    def store(self, row: ModelRow | None, key: ModelKey, me: int, token: Token) -> ModelRow | None:
        """The row after the UPDATE by version."""
        found = self.find(row, key)
        if found is None or found.version != key.version:
            return row
        renewed = ModelRow(version=key.version + 1, token=token, recent=True)
        return renewed._replace(failed=found.failed, just_failed=found.just_failed)

    def fail(self, row: ModelRow | None, key: ModelKey, me: int, seen: ModelRow, failure: Failure) -> ModelRow | None:
        """The row after the UPDATE by version and lease."""
        found = self.find(row, key)
        if found is None or found.version != key.version or found.lease != me:
            return row
        unknown = found.unknown or failure.outcome_unknown
        found = found.without_lease()._replace(
            unknown=unknown, error=failure.code, failed=found.failed + 1, just_failed=True
        )
        if failure.lengthens:
            found = found._replace(failures=seen.failures + failure.is_counted, backoff=True)
        return found

    def conclude(self, row: ModelRow | None, key: ModelKey, code: str) -> ModelRow | None:
        """The row after the verdict."""
        found = self.find(row, key)
        if found is None or found.version != key.version or found.dead:
            return row
        code = verdict_code(code, outcome_unknown=found.unknown)
        return found.without_lease()._replace(dead=True, error=code, failed=found.failed + 1, just_failed=True)

    def release(self, row: ModelRow | None, key: ModelKey, me: int) -> ModelRow | None:
        """The row after the lease was given back."""
        found = self.find(row, key)
        return row if found is None or found.lease != me else found.without_lease()

    def classify(self, reply: object) -> object:
        """What the client makes of the provider's answer."""
        return reply
