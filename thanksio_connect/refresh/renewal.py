"""One run of the protocol for one caller: its steps are done at the place that the caller's transaction allows.

The exchange with thanks.io is the engine's, not the caller's: whatever is raised into the caller's thread while it
lasts, its answer is awaited and stored, and then the exception goes on its way.
"""

from __future__ import annotations

import random
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Protocol, TypeVar, cast

from django.db import DatabaseError, InterfaceError, models, router
from django.views.decorators.debug import sensitive_variables

from ..client.interruption import Errand
from ..client.tokens import Secret, TokenSet
from ..conf import oauth_client, transport_config
from ..database import sessions
from ..exceptions import OutcomeUnknown, ReconnectRequired, ThanksIOConfigurationError, ThanksIOError
from ..history.announcements import Announcer
from ..records import record
from . import protocol, schedule
from .places import Place, first_choice
from .protocol import Claim, Conclude, Current, Fail, Load, Pause, Post, Release, Request, Store
from .statements import Stored
from .token_row import Key, Row, ids_of, renewed_values

T = TypeVar("T")

# A lease outlives the longest exchange by what the claim before and the store after it may take.
LEASE_MARGIN_SECONDS = 10.0
# A request that does not begin within that time after the claim (this process was stopped) would outlast its lease.
CLAIM_SECONDS = 5.0
PATIENCE_MARGIN_SECONDS = 5.0
# A waiter looks again after 40 % of what it has waited: it comes late by less than that, and a crowd asks seldom.
POLL_SECONDS, POLL_GROWTH, POLL_MAX_SECONDS = 0.05, 1.4, 0.25
# The third Ctrl-C is obeyed, whatever it costs.
INTERRUPTIONS, KEYBOARD_INTERRUPTS = 20, 2

# On a database error: the new pair was not stored.
LOST_NOTE = "The new thanks.io tokens of this connection are lost."
OWN_ERRORS = (ThanksIOError, ThanksIOConfigurationError, DatabaseError, InterfaceError)


class Tokens(schedule.Tokens, Protocol):
    """What the engine needs of a token row's instance."""

    pk: str
    version: int
    connection_id: Any
    connection: Any

    def adopt(self, values: Any) -> None:
        """Take over a row's values."""


