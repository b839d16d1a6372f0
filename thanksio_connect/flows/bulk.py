"""Renew whatever is due, over the whole table: paced, interruptible, safe to run on several machines at once.

Leases make overlapping runs harmless, and one failing row never stops the rest. What stops a run is what no row can
help: wrong credentials, or an encryption key that fits no row.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from copy import copy
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from django.db import DatabaseError, InterfaceError, connections, router
from django.db.models import Q, QuerySet
from django.utils import timezone

from ..conf import app_settings, oauth_config
from ..exceptions import (
    NotConnected,
    ReconnectRequired,
    RefreshInProgress,
    ThanksIOConfigurationError,
    ThanksIOError,
    Throttled,
    TokenUndecryptable,
)
from ..models import ThanksIOConnection
from ..refresh import engine

logger = logging.getLogger("thanksio_connect")

PAGE_SIZE = 200
THROTTLED_TRIES = 3
THROTTLED_SECONDS = 60.0  # thanks.io asked to wait and did not say how long
UNDECRYPTABLE_IN_A_ROW = 3
KEY_SAMPLE_SIZE = 200


class Outcome(StrEnum):
    """What became of one row."""

    REFRESHED = "refreshed"
    SKIPPED = "skipped"
    TRANSIENT = "transient"
    RECONNECT_REQUIRED = "reconnect_required"
    UNDECRYPTABLE = "undecryptable"


@dataclass
class Summary:
    """How many rows came to which outcome. ``remaining`` were due and not reached."""

    refreshed: int = 0
    skipped: int = 0
    transient: int = 0
    reconnect_required: int = 0
    undecryptable: int = 0
    remaining: int = 0
    stopped_by: str = ""

    def add(self, outcome: Outcome) -> None:
        """Count one row."""
        setattr(self, outcome, getattr(self, outcome) + 1)

    @property
    def done(self) -> int:
        """Rows that were handled."""
        return self.refreshed + self.skipped + self.transient + self.reconnect_required + self.undecryptable

    @property
    def needs_attention(self) -> bool:
        """Whether some row could not be renewed, or the run was interrupted."""
        failed = self.transient + self.reconnect_required + self.undecryptable
        return bool(failed or self.stopped_by == "interrupted")

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return asdict(self)


@dataclass(frozen=True)
class Selection:
    """Which rows: those that are due, or with less than ``within`` to live, or all, or these users' (due or not)."""

    within: timedelta | None = None
    everything: bool = False
    users: Sequence[Any] = ()
    now: datetime = field(default_factory=timezone.now)

    def rows(self) -> QuerySet[ThanksIOConnection]:
        """The selected rows, in no order."""
        rows: QuerySet[ThanksIOConnection] = ThanksIOConnection.objects.using(router.db_for_write(ThanksIOConnection))
        if self.users:
            return rows.filter(user_id__in=[user.pk for user in self.users])
        rows = rows.filter(status=ThanksIOConnection.Status.CONNECTED)
        if self.everything:
            return rows
        due = Q(next_refresh_at__lte=self.now)
        if self.within is not None:
            due |= Q(expires_at__lte=self.now + self.within, failure_count=0)
        return rows.filter(due)

    @property
    def is_due_only(self) -> bool:
        """Whether a row that was handled is no longer selected, for its due time has moved."""
        return not self.users and not self.everything and self.within is None

    def pages(self, limit: int | None = None) -> Iterator[list[ThanksIOConnection]]:
        """The rows by keyset, one page in memory at a time, each row once; the longest due first."""
        key = ("next_refresh_at", "pk") if self.is_due_only else ("pk",)
        last: ThanksIOConnection | None = None
        while limit is None or limit > 0:
            rows = self.rows()
            if last is not None and self.is_due_only:
                same = Q(next_refresh_at=last.next_refresh_at, pk__gt=last.pk)
                rows = rows.filter(Q(next_refresh_at__gt=last.next_refresh_at) | same)
            elif last is not None:
                rows = rows.filter(pk__gt=last.pk)
            page = list(rows.order_by(*key)[: PAGE_SIZE if limit is None else min(PAGE_SIZE, limit)])
            if not page or (last is not None and page[-1].pk == last.pk):
                return  # the latter: a time that was written by hand, and that the database compares otherwise
            last = copy(page[-1])  # the engine brings the instance up to date
            yield page
            if limit is not None:
                limit -= len(page)


