"""One sweep at a time, and one pace for all: a lease, a wait and turns to send, in a row of the database.

Short statements in autocommit, on the database's clock; each is tried again when a session dies.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from django.db import IntegrityError, models, router, transaction
from django.db.models import Q

from ..fields import UTCDateTimeField
from ..models import Sweep
from ..refresh import database_facts as facts
from ..refresh import sessions
from ..refresh.token_row import new_id

T = TypeVar("T")
# A holder that dies is replaced within a minute; one that lives says so several times in it.
LEASE_SECONDS, RENEW_SECONDS = 60.0, 15.0
TURN_TRIES = 100


class DatabaseMoment(models.Func):
    """The database's clock, so many seconds from now."""

    output_field = UTCDateTimeField()

    def __init__(self, seconds: float = 0.0) -> None:
        super().__init__()
        self.seconds = seconds

    def as_sql(self, compiler: Any, connection: Any, *args: Any, **extra: Any) -> tuple[str, tuple[Any, ...]]:
        """As :mod:`~thanksio_connect.refresh.database_facts` knows it."""
        moment = facts.later(connection, self.seconds) if self.seconds else facts.now(connection)
        return moment.sql, moment.parameters


@dataclass(frozen=True)
class Held:
    """Who is sweeping, and since when."""

    holder: str
    since: datetime | None


@dataclass(frozen=True)
class SweepLease:
    """The right to sweep, until it is given back or not kept for a minute."""

    id: str

    @staticmethod
    def take() -> SweepLease | Held:
        """Take the lease; or say who has it."""
        lease, holder = SweepLease(new_id()), f"{socket.gethostname()}:{os.getpid()}"

        def step(using: str) -> SweepLease | Held:
            is_free = Q(lease_id=None) | Q(lease_id=lease.id) | Q(lease_expires_at__lt=DatabaseMoment())
            taken = (
                _row(using)
                .filter(is_free)
                .update(
                    lease_id=lease.id,
                    lease_expires_at=DatabaseMoment(LEASE_SECONDS),
                    holder=holder[:200],
                    started_at=DatabaseMoment(),
                )
            )
            if taken:
                return lease
            row = _row(using).get()
            return Held(row.holder, row.started_at)

        return _commit(step)

    def keep(self) -> bool:
        """Say that the holder lives. Returns False if the lease was lost to another."""
        return bool(_commit(lambda using: self._mine(using).update(lease_expires_at=DatabaseMoment(LEASE_SECONDS))))

    def give_back(self, counts: Mapping[str, Any]) -> None:
        """The sweep is over."""
        _commit(
            lambda using: self._mine(using).update(
                lease_id=None, lease_expires_at=None, finished_at=DatabaseMoment(), counts=dict(counts)
            )
        )

    def _mine(self, using: str) -> models.QuerySet[Sweep]:
        return _row(using).filter(lease_id=self.id)


def wait_seconds() -> float:
    """How long thanks.io asked to wait, from now; 0 if it did not."""
    row, now = _read()
    return _seconds_until(row.wait_until, now)


def ask_to_wait(seconds: float) -> None:
    """Let nobody send for so long, on any machine; a longer wait stays."""

    def step(using: str) -> None:
        is_shorter = Q(wait_until=None) | Q(wait_until__lt=DatabaseMoment(seconds))
        _row(using).filter(is_shorter).update(wait_until=DatabaseMoment(seconds))

    _commit(step)


def take_turns(count: int, interval_seconds: float) -> float:
    """Reserve the next ``count`` turns to send. Returns how long to wait for the first.

    Turns of all processes lie one after another; none lies before the end of a wait that thanks.io asked for.
    """
    for _try in range(TURN_TRIES):
        row, now = _read()
        begins = max(_seconds_until(row.requests_until, now), _seconds_until(row.wait_until, now))
        ends = now + timedelta(seconds=begins + count * interval_seconds)
        before = row.requests_until
        if _commit(lambda using: _row(using).filter(requests_until=before).update(requests_until=ends)):  # noqa: B023
            return begins
    return begins


def _read() -> tuple[Sweep, datetime]:
    row: Any = _commit(lambda using: _row(using).annotate(now=DatabaseMoment()).get())
    return row, row.now


def _seconds_until(moment: datetime | None, now: datetime) -> float:
    return 0.0 if moment is None else max(0.0, (moment - now).total_seconds())


def _row(using: str) -> models.QuerySet[Sweep]:
    """The row; made when it is first needed."""
    rows = Sweep._base_manager.using(using)
    if not rows.exists():
        try:
            with transaction.atomic(using=using):
                rows.create()
        except IntegrityError:
            pass  # another process made it just now
    return rows.all()


def _commit(step: Callable[[str], T]) -> T:
    alias = router.db_for_write(Sweep)
    if facts.in_transaction(alias):
        return sessions.on_callers_connection(alias, step)
    return sessions.on_any_session(alias, step)
