"""How all connections are, in a constant number of queries: for the status command, the doctor and whoever watches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Min, Q

from ..fields import utc_now
from ..models import ConnectionTokens, Sweep, ThanksIOConnection
from ..refresh.token_row import Status
from .selection import read

# Due for longer than this: the sweep does not run, or does not keep up.
OVERDUE = timedelta(hours=1)
# The code of a connection that has no tokens.
NO_TOKENS = "no_tokens"


@dataclass(frozen=True)
class LastSweep:
    """When the last sweep ran and what it came to. Moments are aware."""

    started_at: datetime | None = None
    finished_at: datetime | None = None
    is_running: bool = False
    holder: str = ""
    wait_until: datetime | None = None
    counts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Census:
    """Counts of connections, and moments (aware, None if there is none).

    ``due`` is part of ``connected``, ``overdue`` of ``due``. ``failing``: connected, and the last renewal failed.
    ``expired``: connected, and the access token is past its lifetime. ``oldest_success``: when the pair was obtained
    that is the oldest of those connected. ``errors``: how many failed last with which code, whatever their state; and
    how many have no tokens.
    """

    taken_at: datetime
    connections: int
    connected: int
    reconnect_required: int
    due: int
    overdue: int
    failing: int
    expired: int
    oldest_success: datetime | None
    next_due: datetime | None
    errors: Mapping[str, int]
    sweep: LastSweep

    def seconds_since_sweep(self) -> float | None:
        """How long ago the last sweep ended, or the one that runs began; None without one."""
        moment = self.sweep.started_at if self.sweep.is_running else self.sweep.finished_at or self.sweep.started_at
        return None if moment is None else (self.taken_at - moment).total_seconds()


def take_census() -> Census:
    """Four queries, at any size of the table. Raises the database's error at once: somebody waits for the counts."""
    return read(_census, tries_again=False)


def _census(using: str) -> Census:
    now = utc_now()
    rows = ConnectionTokens._base_manager.using(using)
    is_connected = Q(status=Status.CONNECTED)
    numbers = rows.aggregate(
        rows=Count("pk"),
        connected=Count("pk", filter=is_connected),
        due=Count("pk", filter=is_connected & Q(next_refresh_at__lte=now)),
        overdue=Count("pk", filter=is_connected & Q(next_refresh_at__lte=now - OVERDUE)),
        failing=Count("pk", filter=is_connected & ~Q(last_error_code="")),
        expired=Count("pk", filter=is_connected & Q(expires_at__lte=now)),
        oldest_success=Min("obtained_at", filter=is_connected),
        next_due=Min("next_refresh_at", filter=is_connected),
    )
    failed = rows.exclude(last_error_code="").values_list("last_error_code").annotate(Count("pk"))
    errors = dict(failed)
    connections = ThanksIOConnection._base_manager.using(using).count()
    if (bare := connections - numbers.pop("rows")) > 0:
        errors[NO_TOKENS] = bare
    return Census(
        taken_at=now,
        connections=connections,
        reconnect_required=connections - numbers["connected"],
        errors=dict(sorted(errors.items())),
        sweep=_last_sweep(Sweep._base_manager.using(using).first(), now),
        **numbers,
    )


def _last_sweep(row: Sweep | None, now: datetime) -> LastSweep:
    if row is None:
        return LastSweep()
    lives = row.lease_id is not None and row.lease_expires_at is not None and row.lease_expires_at >= now
    waits = row.wait_until if row.wait_until is not None and row.wait_until > now else None
    return LastSweep(row.started_at, row.finished_at, lives, row.holder, waits, row.last_counts)