class Pace:
    """Keeps all workers together under so many requests in any minute, and still while thanks.io asks to wait.

    A sixth of the minute's requests may come at once; what is left is spread over the minute.
    """

    def __init__(self, per_minute: float, stop: threading.Event, ends: float | None) -> None:
        burst = max(1.0, per_minute / 6)
        self._interval = 60.0 / max(per_minute - burst, per_minute / 2)
        self._tolerance = self._interval * (burst - 1)
        self._ends = ends
        self._stop = stop
        self._lock = threading.Lock()
        self._next = time.monotonic()

    @property
    def is_over(self) -> bool:
        """Whether the run's time is up, or will be before anybody may send again."""
        with self._lock:
            return self._ends is not None and max(time.monotonic(), self._next - self._tolerance) >= self._ends

    def wait(self) -> bool:
        """Wait for this request's turn. Returns False when the run was stopped or its time is up."""
        while not self._stop.is_set() and not self.is_over:
            with self._lock:
                now = time.monotonic()
                left = self._next - self._tolerance - now
                if left <= 0:
                    self._next = max(self._next, now) + self._interval
                    return True
            self._stop.wait(min(left, 0.5))
        return False

    def hold(self, seconds: float) -> None:
        """Let nobody send for so long."""
        with self._lock:
            self._next = max(self._next, time.monotonic() + seconds + self._tolerance)


def refresh_one(connection: ThanksIOConnection, *, force: bool = False) -> Outcome:
    """Renew one row unless somebody else is at it. Raises Throttled and ThanksIOConfigurationError.

    ``force`` tries a row whose backoff still lasts.
    """
    try:
        renewed = engine.renew_unless_taken(connection, force=force and not connection.needs_reconnect)
    except Throttled:
        raise
    except (NotConnected, RefreshInProgress):
        return Outcome.SKIPPED
    except ReconnectRequired:
        return Outcome.RECONNECT_REQUIRED
    except TokenUndecryptable:
        return Outcome.UNDECRYPTABLE
    except (ThanksIOError, DatabaseError, InterfaceError) as error:
        code = getattr(error, "code", type(error).__name__)
        logger.warning("thanks.io tokens of connection %s were not renewed (%s).", connection.pk, code)
        return Outcome.TRANSIENT
    return Outcome.REFRESHED if renewed else Outcome.SKIPPED


