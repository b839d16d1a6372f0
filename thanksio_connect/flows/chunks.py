"""A sweep that an engine deals out: what is due is queued in chunks, as much as the rate allows until the next time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import islice

from ..conf import app_settings, oauth_config
from . import sweep
from .bulk import BulkRefresh
from .outcome import Summary
from .selection import Selection
from .sweep import Held, SweepLease

CHUNK_SIZE = 100
EVERY_SECONDS = 300.0
"""How often the work is dealt out, unless the schedule says otherwise."""

Queue = Callable[[list[str], float, str], object]


def deal_out(queue: Queue, *, every_seconds: float = EVERY_SECONDS) -> int:
    """Queue the rows that are due, the longest due first. Returns how many; 0 if another sweep is at it.

    ``queue(keys, delay_seconds, until)`` takes the keys of at most a hundred rows, when they are to be begun, and the
    moment (ISO 8601) at which they expire: then the next call deals them out again, so nothing piles up.
    """
    oauth_config()  # credentials that are missing are missing for all
    lease = SweepLease.take()
    if isinstance(lease, Held):
        return 0
    summary = Summary()
    try:
        waits = sweep.wait_seconds()
        per_minute = app_settings.rate_limit_per_minute
        room = int(max(0.0, every_seconds - waits) * per_minute / 60)
        until = (datetime.now(UTC) + timedelta(seconds=every_seconds)).isoformat()
        rows = (tokens.pk for page in Selection().pages(limit=room) for tokens in page)
        while keys := list(islice(rows, CHUNK_SIZE)):
            queue(keys, waits + summary.remaining * 60 / per_minute, until)
            summary.remaining += len(keys)
    finally:
        lease.give_back(summary.as_dict())
    return summary.remaining


def refresh_chunk(keys: list[str], until: str) -> Summary:
    """Renew what is still due of a chunk, until it expires: a sweep over its rows alone.

    Raises ThanksIOConfigurationError. Redelivered after a worker's death, it goes on with what is left.
    """
    left = datetime.fromisoformat(until) - datetime.now(UTC)
    if left <= timedelta(0):
        return Summary(remaining=len(keys), stopped_by="expired")
    return BulkRefresh(Selection(keys=keys), time_budget=left).run()
