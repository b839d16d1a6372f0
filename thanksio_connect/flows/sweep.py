"""One sweep at a time, and one pace for all: a lease, a wait and turns to send, in a row of the database.

Short statements in autocommit, on the database's clock; each is tried again when a session dies.
"""

from __future__ import annotations

import json
import os
import random
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from django.db import DatabaseError, IntegrityError, InterfaceError, connections, models, router, transaction
from django.db.models import F, Q

from ..client.deadline import now
from ..database import facts, sessions
from ..database.moments import DatabaseMoment
from ..models import Sweep
from ..records import record
from ..refresh.token_row import new_id

T = TypeVar("T")
# A holder that dies is replaced within a minute; one that lives says so several times in it.
LEASE_SECONDS, RENEW_SECONDS = 60.0, 15.0
# Two processes that reserve turns at the same moment: one tries again.
TURN_TRIES, TURN_RETRY_SECONDS = 200, 0.02
# Who asks for turns so late loses none: what a busy machine did not send in time, it sends a little closer together.
CATCH_UP_SECONDS = 0.5


@dataclass(frozen=True)
class Held:
    """Who is sweeping, and since when."""

    holder: str
    since: datetime | None


@dataclass(frozen=True)
class SweepLease:
    """The right to sweep, until it is given back or not kept for a minute.

    ``resume_after``: the row up to which an earlier sweep has come with what is not due yet.
    """

    id: str
    resume_after: str = ""

    @staticmethod
    def take() -> SweepLease | Held:
        """Take the lease; or say who has it."""
        lease_id, holder = new_id(), f"{socket.gethostname()}:{os.getpid()}"
        is_free = Q(lease_id=None) | Q(lease_id=lease_id) | Q(lease_expires_at__lt=DatabaseMoment())

        def step(using: str) -> SweepLease | Held:
            row = _row(using)  # which makes it
            taken = (
                _rows(using)
                .filter(is_free)
                .update(
                    lease_id=lease_id,
                    lease_expires_at=DatabaseMoment(LEASE_SECONDS),
                    holder=holder[:200],
                    started_at=DatabaseMoment(),
                )
            )
            return SweepLease(lease_id, row.resume_after) if taken else Held(row.holder, row.started_at)

        return _commit(step)

    def keep(self, resume_after: str) -> bool:
        """Say that the holder lives, and how far it is. Returns False if the lease was lost to another."""
        values = {"lease_expires_at": DatabaseMoment(LEASE_SECONDS), "resume_after": resume_after}
        return bool(_commit(lambda using: _rows(using).filter(lease_id=self.id).update(**values)))

    def give_back(self, counts: Mapping[str, Any], resume_after: str) -> None:
        """The sweep is over."""
        values: dict[str, Any] = {"lease_id": None, "lease_expires_at": None, "resume_after": resume_after}
        values |= {"finished_at": DatabaseMoment(), "counts": json.dumps(dict(counts))}
        _commit(lambda using: _rows(using).filter(lease_id=self.id).update(**values))


class SweptElsewhere(Exception):
    """Another sweep is at it."""

    def __init__(self, held: Held) -> None:
        self.held = held
        super().__init__(held.holder)


class Tenure:
    """A lease that is kept while its sweep goes on; none for a sweep that needs none."""

    def __init__(self) -> None:
        self.resume_after = ""
        self._lease: SweepLease | None = None
        self._kept_at = 0.0

    def begin(self) -> None:
        """Take the lease. Raises :class:`SweptElsewhere`."""
        taken = SweepLease.take()
        if isinstance(taken, Held):
            raise SweptElsewhere(taken)
        self._lease, self._kept_at, self.resume_after = taken, now(), taken.resume_after

    @property
    def is_held(self) -> bool:
        """Whether there is a lease."""
        return self._lease is not None

    def keep(self) -> bool:
        """Say now and then that the holder lives. Returns False once another sweep has taken over."""
        if self._lease is None or now() - self._kept_at < RENEW_SECONDS:
            return True
        self._kept_at = now()
        try:
            is_ours = self._lease.keep(self.resume_after)
        except (DatabaseError, InterfaceError) as error:
            record("sweep.lease_not_kept", code=type(error).__name__)
            return True
        if not is_ours:
            self._lease = None
        return is_ours

    def end(self, counts: Mapping[str, Any]) -> None:
        """Give the lease back."""
        try:
            if self._lease is not None:
                self._lease.give_back(counts, self.resume_after)
        except (DatabaseError, InterfaceError) as error:
            record("sweep.lease_not_given_back", code=type(error).__name__)