class BulkRefresh:
    """One run. ``stop`` may be set from a signal handler: what is in flight is finished and saved."""

    def __init__(
        self,
        selection: Selection,
        *,
        limit: int | None = None,
        workers: int = 1,
        rate_per_minute: float | None = None,
        time_budget: timedelta | None = None,
        stop: threading.Event | None = None,
        progress: Callable[[Summary], object] = lambda summary: None,
    ) -> None:
        self.selection = selection
        self.limit = limit
        self.workers = workers
        self.stop = stop or threading.Event()
        ends = None if time_budget is None else time.monotonic() + time_budget.total_seconds()
        self.pace = Pace(rate_per_minute or app_settings.rate_limit_per_minute, self.stop, ends)
        self.progress = progress
        self.summary = Summary()
        self._lock = threading.Lock()
        self._undecryptable_in_a_row = 0
        self._unreadable_in_a_row = 0
        self._error: ThanksIOConfigurationError | None = None

    def run(self) -> Summary:
        """Handle every selected row. Raises ThanksIOConfigurationError, once what is in flight is saved."""
        oauth_config()  # credentials that are missing are missing for all
        self.summary.remaining = self.selection.rows().count()
        if self.workers == 1:
            for connection in self._connections():
                self._handle(connection)
        else:
            self._run_threads()
        if self._error is not None:
            raise self._error
        if self.summary.remaining and not self.summary.stopped_by:
            if self.stop.is_set():
                self.summary.stopped_by = "interrupted"
            elif self.pace.is_over:
                self.summary.stopped_by = "time_budget"
            elif self.limit is not None:
                self.summary.stopped_by = "limit"
        return self.summary

    def _run_threads(self) -> None:
        running: set[Future[None]] = set()
        with ThreadPoolExecutor(self.workers, thread_name_prefix="thanksio") as pool:
            for connection in self._connections():
                running.add(pool.submit(self._handle_in_thread, connection))
                if len(running) >= 2 * self.workers:
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        future.result()
            for future in running:
                future.result()

    def _handle_in_thread(self, connection: ThanksIOConnection) -> None:
        try:
            self._handle(connection)
        finally:
            connections.close_all()

    def _connections(self) -> Iterator[ThanksIOConnection]:
        for page in self.selection.pages(self.limit):
            for connection in page:
                if self.stop.is_set() or self.pace.is_over:
                    return
                yield connection

    def _handle(self, connection: ThanksIOConnection) -> None:
        for _try in range(THROTTLED_TRIES):
            if not self.pace.wait():
                return
            try:
                outcome = refresh_one(connection, force=bool(self.selection.users))
            except ThanksIOConfigurationError as error:
                self._halt(error)
                return
            except Throttled as error:
                self.pace.hold(THROTTLED_SECONDS if error.retry_after is None else error.retry_after)
                continue
            self._count(outcome, unreadable=outcome is Outcome.UNDECRYPTABLE and _key_fits(connection))
            return
        self._count(Outcome.TRANSIENT)

    def _count(self, outcome: Outcome, *, unreadable: bool = False) -> None:
        """``unreadable``: our key fits, and thanks.io could not read the refresh token."""
        with self._lock:
            self.summary.add(outcome)
            self.summary.remaining = max(0, self.summary.remaining - 1)
            self.progress(self.summary)
            if outcome is Outcome.UNDECRYPTABLE:
                self._undecryptable_in_a_row += 1
                self._unreadable_in_a_row += unreadable
            elif outcome is Outcome.REFRESHED:
                self._undecryptable_in_a_row = self._unreadable_in_a_row = 0
            refused = self._unreadable_in_a_row == UNDECRYPTABLE_IN_A_ROW and not self.summary.refreshed
            recurs = self._undecryptable_in_a_row == UNDECRYPTABLE_IN_A_ROW
        if refused:
            self._halt(
                ThanksIOConfigurationError(
                    "thanks.io can't read the refresh tokens. Check THANKSIO_TOKEN_URL, and that FIELD_ENCRYPTION_KEY "
                    "is the key that they were encrypted with. Nothing was overwritten.",
                    code="undecryptable",
                )
            )
        elif recurs and not _key_fits_some_row():
            self._halt(
                ThanksIOConfigurationError(
                    "FIELD_ENCRYPTION_KEY fits none of the stored tokens. Put back the key that they were encrypted "
                    "with (a list rotates keys: newest first). Nothing was sent or overwritten.",
                    code="undecryptable",
                )
            )

    def _halt(self, error: ThanksIOConfigurationError) -> None:
        with self._lock:
            self._error = self._error or error
            self.summary.stopped_by = "configuration"
        self.stop.set()


def _key_fits_some_row() -> bool:
    rows = ThanksIOConnection.objects.filter(status=ThanksIOConnection.Status.CONNECTED)
    return any(_key_fits(connection) for connection in rows.order_by("-last_refreshed_at", "-pk")[:KEY_SAMPLE_SIZE])


def _key_fits(connection: ThanksIOConnection) -> bool:
    try:
        connection.refresh_token  # noqa: B018 - reading decrypts
    except TokenUndecryptable:
        return False
    return True
