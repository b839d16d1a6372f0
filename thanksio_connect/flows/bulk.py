"""Renew whatever is due, over the whole table: paced, interruptible, one sweep at a time on all machines.

No row stops or starves another: what could not be renewed moves behind what can. What stops a sweep is what no row can
help: wrong credentials, a key or a client id that fits no row, and a thanks.io that is out of order for all.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from datetime import timedelta

from django.db import DatabaseError, InterfaceError

from ..client.deadline import now
from ..conf import app_settings, oauth_config
from ..encryption_key import encryption_keys
from ..exceptions import ThanksIOConfigurationError, Throttled
from ..models import ConnectionTokens
from ..records import record
from .crew import Crew, default_workers
from .old_events import delete_old_events
from .outcome import Handled, Outcome, Summary
from .pace import TICK_SECONDS, Pace
from .renew_row import renew_row
from .selection import PAGE_SIZE, Selection, some_rows
from .suspicion import Reason, Suspicion, database_error, invisible_rows_error, no_key_fits_error, reason_of
from .sweep import Tenure

# thanks.io asked to wait and did not say how long: one turn, doubling while it goes on.
LONGEST_WAIT_SECONDS = 60.0
# So many rows by chance are asked whether the fault is theirs, too.
ROWS_BY_CHANCE, ROWS_DRAWN = 3, 20


class BulkRefresh:
    """One sweep. ``stop`` may be set from a signal handler: what is in flight is finished and saved.

    ``progress`` is called after each row and now and then between; ``on_row`` with each row, in the thread that handled
    it. Several threads may call them at a time.
    """

    def __init__(
        self,
        selection: Selection,
        *,
        limit: int | None = None,
        workers: int | None = None,
        rate_per_minute: float | None = None,
        time_budget: timedelta | None = None,
        patience_seconds: float = math.inf,
        stop: threading.Event | None = None,
        progress: Callable[[Summary], object] = lambda summary: None,
        on_row: Callable[[ConnectionTokens, Handled], object] = lambda tokens, handled: None,
    ) -> None:
        self.selection = selection
        self.limit = limit
        self.stop = stop or threading.Event()
        ends = None if time_budget is None else now() + time_budget.total_seconds()
        per_minute = app_settings.rate_limit_per_minute if rate_per_minute is None else rate_per_minute
        self.pace = Pace(per_minute, self.stop, ends, patience_seconds=patience_seconds, tick=self._keep_lease)
        self.progress = progress
        self.on_row = on_row
        self.summary = Summary()
        self.suspicion = Suspicion()
        self._workers = workers or default_workers()
        self._crew: Crew[ConnectionTokens] | None = Crew(self._workers, self._handle) if self._workers > 1 else None
        self._lock = threading.Lock()
        self._tenure = Tenure()
        self._sent = 0
        self._busy = 0  # in the thread that calls
        self._wait_seconds = self.pace.interval_seconds
        self._asked: set[str] = set()  # by chance, or in vain and still due
        self._gone: list[str] = []
        self._last_failure = Outcome.TRANSIENT
        self._has_seen_all = False
        self._error: Exception | None = None

    def run(self) -> Summary:
        """Handle every selected row.

        Raises ThanksIOConfigurationError and the database's errors once what is in flight is saved, and
        :class:`SweptElsewhere`.
        """
        oauth_config()  # credentials that are missing are missing for all, and so is a key
        encryption_keys()
        if not self.selection.users and self.selection.keys is None:
            self._tenure.begin()
        try:
            self.summary.remaining = self.selection.count()
            with self._crew or nullcontext():
                self._sweep()
            self._look_at_the_end()
            if self._tenure.is_held:
                delete_old_events()
        finally:
            self._end()
        if self._error is not None:
            raise self._error
        return self.summary

    @property
    def in_flight(self) -> int:
        """How many rows are being renewed."""
        return self._busy if self._crew is None else self._crew.busy

    def _keep_lease(self) -> None:
        self.progress(self.summary)
        if not self._tenure.keep():
            self._halt("another sweep")

    # The rows, in the thread that calls

    def _sweep(self) -> None:
        for tokens in self._rows():
            if not self._may_go_on():
                return
            if tokens.pk in self._asked:
                continue
            if not self.pace.wait():
                return
            if self.selection.is_early(tokens):
                self._tenure.resume_after = tokens.pk
            if self._crew is None:
                self._handle_here(tokens)
            else:
                self._crew.hand(tokens)
        self._has_seen_all = True

    def _rows(self) -> Iterator[ConnectionTokens]:
        for page in self.selection.pages(resume_after=self._tenure.resume_after):
            yield from page

    def _may_go_on(self) -> bool:
        """Wait for a place. Returns False when nothing more is to be begun."""
        while not self.stop.is_set() and not self.pace.is_over:
            self._keep_lease()
            if self.suspicion.is_raised and not self.selection.users:
                self._ask_by_chance()
            elif self._has_place():
                return True
        return False

    def _has_place(self) -> bool:
        """Whether another row may be begun, within the workers and within the limit. Stops at the limit."""
        if self.limit is not None and self._sent >= self.limit:
            self._halt("limit")
            return False
        if self._crew is None:
            return True
        busy = self._crew.busy  # first: those that end meanwhile are counted as sent before they are no longer busy
        left = self._workers if self.limit is None else min(self.limit - self._sent, self._workers)
        if busy >= left:
            self._crew.wait_until_fewer(busy, TICK_SECONDS)
        else:
            self._crew.raise_error()
        return busy < left

    def _ask_by_chance(self) -> None:
        """So many failed: is it they, or everything?"""
        refreshed, answers = self.summary.refreshed, 0
        outcome = self._last_failure
        for tokens in some_rows(ROWS_DRAWN):
            if tokens.pk in self._asked:
                continue
            if not self.pace.wait():
                return
            self._asked.add(tokens.pk)
            is_due = self.selection.keys is None and not self.selection.is_early(tokens)
            if (came := self._handle_here(tokens, is_extra=not is_due)) is not None and came.is_failure:
                outcome, answers = came, answers + 1
            if (
                self.summary.refreshed > refreshed or answers == ROWS_BY_CHANCE
            ):  # refreshed: also by a worker, meanwhile
                break
        is_waiting = not answers and self._crew is not None and self._crew.busy > 0  # the others are under way
        if self.summary.refreshed == refreshed and not is_waiting:
            self._halt_because(reason_of(outcome, self.summary, were_others_asked=answers > 0))
        self.suspicion.allay()

    def _handle_here(self, tokens: ConnectionTokens, *, is_extra: bool = False) -> Outcome | None:
        self._busy += 1
        try:
            return self._handle(tokens, is_extra=is_extra)
        finally:
            self._busy -= 1

    # One row, in any thread

    def _handle(self, tokens: ConnectionTokens, *, is_extra: bool = False) -> Outcome | None:
        was_failing = bool(tokens.last_error_code)
        try:
            handled = renew_row(tokens, force=bool(self.selection.users) and not _needs_owner(tokens))
        except ThanksIOConfigurationError as error:
            self._halt_because(error)
            return None
        except Throttled as error:
            handled = Handled(Outcome.THROTTLED, error.code, is_repeated=was_failing)
            self._hold(error)
        outcome = handled.outcome
        if outcome is Outcome.GONE and len(self._gone) < PAGE_SIZE:
            self._gone.append(tokens.pk)
        if outcome is Outcome.DATABASE and len(self._asked) < PAGE_SIZE:
            self._asked.add(tokens.pk)
        if not outcome.was_sent:
            self.pace.return_turn()
        self.on_row(tokens, handled)
        self._count(handled, is_extra=is_extra)
        return outcome

    def _hold(self, error: Throttled) -> None:
        """thanks.io asks to wait: nobody sends meanwhile."""
        with self._lock:
            seconds = self._wait_seconds if error.retry_after is None else error.retry_after
            self._wait_seconds = min(2 * self._wait_seconds, LONGEST_WAIT_SECONDS)
        self.pace.hold(seconds)

    def _count(self, handled: Handled, *, is_extra: bool) -> None:
        outcome = handled.outcome
        with self._lock:
            self._sent += outcome.was_sent
            self.summary.add(handled)
            if outcome.is_failure:
                self._last_failure = outcome
            if outcome is Outcome.REFRESHED:
                self._wait_seconds = self.pace.interval_seconds
            self.suspicion.note(outcome)
            no_key_fits = self.suspicion.no_key_fits()
        if not is_extra:
            self._subtract_one()
        if no_key_fits and not self.selection.users:
            self._halt_because(no_key_fits_error())
        if self.suspicion.loses_pairs:
            self._halt_because(database_error())

    def _subtract_one(self) -> None:
        with self._lock:
            self.summary.remaining = max(0, self.summary.remaining - 1)
            self.progress(self.summary)

    # The end

    def _end(self) -> None:
        try:
            self.pace.close()
        except (DatabaseError, InterfaceError) as error:
            record("sweep.turns_not_given_back", code=type(error).__name__)
        self._tenure.end(self.summary.as_dict())

    def _halt(self, word: str) -> None:
        self.summary.stopped_by = self.summary.stopped_by or word
        self.stop.set()

    def _halt_because(self, reason: Reason | None) -> None:
        if isinstance(reason, str):
            self._halt(reason)
        elif reason is not None:
            self._error = self._error or reason
            self._halt("configuration" if isinstance(reason, ThanksIOConfigurationError) else "database")

    def _look_at_the_end(self) -> None:
        """Say why it stopped. Rows that workers don't see, and this thread does, were not disconnected."""
        if self._error is None and self._gone and Selection(keys=self._gone).count():
            self._error = invisible_rows_error()
        if self._has_seen_all and self._error is None:
            self.summary.remaining = 0  # others were renewed or disconnected meanwhile
        if self.summary.remaining and not self.summary.stopped_by:
            is_late = "time_budget" if self.pace.is_over else "interrupted"
            self._halt("throttled" if self.pace.is_held else is_late)


def _needs_owner(tokens: ConnectionTokens) -> bool:
    return bool(tokens.status == ConnectionTokens.Status.RECONNECT_REQUIRED)