def wait_seconds() -> float:
    """Return how long thanks.io asked to wait, from now; 0 if it did not. Asked before each request of a sweep."""
    if not _commit(_is_asked_to_wait):
        return 0.0
    row = _commit(_row)
    return max(0.0, _seconds_until(row.wait_until, row.now))


def _is_asked_to_wait(using: str) -> bool:
    connection = connections[using]
    moment, table = facts.now(connection), connection.ops.quote_name(Sweep._meta.db_table)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT 1 FROM {table} WHERE wait_until > {moment.sql}", moment.parameters)  # noqa: S608
        return cursor.fetchone() is not None


def ask_to_wait(seconds: float) -> None:
    """Let nobody send for so long, on any machine; a longer wait stays."""
    is_shorter = Q(wait_until=None) | Q(wait_until__lt=DatabaseMoment(seconds))

    def step(using: str) -> None:
        _row(using)
        _rows(using).filter(is_shorter).update(wait_until=DatabaseMoment(seconds))

    _commit(step)


def take_turns(count: int, interval_seconds: float) -> float:
    """Reserve the next ``count`` turns to send. Returns how long to wait for the first; a little below 0 if it is late.

    Turns of all processes lie one after another; none lies before the end of a wait that thanks.io asked for.
    """
    begins = 0.0
    for _try in range(TURN_TRIES):
        row = _commit(_row)
        until = _seconds_until(row.requests_until, row.now)
        begins = max(until if until > -CATCH_UP_SECONDS else 0.0, _seconds_until(row.wait_until, row.now))
        if _move_turns(row.requests_until, row.now + timedelta(seconds=begins + count * interval_seconds)):
            break
        time.sleep(TURN_RETRY_SECONDS * random.random())  # noqa: S311 - jitter, no secret
    return begins


def give_turns_back(count: int, interval_seconds: float) -> None:
    """Return turns that were not used, the last ones reserved. One try: who reserved meanwhile stays where it is."""
    row = _commit(_row)
    if row.requests_until is not None:
        _move_turns(row.requests_until, row.requests_until - timedelta(seconds=count * interval_seconds))


def _move_turns(before: datetime | None, after: datetime) -> bool:
    return bool(_commit(lambda using: _rows(using).filter(requests_until=before).update(requests_until=after)))


def note_dealt(chunk_count: int, seconds: float) -> None:
    """Remember that so many chunks were queued, which expire after so long."""
    values = {"chunks_left": chunk_count, "dealt_until": DatabaseMoment(seconds)}
    _commit(lambda using: _rows(using).update(**values))


def note_chunk_done() -> None:
    """Remember that one chunk is done."""
    _commit(lambda using: _rows(using).filter(chunks_left__gt=0).update(chunks_left=F("chunks_left") - 1))


def seconds_dealt() -> float:
    """Return how long the chunks that were queued last, and are not done, will still be worked on."""
    row = _commit(_row)
    return max(0.0, _seconds_until(row.dealt_until, row.now)) if row.chunks_left else 0.0


def _seconds_until(moment: datetime | None, now: datetime) -> float:
    return float("-inf") if moment is None else (moment - now).total_seconds()


def _rows(using: str) -> models.QuerySet[Sweep]:
    return Sweep._base_manager.using(using)


def _row(using: str) -> Any:
    """Read the row, with the database's ``now``; make it when it is first needed."""
    rows = _rows(using).annotate(now=DatabaseMoment())
    if (row := rows.first()) is not None:
        return row
    try:
        with transaction.atomic(using=using):
            _rows(using).create()
    except IntegrityError:
        pass  # another process made it just now
    return rows.get()


def _commit(step: Callable[[str], T]) -> T:
    alias = router.db_for_write(Sweep)
    if facts.in_transaction(alias):
        return sessions.committed(alias, step, on_private=False)
    return sessions.committed(alias, step)
