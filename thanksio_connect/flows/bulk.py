"""Renew whatever is due, over the whole table: paced, interruptible, one sweep at a time on all machines.

No row stops or starves another: what could not be renewed moves behind what can. What stops a sweep is what no row can
help: wrong credentials, a key or a client id that fits no row, and a thanks.io that asks everybody to wait.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from datetime import timedelta

from django.db import DatabaseError, InterfaceError, connections, router

from ..conf import app_settings, oauth_config, prepare_session
from ..exceptions import (
    NotConnected,
    ReconnectRequired,
    RefreshInProgress,
    ThanksIOConfigurationError,
    ThanksIOError,
    Throttled,
    TokenUndecryptable,
)
from ..models import ConnectionTokens
from ..refresh import doors
from ..refresh.token_row import OTHER_CLIENT
from .outcome import Outcome, Summary, Verdicts
from .pace import Pace
from .selection import Selection
from .sweep import RENEW_SECONDS, Held, SweepLease

logger = logging.getLogger("thanksio_connect")

# thanks.io asked to wait and did not say how long: so many seconds, doubling while it goes on.
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 1.0, 60.0
HEARTBEAT_SECONDS = 0.5


class SweptElsewhere(Exception):
    """Another sweep is at it."""

    def __init__(self, held: Held) -> None:
        self.held = held
        super().__init__(held.holder)


def refresh_one(tokens: ConnectionTokens, *, force: bool = False) -> Outcome:
    """Renew one row unless somebody else is at it. Raises Throttled and ThanksIOConfigurationError.

    ``force`` tries a row whose backoff still lasts, or that is locked for a moment.
    """
    try:
        renewed = doors.renew_unless_taken(tokens, force=force)
    except Throttled:
        raise
    except NotConnected:
        return Outcome.GONE
    except RefreshInProgress:
        return Outcome.SKIPPED
    except ReconnectRequired as error:
        return Outcome.OTHER_CLIENT if error.code == OTHER_CLIENT else Outcome.RECONNECT_REQUIRED
    except TokenUndecryptable as error:
        return Outcome.UNREADABLE if error.said_by_thanksio else Outcome.UNDECRYPTABLE
    except (ThanksIOError, DatabaseError, InterfaceError) as error:
        code = getattr(error, "code", type(error).__name__)
        logger.warning("thanks.io tokens of connection %s were not renewed (%s).", tokens.connection_id, code)
        return Outcome.TRANSIENT
    return Outcome.REFRESHED if renewed else Outcome.SKIPPED


class BulkRefresh:
    """One sweep. ``stop`` may be set from a signal handler: what is in flight is finished and saved."""

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
        # A rate that was asked for is kept evenly; of thanks.io's own limit a sixth may come at once.
        per_minute = app_settings.rate_limit_per_minute if rate_per_minute is None else rate_per_minute
        burst = int(per_minute / 6) if rate_per_minute is None else 0
        self.pace = Pace(per_minute, self.stop, ends, burst=burst)
        self.progress = progress
        self.summary = Summary()
        self.verdicts = Verdicts()
        self._lock = threading.Lock()
        self._lease: SweepLease | None = None
        self._kept_at = 0.0
        self._wait_seconds = FIRST_WAIT_SECONDS
        self._gone: list[ConnectionTokens] = []
        self._error: ThanksIOConfigurationError | None = None

    def run(self) -> Summary:
        """Handle every selected row.

        Raises ThanksIOConfigurationError once what is in flight is saved, and :class:`SweptElsewhere`.
        """
        oauth_config()  # credentials that are missing are missing for all
        if not self.selection.users and self.selection.keys is None:
            self._take_lease()
        try:
            self.summary.remaining = self.selection.count()
            self._run_inline() if self.workers == 1 else self._run_threads()
            self._look_for_the_gone()
        finally:
            if self._lease is not None:
                self._lease.give_back(self.summary.as_dict())
        if self._error is not None:
            raise self._error
        self._say_why_it_stopped()
        return self.summary

    def _take_lease(self) -> None:
        taken = SweepLease.take()
        if isinstance(taken, Held):
            raise SweptElsewhere(taken)
        self._lease, self._kept_at = taken, time.monotonic()

    def _keep_lease(self) -> None:
        if self._lease is not None and time.monotonic() - self._kept_at > RENEW_SECONDS:
            self._kept_at = time.monotonic()
            if not self._lease.keep():
                self._lease = None
                self.summary.stopped_by = "another sweep"
                self.stop.set()

    def _say_why_it_stopped(self) -> None:
        if not self.summary.remaining or self.summary.stopped_by:
            return
        if self.stop.is_set():
            self.summary.stopped_by = "interrupted"
        elif self.pace.is_over:
            self.summary.stopped_by = "time_budget"
        elif self.limit is not None:
            self.summary.stopped_by = "limit"

    def _run_inline(self) -> None:
        for tokens in self._rows():
            self._handle(tokens)
            self._keep_lease()

    def _run_threads(self) -> None:
        running: set[Future[None]] = set()
        with ThreadPoolExecutor(self.workers, thread_name_prefix="thanksio") as pool:
            for tokens in self._rows():
                running.add(pool.submit(copy_context().run, self._handle_in_thread, tokens))
                while len(running) >= 2 * self.workers:
                    running = self._settle(running)
            while running:
                running = self._settle(running)

    def _settle(self, running: set[Future[None]]) -> set[Future[None]]:
        """Wait a moment for some to end; what one raised that nobody foresaw goes up."""
        done, running = wait(running, HEARTBEAT_SECONDS, return_when=FIRST_COMPLETED)
        for future in done:
            future.result()
        self._keep_lease()
        return running

    def _handle_in_thread(self, tokens: ConnectionTokens) -> None:
        try:
            if (prepare := prepare_session()) is not None:
                prepare(connections[router.db_for_write(ConnectionTokens)])
            self._handle(tokens)
        finally:
            connections.close_all()

    def _rows(self) -> Iterator[ConnectionTokens]:
        handled = 0
        for page in self.selection.pages():
            for tokens in page:
                if self.stop.is_set() or self.pace.is_over or handled == self.limit:
                    return
                yield tokens
                # Somebody else is at a row that was skipped: it takes no place of the limit.
                handled = self.summary.done - self.summary.skipped if self.workers == 1 else handled + 1

    def _handle(self, tokens: ConnectionTokens) -> None:
        if not self.pace.wait():
            return
        try:
            outcome = refresh_one(tokens, force=bool(self.selection.users) and not _needs_owner(tokens))
        except ThanksIOConfigurationError as error:
            self._halt(error)
            return
        except Throttled as error:
            outcome = Outcome.THROTTLED
            self._hold(error)
        if outcome is Outcome.GONE:
            self._gone.append(tokens)
            outcome = Outcome.SKIPPED
        self._count(outcome)

    def _hold(self, error: Throttled) -> None:
        """thanks.io asks to wait: nobody sends meanwhile."""
        with self._lock:
            seconds = self._wait_seconds if error.retry_after is None else error.retry_after
            self._wait_seconds = min(2 * self._wait_seconds, LONGEST_WAIT_SECONDS)
        self.pace.hold(seconds)

    def _count(self, outcome: Outcome) -> None:
        with self._lock:
            self.summary.add(outcome)
            self.summary.remaining = max(0, self.summary.remaining - 1)
            self.progress(self.summary)
            if outcome is Outcome.REFRESHED:
                self._wait_seconds = FIRST_WAIT_SECONDS
            problem = self.verdicts.after(outcome, self.summary)
        if isinstance(problem, ThanksIOConfigurationError):
            self._halt(problem)
        elif problem:
            self.summary.stopped_by = problem
            self.stop.set()

    def _halt(self, error: ThanksIOConfigurationError) -> None:
        with self._lock:
            self._error = self._error or error
            self.summary.stopped_by = "configuration"
        self.stop.set()

    def _look_for_the_gone(self) -> None:
        """A row that a worker does not see, and this connection does, is no row that was disconnected."""
        if self._gone and Selection(keys=[tokens.pk for tokens in self._gone]).count():
            self._error = self._error or ThanksIOConfigurationError(
                "The database sessions of the worker threads don't see the rows that this command sees. Name a "
                "function in THANKSIO_PREPARE_SESSION that gives a session its tenant, role or variable, or use --workers 1.",
                code="invisible_rows",
            )


def _needs_owner(tokens: ConnectionTokens) -> bool:
    return bool(tokens.status == ConnectionTokens.Status.RECONNECT_REQUIRED)
