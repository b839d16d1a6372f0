"""The connection's row as the engine sees it, and the few statements that touch it.

Each function is one short step on the database alias that it is given; none knows of HTTP, retries or places.
Leases live on the database's clock, everything else on Python's: never both in one column.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, cast

from django.db import OperationalError, connections, models, transaction
from django.db.models import BooleanField, Case, F, Q, Value, When
from django.db.models.expressions import Combinable
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ..client.tokens import TokenSet
from . import schedule

ENGINE_COLUMNS = frozenset(
    "access_token refresh_token token_type scope expires_at status version lease_id lease_expires_at outcome_unknown "
    "rejection_count next_refresh_at failure_count last_error_code last_refreshed_at connected_at "
    "grant_id thanksio_user_id".split()
)
# A project may set these: the worst that a wrong value does is a renewal that comes early, or a 401 that causes one.
ASSIGNABLE_COLUMNS = frozenset({"expires_at", "next_refresh_at", "thanksio_user_id"})
_READ_COLUMNS = (*sorted(ENGINE_COLUMNS), "user_id", "created_at")


class Status(models.TextChoices):
    """Whether thanks.io still accepts the grant, as far as is known."""

    CONNECTED = "connected", _("connected")
    RECONNECT_REQUIRED = "reconnect_required", _("reconnect required")


class UtcNow(Now):
    """The database's clock in the form in which Django stores datetimes, whatever the session's time zone is."""

    def as_mysql(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        """MariaDB's ``CURRENT_TIMESTAMP`` follows the session's time zone; this does not."""
        return self.as_sql(compiler, connection, template="UTC_TIMESTAMP(6)", **extra)


@dataclass(frozen=True)
class Key:
    """Which row: its identity (another tenant's table may hold the same primary key), and the version to spend.

    ``grant_id``, known once the row was claimed: a version that was rolled back may be given again to a new grant.
    """

    model: type[models.Model]
    pk: Any
    owner: Any
    created_at: datetime
    version: int
    grant_id: uuid.UUID | None = None

    def rows(self, using: str) -> models.QuerySet[Any]:
        """The row on that database, whatever its version."""
        return self.model._base_manager.using(using).filter(pk=self.pk)

    def rows_to_spend(self, using: str) -> models.QuerySet[Any]:
        """The row, if it still has the version, of the same grant."""
        rows = self.rows(using).filter(version=self.version)
        return rows if self.grant_id is None else rows.filter(grant_id=self.grant_id)

    def is_past(self, row: Row | None) -> bool:
        """Whether there is nothing left to spend: the row is gone, has a newer version, or another grant."""
        return row is None or row.version > self.version or self.grant_id not in (None, row.values["grant_id"])


@dataclass(frozen=True)
class Row:
    """What was read or written of the row. ``lease_lives`` was judged by the database's clock."""

    values: Mapping[str, Any] = field(repr=False)
    lease_lives: bool = False

    @property
    def version(self) -> int:
        """+1 at every token write."""
        return int(self.values["version"])

    @property
    def refresh_token(self) -> Any:
        """Still encrypted."""
        return self.values["refresh_token"]

    @property
    def is_dead(self) -> bool:
        """Whether the verdict "reconnect required" stands."""
        return bool(self.values["status"] == Status.RECONNECT_REQUIRED)

    @property
    def outcome_unknown(self) -> bool:
        """Whether the stored refresh token may have been spent without an answer."""
        return bool(self.values["outcome_unknown"])

    @property
    def failure_count(self) -> int:
        """Failures in a row."""
        return int(self.values["failure_count"])

    @property
    def error_code(self) -> str:
        """The last failure's code."""
        return str(self.values["last_error_code"])

    @property
    def backoff_seconds(self) -> float:
        """How long the last failure's backoff still lasts; 0 without one."""
        if not self.failure_count:
            return 0.0
        next_refresh_at: datetime = self.values["next_refresh_at"]
        return max(0.0, (next_refresh_at - timezone.now()).total_seconds())

    @property
    def recent_rejections(self) -> int:
        """How often in a row thanks.io refused a token that had just been renewed."""
        return int(self.values["rejection_count"]) if schedule.is_recent(self.values["last_refreshed_at"]) else 0


def granted_values(tokens: TokenSet, *, now: datetime) -> dict[str, Any]:
    """What a new grant writes (its version apart)."""
    return {
        **_token_values(tokens, now=now),
        "refresh_token": tokens.refresh_token or "",
        "scope": tokens.scope,
        "grant_id": uuid.uuid4(),
        "connected_at": now,
        "last_refreshed_at": None,
        "rejection_count": 0,
    }


def _token_values(tokens: TokenSet, *, now: datetime) -> dict[str, Any]:
    expires_at = schedule.as_stored(tokens.expires_at)
    return {
        "access_token": tokens.access_token,
        "token_type": tokens.token_type[:40],
        "expires_at": expires_at,
        "status": Status.CONNECTED,
        "outcome_unknown": False,
        "lease_id": None,
        "lease_expires_at": None,
        "next_refresh_at": schedule.due_at(expires_at, obtained_at=now),
        "failure_count": 0,
        "last_error_code": "",
    }


def load(using: str, key: Key) -> Row | None:
    """Read the row, or None when it is gone or is not visible on this connection."""
    return _read(key, key.rows(using))


def _read(key: Key, rows: models.QuerySet[Any]) -> Row | None:
    lives = Case(
        When(lease_expires_at__gte=UtcNow(), then=Value(True)),
        default=Value(False),
        output_field=BooleanField(),
    )
    values = next(iter(rows.annotate(lease_lives=lives).values(*_READ_COLUMNS, "lease_lives")), None)
    if values is None or (values.pop("user_id"), values.pop("created_at")) != (key.owner, key.created_at):
        return None
    return Row(lease_lives=bool(values.pop("lease_lives")), values=values)


def claim(
    using: str, key: Key, lease_id: uuid.UUID, ttl_seconds: float, *, only_if: Combinable | None = None
) -> tuple[bool, Row | None]:
    """Take the lease if the row still has the key's version, nobody else's lease lives on it, and ``only_if`` holds.

    Returns whether it was taken, and the row (None: locked by somebody, gone, or invisible here; :func:`load`
    tells). Repeatable with the same ``lease_id``. Waits for no row lock (SQLite has only its own busy timeout).
    Must run in a transaction, but on SQLite.
    """
    features = connections[using].features
    if not features.has_select_for_update:
        taken = _take(using, key, lease_id, ttl_seconds)
        row = load(using, key)  # a statement of its own: a reconnect may have come between
        return taken and row is not None and row.version == key.version, row
    skip_locked = features.has_select_for_update_skip_locked
    locked = key.rows(using).select_for_update(
        skip_locked=skip_locked, nowait=not skip_locked, no_key=features.has_select_for_no_key_update
    )
    try:
        with transaction.atomic(using=using, savepoint=not skip_locked):
            row = _read(key, locked)
    except OperationalError:
        if skip_locked:
            raise
        return False, None  # MariaDB before 10.6 has no SKIP LOCKED: NOWAIT says the same by an error
    if row is None or row.version != key.version or (row.lease_lives and row.values["lease_id"] != lease_id):
        return False, row
    taken_over = row.values["lease_id"] not in (None, lease_id)
    if not _take(using, key, lease_id, ttl_seconds, *(() if only_if is None else (only_if,))):
        return False, row
    return True, Row(values={**row.values, "outcome_unknown": row.outcome_unknown or taken_over})


def _take(using: str, key: Key, lease_id: uuid.UUID, ttl_seconds: float, *conditions: Combinable) -> bool:
    # A dead holder's lease means that its POST may have been processed. The assignment comes first, for MariaDB
    # evaluates them from left to right.
    own_or_none = Q(lease_id=None) | Q(lease_id=lease_id)
    unknown = Case(When(own_or_none, then=F("outcome_unknown")), default=Value(True), output_field=BooleanField())
    return bool(
        key.rows(using)
        .filter(own_or_none | Q(lease_expires_at__lt=UtcNow()), *conditions, version=key.version)
        .update(
            outcome_unknown=unknown,
            lease_id=lease_id,
            lease_expires_at=UtcNow() + timedelta(seconds=ttl_seconds),
        )
    )


def renewed_values(key: Key, tokens: TokenSet, *, rejection_count: int) -> dict[str, Any]:
    """What a renewal writes over the version that it spent; encrypted once, however often the write is tried."""
    now = timezone.now()
    values = {
        **_token_values(tokens, now=now),
        "version": key.version + 1,
        "rejection_count": rejection_count,
        "last_refreshed_at": now,
    }
    if tokens.scope:
        values["scope"] = tokens.scope
    if tokens.refresh_token:
        values["refresh_token"] = tokens.refresh_token
    for name in {"access_token", "refresh_token"} & values.keys():
        values[name] = cast("models.Field[Any, Any]", key.model._meta.get_field(name)).to_python(values[name])
    return values


def store(using: str, key: Key, values: Mapping[str, Any]) -> tuple[bool, Row | None]:
    """Write a renewed pair over the version that was spent, waiting for row locks.

    By version (and grant) alone: whoever spent it holds the only live pair, lease or no lease. Returns whether the
    pair stands in the row (also when an earlier try wrote it and its reply was lost), and the row (None: it is gone).
    """
    if key.rows_to_spend(using).update(updated_at=timezone.now(), **values):
        return True, Row(values=values)
    row = load(using, key)
    return stands(row, values), row


def stands(row: Row | None, values: Mapping[str, Any]) -> bool:
    """Whether the row holds the pair of these values."""
    return row is not None and bool(row.values["access_token"].ciphertext == values["access_token"].ciphertext)


def holds(row: Row | None, values: Mapping[str, Any]) -> bool:
    """Whether the row holds the failure of these values."""
    names = ("outcome_unknown", "last_error_code", "failure_count")
    return row is not None and all(row.values[name] == values[name] for name in names if name in values)


def release(using: str, key: Key, lease_id: uuid.UUID) -> None:
    """Give the lease back: nothing was sent, or nothing came of it."""
    key.rows(using).filter(lease_id=lease_id).update(lease_id=None, lease_expires_at=None)


@dataclass(frozen=True)
class Failure:
    """A renewal that did not succeed and says nothing of the grant."""

    code: str
    outcome_unknown: bool = False
    retry_after_seconds: float | None = None
    backs_off: bool = True


def failed_values(row: Row, failure: Failure) -> dict[str, Any]:
    """What a failure writes."""
    values: dict[str, Any] = {
        "lease_id": None,
        "lease_expires_at": None,
        "last_error_code": failure.code[:40],
        "outcome_unknown": row.outcome_unknown or failure.outcome_unknown,
    }
    if failure.backs_off:
        values["failure_count"] = row.failure_count + 1
        values["next_refresh_at"] = schedule.retry_at(row.failure_count + 1, failure.retry_after_seconds)
    return values


def fail(using: str, key: Key, lease_id: uuid.UUID, row: Row, failure: Failure) -> Row:
    """Give the lease back, record the failure and when to try again. Returns the row as it was written."""
    values = failed_values(row, failure)
    own = Q(lease_id=lease_id) | Q(lease_id=None, status=Status.CONNECTED)  # a rollback took the lease back
    key.rows_to_spend(using).filter(own).update(**values)
    return Row(values={**row.values, **values})


def conclude(using: str, key: Key, code: str, *, access_token_dead: bool) -> bool:
    """Write the verdict "reconnect required" if the version is unchanged; the version stays, so a late store heals it.

    Returns whether this call changed the status.
    """
    values: dict[str, Any] = {
        "status": Status.RECONNECT_REQUIRED,
        "last_error_code": code[:40],
        "lease_id": None,
        "lease_expires_at": None,
    }
    if access_token_dead:
        values["expires_at"] = timezone.now()
    rows = key.rows_to_spend(using).filter(status=Status.CONNECTED)
    return bool(rows.update(updated_at=timezone.now(), **values))