class Renewal:
    """One run. ``is_urgent``: nothing but a new token helps the caller, or it asked for one.

    ``outlives_sessions``: a claim whose session dies is tried again although the caller is in no hurry.
    """

    def __init__(self, tokens: Tokens, request: Request, *, is_urgent: bool, outlives_sessions: bool = False) -> None:
        self.tokens = tokens
        self.request = request
        self.is_urgent = is_urgent
        self.outlives_sessions = outlives_sessions
        model = type(cast("models.Model", tokens))
        self.alias = router.db_for_write(model, instance=tokens)
        self.key = Key(model, tokens.pk, version=tokens.version, **ids_of(tokens))
        self.limits = transport_config()  # the lease outlives the exchange by the same ones
        deadline_seconds = self.limits.total_deadline_seconds
        self.lease_seconds = deadline_seconds + LEASE_MARGIN_SECONDS
        self.patience_ends = time.monotonic() + deadline_seconds + PATIENCE_MARGIN_SECONDS
        self.polls_left = int((deadline_seconds + PATIENCE_MARGIN_SECONDS) / POLL_SECONDS)
        self.poll_seconds = POLL_SECONDS
        self.seen: Row | None = None
        self.has_concluded = False
        self.posted_at: float | None = None  # on the monotonic clock
        self.exchange: Errand[TokenSet | Exception] | None = None  # under way, or with a pair that is not stored yet
        self.spent: Row | None = None
        self.values: dict[str, Any] | None = None  # the new pair, as it is stored
        self.place: Place
        self.tell: Announcer

    def run(self) -> Current | None:
        """Return the outcome, the instance brought up to date. None: the living token is to be used as it is."""
        self.stand_at(first_choice(self.alias, self.key, self.lease_seconds, is_urgent=self.is_urgent))
        with self.seen_through():
            place = self.place.settled(vars(self.tokens))
            if place is None:
                return None
            if place is not self.place:
                self.stand_at(place)
            conversation = protocol.renewal(self.key.version, replace(self.request, may_wait=place.may_wait))
            result: Any = None
            while True:
                try:
                    step = conversation.send(result)
                except StopIteration as stop:
                    self.seen = stop.value.row
                    return cast("Current", stop.value)
                result = self.perform[type(step)](step)
                if isinstance(result, Exception):
                    self.tell.last_error = result
                if isinstance(row := getattr(result, "row", result), Row):
                    self.seen = row

    def stand_at(self, place: Place) -> None:
        """Do the steps there."""
        self.place, self.tell = place, Announcer(self.tokens, place.commit, **self.key.ids)
        if self.outlives_sessions:
            place.claim_budget_seconds = sessions.STEP_BUDGET_SECONDS
        # What does a step, by its kind; the steps' docstrings name the results.
        self.perform: dict[type, Callable[[Any], Any]] = {
            Load: place.load,
            Claim: place.claim,
            Pause: self.pause,
            Post: self.post,
            Store: self.store,
            Fail: self.fail,
            Release: lambda step: self.tidy(place.release, step),
            Conclude: self.conclude,
        }

    @contextmanager
    def seen_through(self) -> Iterator[None]:
        """Whatever ends the conversation: no answer is dropped, the instance is up to date, and the project is told."""
        try:
            yield
        except BaseException as error:
            # Broken off by an interruption, or by a step that failed while there is an answer to take care of.
            if self.exchange is not None or not isinstance(error, OWN_ERRORS):
                self.finish_despite_interruptions()
            self.announce_failure(error)
            raise
        finally:
            self.adopt(self.seen)
            if self.has_concluded:
                code = "" if self.seen is None else self.seen.error_code
                self.tell.reconnect_required(code, self.duration_seconds)

    def adopt(self, row: Row | None) -> None:
        """Bring the instance up to date, never back."""
        if row is not None and row.version >= self.tokens.version:
            self.tokens.adopt(row.values)

    def pause(self, step: Pause) -> bool:
        """Sleep. Returns whether the caller's patience lasts: by the clock, and by count if that stands still."""
        if step.second_look:
            time.sleep(self.place.second_look_seconds)
            return True
        left = self.patience_ends - time.monotonic()
        self.polls_left -= 1
        if left <= 0 or self.polls_left < 0:
            return False
        time.sleep(min(left, self.poll_seconds * random.uniform(0.8, 1.2)))  # noqa: S311 - jitter, no secret
        self.poll_seconds = min(POLL_GROWTH * self.poll_seconds, POLL_MAX_SECONDS)
        return True

    @sensitive_variables()
    def post(self, step: Post) -> TokenSet | Exception | None:
        """One exchange at the token endpoint, no transaction open; a failure is returned, not raised."""
        if time.monotonic() - self.place.claimed_at > CLAIM_SECONDS:
            return None
        if step.row.refresh_token is None:
            return ReconnectRequired(code="no_refresh_token")
        try:
            client, refresh_token = oauth_client(self.limits), Secret(step.row.refresh_token.reveal())
        except (ThanksIOError, ThanksIOConfigurationError) as error:
            return error
        self.spent = step.row
        self.posted_at = self.posted_at or time.monotonic()
        self.exchange = Errand(lambda: client.refresh(refresh_token))
        return self.reply()

    def reply(self) -> TokenSet | Exception:
        """Wait for the exchange that is under way."""
        assert self.exchange is not None
        reply = self.exchange.wait()
        if isinstance(reply, TokenSet | ThanksIOError | ThanksIOConfigurationError):
            return reply
        # The lease must go back. The exception's text and frames may hold a token.
        frame = traceback.extract_tb(reply.__traceback__)[-1]
        words = {"file": frame.filename, "line": frame.lineno}
        record("renewal.unexpected_error", words=words, code=type(reply).__name__, **self.key.ids)
        return OutcomeUnknown(code="unexpected_error")

    @sensitive_variables()
    def store(self, step: Store) -> Stored:
        """Make the new pair durable before anybody sees it."""
        # The same values again if this is interrupted: their ciphertext tells whether they stand.
        values = self.values = self.values or renewed_values(self.key.version, step.tokens)

        def stored() -> None:
            self.adopt(Row(values))
            self.tell.refreshed(self.duration_seconds, trouble=self.spent.trouble if self.spent else None)

        try:
            result = self.place.store(values, stored)
        except (DatabaseError, InterfaceError) as error:
            record("tokens.lost:renewed", code=type(error).__name__, **self.key.ids)
            self.exchange = None
            error.add_note(LOST_NOTE)
            raise
        self.exchange = None
        return result

    def fail(self, step: Fail) -> Row | None:
        """Record the failure."""
        row = self.tidy(self.place.fail, step)
        if row is not None and row is not step.row and step.row.trouble is None:
            self.tell.failing(step.failure.code)
        return row

    def conclude(self, step: Conclude) -> Row | None:
        """Write the verdict, and read what stands."""
        self.has_concluded = self.place.conclude(step)
        self.exchange = None
        return self.place.load(Load())

    def finish_despite_interruptions(self) -> None:
        """Something was raised into this thread: await the exchange under way, and store what it brings."""
        keyboard_interrupts = 0
        for _interruption in range(INTERRUPTIONS):
            try:
                return self.finish()
            except KeyboardInterrupt:
                keyboard_interrupts += 1
                if keyboard_interrupts >= KEYBOARD_INTERRUPTS:
                    raise
                record("renewal.interrupted_again", **self.key.ids)
            except OWN_ERRORS:
                return None  # it was logged; the interruption is what the caller hears of
            except BaseException:  # noqa: BLE001, S112 - the first one is raised once the pair is stored
                continue
        return None

    def finish(self) -> None:
        """The rest of a renewal whose conversation was broken off."""
        reply = None if self.exchange is None else self.reply()
        step = Release() if reply is None else protocol.last_step(self.spent, reply)
        self.tell.last_error = reply if isinstance(reply, Exception) else None
        self.perform[type(step)](step)
        if isinstance(reply, Exception):
            self.announce_failure(reply)

    @property
    def duration_seconds(self) -> float:
        """How long ago thanks.io was asked; 0 if it was not."""
        return 0.0 if self.posted_at is None else time.monotonic() - self.posted_at

    def announce_failure(self, error: BaseException) -> None:
        """Say once what an exchange with thanks.io came to, unless the grant is over: that is said elsewhere."""
        if self.posted_at is not None and not self.has_concluded and isinstance(error, OWN_ERRORS):
            self.adopt(self.seen)
            self.tell.failure(error, self.duration_seconds)
            self.posted_at = None

    def tidy(self, perform: Callable[[Any], T], step: protocol.Step) -> T | None:
        """Do what is good to do but whose failure must not hide the outcome: a lease left behind expires."""
        result = None
        try:
            result = perform(step)
        except (DatabaseError, InterfaceError) as error:
            record("renewal.lease_not_given_back", code=type(error).__name__, **self.key.ids)
        self.exchange = None
        return result
