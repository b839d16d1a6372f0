"""A sweep that an engine deals out: what is due is queued in chunks, as much as the rate allows until the next time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice

from ..conf import app_settings, oauth_config
from ..encryption_key import encryption_keys
from ..models import ConnectionTokens
from . import sweep
from .bulk import BulkRefresh
from .old_events import delete_old_events
from .outcome import Summary
from .selection import Selection
from .sent_orders import forget_sent_orders
from .sweep import Held, SweepLease

CHUNK_SIZE = 100
EVERY_SECONDS = 300.0
"""How often the work is dealt out, unless the schedule says otherwise."""
# The schedule may come so much early, as a part of that time, although chunks of the last one are not done.
EARLY = 0.1
# A wait that is longer ends a chunk. The worker is free for others, or to stop; the next call takes account of it.
PATIENCE_SECONDS = 10.0

Queue = Callable[[list[str], float, str], object]


def deal_out(queue: Queue, *, every_seconds: float = EVERY_SECONDS) -> int:
    """Queue the rows that are due, the longest due first. Returns how many.

    0 if another sweep is at it, or chunks of the last call are neither done nor expired: nothing piles up.
    ``queue(keys, delay_seconds, until)`` takes the keys of at most a hundred rows, when they are to be begun, and the
    moment (ISO 8601) at which they expire. Raises ThanksIOConfigurationError.
    """
    oauth_config()  # credentials that are missing are missing for all, and so is a key
    encryption_keys()
    if sweep.seconds_dealt() > EARLY * every_seconds:
        return 0
    forget_sent_orders()
    lease = SweepLease.take()
    if isinstance(lease, Held):
        return 0
    waits, per_minute = sweep.wait_seconds(), app_settings.rate_limit_per_minute
    room = int(max(0.0, every_seconds - waits) * per_minute / 60)
    until = (datetime.now(UTC) + timedelta(seconds=every_seconds)).isoformat()
    keys = [tokens.pk for tokens in islice(_rows(), room)]
    chunks = [keys[start : start + CHUNK_SIZE] for start in range(0, len(keys), CHUNK_SIZE)]
    number = 0
    try:
        sweep.note_dealt(len(chunks), every_seconds)  # before: a chunk may be done at once
        for number, chunk in enumerate(chunks):
            queue(chunk, waits + number * CHUNK_SIZE * 60 / per_minute, until)
    except Exception:
        sweep.note_dealt(number, every_seconds)  # the queue is out of order
        raise
    finally:
        lease.give_back(Summary(remaining=len(keys)).as_dict(), lease.resume_after)
    delete_old_events()
    return len(keys)


def refresh_chunk(keys: list[str], until: str) -> Summary:
    """Renew what is still due of a chunk, until it expires: a sweep over its rows alone.

    Raises ThanksIOConfigurationError. Redelivered after a worker's death, it goes on with what is left.
    """
    left = datetime.fromisoformat(until) - datetime.now(UTC)
    if left <= timedelta(0):
        return Summary(remaining=len(keys), stopped_by="expired")
    try:
        return BulkRefresh(Selection(keys=keys), time_budget=left, patience_seconds=PATIENCE_SECONDS).run()
    finally:
        sweep.note_chunk_done()


def _rows() -> Iterator[ConnectionTokens]:
    for page in Selection().pages():
        yield from page
