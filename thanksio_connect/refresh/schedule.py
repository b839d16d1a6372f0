"""When a token is renewed, and how long to wait after a failure. Pure functions on this machine's clock, in UTC."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Protocol

from ..conf import app_settings

# thanks.io said nothing of the expiry: renew once a day, and at once when the API refuses the token.
PROBING_LIFETIME = timedelta(days=1)
BACKOFF_SECONDS, BACKOFF_MAX_SECONDS = 60.0, 6 * 3600.0
# While a backoff lasts, those who need a token try once in so long, all together; the others get the recorded failure.
RETRY_SECONDS = 5.0
# A token that was renewed so lately, and is refused, is not renewed again.
STORM_SECONDS = 60.0


class Tokens(Protocol):
    """What is read of a token row. All moments are aware."""

    expires_at: datetime | None
    next_refresh_at: datetime
    obtained_at: datetime
    failure_count: int


def is_expired(tokens: Tokens) -> bool:
    """Whether the access token's lifetime is over; an unknown lifetime never is (a 401 tells)."""
    return tokens.expires_at is not None and tokens.expires_at <= datetime.now(UTC)


def needs_renewal(tokens: Tokens) -> bool:
    """Whether the helper should try to renew: less than the leeway is left, and no backoff of a failure lasts."""
    now = datetime.now(UTC)
    expires_at = tokens.expires_at
    if expires_at is None:
        return tokens.next_refresh_at <= now
    if expires_at <= now:
        return True
    left = expires_at - now
    if left > now - tokens.obtained_at:
        return False  # more than half of its lifetime: the common case, which looks up no setting
    if left.total_seconds() > app_settings.refresh_leeway_seconds:
        return False
    return not tokens.failure_count or tokens.next_refresh_at <= now


def due_at(expires_at: datetime | None, *, obtained_at: datetime) -> datetime:
    """When the command renews: a third of the lifetime is left, less up to a tenth of it, so that a fleet spreads."""
    lifetime = PROBING_LIFETIME if expires_at is None else max(timedelta(0), expires_at - obtained_at)
    return obtained_at + lifetime * (2 / 3) + lifetime * (random.random() / 10)  # noqa: S311 - jitter, no secret


def retry_at(failure_count: int, retry_after_seconds: float | None = None) -> datetime:
    """When to try again after that many failures in a row: 1 minute doubling to 6 hours, with a fifth of jitter.

    ``retry_after_seconds`` is what thanks.io asked for; it is never undercut.
    """
    if retry_after_seconds is not None:
        return datetime.now(UTC) + timedelta(seconds=retry_after_seconds)
    delay = min(BACKOFF_SECONDS * 2.0 ** min(max(0, failure_count - 1), 20), BACKOFF_MAX_SECONDS)
    return datetime.now(UTC) + timedelta(seconds=delay * random.uniform(0.8, 1.0))  # noqa: S311 - jitter, no secret


def seconds_since(moment: datetime | None) -> float:
    """How long ago that was; infinity for None."""
    return float("inf") if moment is None else (datetime.now(UTC) - moment).total_seconds()


def was_within(seconds: float, moment: datetime | None) -> bool:
    """Whether that was so lately; not a moment far ahead, which was written before a clock was set back."""
    return abs(seconds_since(moment)) < seconds
