"""The row in memory, and the statements of ``thanksio_connect.refresh.rows`` on it.

``tests/integration/test_model_conformance.py`` runs the same schedules against the real statements on a database.
A mutation is a subclass of :class:`Statements`.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from thanksio_connect.refresh.row import Failure, Row, Status

from thanksio_connect.exceptions import InvalidGrant

from .provider import Token

# The model has no clock: a backoff that lasts and a renewal that was recent lie in the far future.
FUTURE = datetime.fromisoformat("2999-01-01T00:00:00+00:00")
PAST = datetime.fromisoformat("2001-01-01T00:00:00+00:00")


class ModelRow(NamedTuple):
    """What the engine reads and writes of the row; ``lease`` is a worker's number."""

    version: int = 1
    token: Token = Token(0, 1)
    dead: bool = False
    lease: int | None = None
    lease_lives: bool = False
    unknown: bool = False
    failures: int = 0
    error: str = ""
    backoff: bool = False
    rejections: int = 0
    recent: bool = False
    taken_over: bool = False  # only in what a claim returns

    def as_row(self) -> Row:
        """The row as the protocol sees it."""
        return Row(
            lease_lives=self.lease_lives,
            taken_over=self.taken_over,
            values={
                "model": self._replace(taken_over=False),
                "version": self.version,
                "access_token": self.token,
                "refresh_token": self.token,
                "status": Status.RECONNECT_REQUIRED if self.dead else Status.CONNECTED,
                "lease_id": self.lease,
                "outcome_unknown": self.unknown,
                "failure_count": self.failures,
                "last_error_code": self.error,
                "next_refresh_at": FUTURE if self.backoff else PAST,
                "rejection_count": self.rejections,
                "last_refreshed_at": FUTURE if self.recent else None,
            },
        )


class Seen(NamedTuple):
    """What a failure is counted on."""

    outcome_unknown: bool
    failure_count: int


class Statements:
    """One method for each function of ``rows``: given the row as it is, the row as it becomes and the result."""

    retries_store = True
    guards_rollback = True
    minds_journal = True
    confirms_lock = True  # once the entry is in the journal
    keeps_pair = True  # in the journal, while the row is locked
    minds_lateness = True  # a claim whose lease is over sends nothing
    remembers_first_sending = True  # when the claim before the second fails

    def take(self, row: ModelRow | None, me: int, version: int) -> tuple[ModelRow | None, bool, bool]:
        """The row after the conditional UPDATE, whether it was taken, and whether from a holder whose lease is over."""
        if row is None or row.version != version or (row.lease_lives and row.lease != me):
            return row, False, False
        taken_over = row.lease not in (None, me)
        return row._replace(lease=me, lease_lives=True, unknown=row.unknown or taken_over), True, taken_over

    def read_after_take(self, row: ModelRow | None, taken: bool, version: int) -> bool:
        """SQLite reads in a statement of its own: whether the claim still counts."""
        return taken and row is not None and row.version == version

    def store(self, row: ModelRow | None, me: int, version: int, token: Token, rejections: int) -> ModelRow | None:
        """The row after the UPDATE by version."""
        if row is None or row.version != version:
            return row
        return ModelRow(version=version + 1, token=token, rejections=rejections, recent=True)

    def fail(self, row: ModelRow | None, me: int, version: int, seen: Row | Seen, failure: Failure) -> ModelRow | None:
        """The row after the UPDATE by version and lease."""
        if row is None or row.version != version:
            return row
        row = row._replace(unknown=row.unknown or seen.outcome_unknown or failure.outcome_unknown)
        if row.lease != me and (row.lease is not None or row.dead):
            return row
        row = row._replace(lease=None, lease_lives=False, error=failure.code)
        if failure.backs_off:
            row = row._replace(failures=seen.failure_count + 1, backoff=True)
        return row

    def conclude(self, row: ModelRow | None, version: int, code: str) -> ModelRow | None:
        """The row after the verdict."""
        if row is None or row.version != version or row.dead:
            return row
        if code == InvalidGrant.code and row.unknown:
            code = "lost_reply"
        return row._replace(dead=True, error=code, lease=None, lease_lives=False)

    def release(self, row: ModelRow | None, me: int) -> ModelRow | None:
        """The row after the lease was given back."""
        return row if row is None or row.lease != me else row._replace(lease=None, lease_lives=False)

    def classify(self, reply: object) -> object:
        """What the client makes of the provider's answer."""
        return reply
