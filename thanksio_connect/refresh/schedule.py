"""When a token is renewed, and how long to wait after a failure. Pure functions on Python's clock."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Protocol

from django.utils import timezone

from ..conf import app_settings

# thanks.io said nothing of the expiry: renew once a day, and at once when the API refuses the token.
PROBING_LIFETIME = timedelta(days=1)
BACKOFF_SECONDS, BACKOFF_MAX_SECONDS = 60.0, 6 * 3600.0
STORM_SECONDS = 60.0


class Connection(Protocol):
    """What is read of a connection."""

    expires_at: datetime | None
    next_refresh_at: datetime
    connected_at: datetime
    last_refreshed_at: datetime | None
    failure_count: int
    status: str


def as_stored(moment: datetime | None) -> datetime | None:
    """An aware moment in the form in which the project keeps datetimes: naive and local with ``USE_TZ = False``."""
    if moment is None or timezone.is_aware(timezone.now()):
        return moment
    return timezone.make_naive(moment, timezone.get_default_timezone())


def is_expired(connection: Connection) -> bool:
    """Whether the access token's lifetime is over; an unknown lifetime never is (a 401 tells)."""
    expires_at = connection.expires_at
    return expires_at is not None and expires_at <= timezone.now()


def needs_renewal(connection: Connection) -> bool:
    """Whether the helper should try to renew: less than the leeway is left, and no backoff of a failure lasts."""
    expires_at = connection.expires_at
    if expires_at is None:
        return connection.next_refresh_at <= timezone.now()
    now = datetime.now(None if expires_at.tzinfo is None else UTC)  # timezone.now(), without looking up USE_TZ
    if expires_at <= now:
        return True
    left = expires_at - now
    if left > now - (connection.last_refreshed_at or connection.connected_at):
        return False  # more than half of its lifetime: the common case, which looks up no setting
    if left.total_seconds() > app_settings.refresh_leeway_seconds:
        return False
    return not connection.failure_count or connection.next_refresh_at <= now


def due_at(expires_at: datetime | None, *, obtained_at: datetime) -> datetime:
    """When the command renews: a third of the lifetime is left, less up to a tenth of it, so that a fleet spreads."""
    lifetime = PROBING_LIFETIME if expires_at is None else max(timedelta(0), expires_at - obtained_at)
    return obtained_at + lifetime * (2 / 3) + lifetime * (random.random() / 10)  # noqa: S311 - jitter, no secret


def retry_at(failure_count: int, retry_after_seconds: float | None = None) -> datetime:
    """When to try again after that many failures in a row: 1 minute doubling to 6 hours, with a fifth of jitter.

    ``retry_after_seconds`` is what thanks.io asked for; it is never undercut.
    """
    delay = min(BACKOFF_SECONDS * 2.0 ** min(failure_count - 1, 20), BACKOFF_MAX_SECONDS)
    if retry_after_seconds is not None:
        delay = retry_after_seconds
        return timezone.now() + timedelta(seconds=delay)
    return timezone.now() + timedelta(seconds=delay * random.uniform(0.8, 1.0))  # noqa: S311 - jitter, no secret


def is_recent(moment: datetime | None) -> bool:
    """Whether the moment lies within the window in which refused tokens count as a storm."""
    return moment is not None and timezone.now() - moment < timedelta(seconds=STORM_SECONDS)
