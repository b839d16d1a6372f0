"""Renew whatever is due, over the whole table: paced, interruptible, safe to run on several machines at once.

Leases make overlapping runs harmless, and one failing row never stops the rest. What stops a run is what no row can
help: wrong credentials, or an encryption key that fits no row.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from dataclasses import asdict, dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any

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
from ..models import ConnectionTokens, ThanksIOConnection
from ..refresh import doors
from .pace import Pace
from .selection import Selection

logger = logging.getLogger("thanksio_connect")

THROTTLED_TRIES = 3
THROTTLED_SECONDS = 60.0  # thanks.io asked to wait and did not say how long
UNDECRYPTABLE_IN_A_ROW = 3
KEY_SAMPLE_SIZE = 200
UNSEEN = (
    "A worker thread does not see a thanks.io connection that the command sees: the database sessions of this project "
    "need a tenant, a role or a variable. Name a function that sets it in THANKSIO_PREPARE_SESSION, or use --workers 1."
)


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
        """Whether some row could not be renewed."""
        return bool(self.transient + self.reconnect_required + self.undecryptable)

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return asdict(self)


def refresh_one(connection: ThanksIOConnection, *, force: bool = False) -> Outcome:
    """Renew one row unless somebody else is at it. Raises Throttled and ThanksIOConfigurationError.

    ``force`` tries a row whose backoff still lasts.
    """
    try:
        renewed = doors.renew_unless_taken(connection.tokens, force=force and not connection.needs_reconnect)
    except Throttled:
        raise
    except (NotConnected, RefreshInProgress):
        return Outcome.SKIPPED
    except (ReconnectRequired, ConnectionTokens.DoesNotExist):
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
        # A rate that was asked for is kept evenly; of thanks.io's own limit a sixth may come at once.
        limit_per_minute = app_settings.rate_limit_per_minute
        if rate_per_minute is None:
            self.pace = Pace(limit_per_minute, self.stop, ends, burst=limit_per_minute / 6)
        else:
            self.pace = Pace(rate_per_minute, self.stop, ends)
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
        running: set[Future[ThanksIOConnection | None]] = set()
        with ThreadPoolExecutor(self.workers, thread_name_prefix="thanksio") as pool:
            for connection in self._connections():
                running.add(pool.submit(copy_context().run, self._handle_in_thread, connection))
                if len(running) >= 2 * self.workers:
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    self._settle(done)
            self._settle(running)

    def _handle_in_thread(self, connection: ThanksIOConnection) -> ThanksIOConnection | None:
        """Handle a row over this thread's own database session; returns the row if that does not see it."""
        try:
            alias = router.db_for_write(type(connection), instance=connection)
            if (prepare := prepare_session()) is not None:
                prepare(connections[alias])
            if doors.is_visible(connection.tokens):
                self._handle(connection)
                return None
        except ThanksIOConfigurationError as error:
            self._halt(error)
            return None
        except ConnectionTokens.DoesNotExist:
            self._count(Outcome.RECONNECT_REQUIRED)
            return None
        finally:
            connections.close_all()
        return connection

    def _settle(self, handled: Iterable[Future[ThanksIOConnection | None]]) -> None:
        """Rows that worker threads did not see: those that this thread sees are an error, the others are gone."""
        for future in handled:
            if (connection := future.result()) is None:
                continue
            if doors.is_visible(connection.tokens):
                self._halt(ThanksIOConfigurationError(UNSEEN, code="unseen_by_workers"))
            else:
                self._count(Outcome.SKIPPED)

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
    rows = ThanksIOConnection.objects.connected().order_by("-tokens__last_refreshed_at", "-pk")
    return any(_key_fits(connection) for connection in rows[:KEY_SAMPLE_SIZE])


def _key_fits(connection: ThanksIOConnection) -> bool:
    try:
        if stored := connection.tokens.refresh_token:
            stored.reveal()
    except TokenUndecryptable:
        return False
    return True
