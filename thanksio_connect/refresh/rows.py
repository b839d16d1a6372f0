"""The few statements that touch the connection's row.

Each function is one short step on the database alias that it is given; none knows of HTTP, retries or places.
Leases live on the database's clock, everything else on Python's: never both in one column.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.db import OperationalError, connections, models, transaction
from django.db.models import BooleanField, Case, F, Q, Value, When
from django.db.models.expressions import Combinable
from django.db.models.functions import Now
from django.utils import timezone

from ..exceptions import InvalidGrant
from .row import ENGINE_COLUMNS, Failure, Key, Row, Status, failed_values, stands

_READ_COLUMNS = (*sorted(ENGINE_COLUMNS), "user_id", "created_at")


class UtcNow(Now):
    """The database's clock in the form in which Django stores datetimes, whatever the session's time zone is."""

    def as_mysql(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        """MariaDB's ``CURRENT_TIMESTAMP`` follows the session's time zone; this does not."""
        return self.as_sql(compiler, connection, template="UTC_TIMESTAMP(6)", **extra)


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
        taken, _taken_over = take_unread(using, key, lease_id, ttl_seconds)
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
    if not take(using, key, lease_id, ttl_seconds, *(() if only_if is None else (only_if,))):
        return False, row
    return True, Row(values={**row.values, "outcome_unknown": row.outcome_unknown or taken_over}, taken_over=taken_over)


def take_unread(using: str, key: Key, lease_id: uuid.UUID, ttl_seconds: float) -> tuple[bool, bool]:
    """Take the lease of a row that can't be locked and read first: whether, and whether from one whose time is over."""
    is_free = Q(lease_id=None) | Q(lease_id=lease_id)
    if take(using, key, lease_id, ttl_seconds, is_free):
        return True, False
    taken_over = take(using, key, lease_id, ttl_seconds, ~is_free)
    return taken_over, taken_over


def take(using: str, key: Key, lease_id: uuid.UUID, ttl_seconds: float, *conditions: Combinable | Q) -> bool:
    """The statement by which a lease is taken: conditional, and repeatable with the same ``lease_id``."""
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


def store(using: str, key: Key, values: Mapping[str, Any]) -> tuple[bool, Row | None]:
    """Write a renewed pair over the version that was spent, waiting for row locks.

    By version (and grant) alone: whoever spent it holds the only live pair, lease or no lease. Returns whether the
    pair stands in the row (also when an earlier try wrote it and its reply was lost), and the row (None: it is gone).
    """
    if key.rows_to_spend(using).update(updated_at=timezone.now(), **values):
        return True, Row(values=values)
    row = load(using, key)
    return stands(row, values), row


def release(using: str, key: Key, lease_id: uuid.UUID) -> None:
    """Give the lease back: nothing was sent, or nothing came of it."""
    key.rows(using).filter(lease_id=lease_id).update(lease_id=None, lease_expires_at=None)


def fail(using: str, key: Key, lease_id: uuid.UUID, row: Row, failure: Failure) -> Row:
    """Give the lease back, record the failure and when to try again. Returns the row as it was written.

    Under somebody else's lease only that the outcome is unknown is worth a record.
    """
    values = failed_values(row, failure)
    own = Q(lease_id=lease_id) | Q(lease_id=None, status=Status.CONNECTED)  # a rollback took the lease back
    if not key.rows_to_spend(using).filter(own).update(**values) and "outcome_unknown" in values:
        key.rows_to_spend(using).update(outcome_unknown=True)
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
    if code == InvalidGrant.code:  # another worker may have found out since the caller last looked
        values["last_error_code"] = Case(When(outcome_unknown=True, then=Value("lost_reply")), default=Value(code))
    if access_token_dead:
        values["expires_at"] = timezone.now()
    rows = key.rows_to_spend(using).filter(status=Status.CONNECTED)
    return bool(rows.update(updated_at=timezone.now(), **values))
