"""Renews a connection's tokens: drives the protocol, step by step, at the place that the caller's transaction allows.

The engine works on the instance that it is handed and imports no model.
"""

from __future__ import annotations

import logging
import random
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol, cast

from django.db import DatabaseError, InterfaceError, models, router
from django.dispatch import Signal
from django.views.decorators.debug import sensitive_variables

from .. import signals
from ..client.tokens import Secret, TokenSet
from ..conf import oauth_client, transport_config
from ..exceptions import (
    OutcomeUnknown,
    ReconnectRequired,
    RefreshInProgress,
    ThanksIOConfigurationError,
    ThanksIOError,
)
from . import connections as databases
from . import protocol, schedule
from .place import Place
from .places import choose
from .row import Failure, Key, Row, renewed_values
from .steps import Claim, Conclude, Current, Fail, Load, Pause, Post, Release, Request, Step, Store

logger = logging.getLogger("thanksio_connect")

# A lease outlives the longest exchange by what the claim before and the store after it may take.
LEASE_MARGIN_SECONDS = 10.0
# A request that does not begin within that time after the claim (this process was stopped) would outlast its lease.
CLAIM_SECONDS = 5.0
PATIENCE_MARGIN_SECONDS = 5.0
# A waiter looks again after 40 % of what it has waited: it comes late by less than that, and a crowd asks seldom.
POLL_SECONDS, POLL_GROWTH, POLL_MAX_SECONDS = 0.05, 1.4, 0.25


class Connection(schedule.Connection, Protocol):
    """What the engine needs of the model."""

    pk: Any
    user_id: Any
    version: int
    access_token: str
    created_at: Any

    @property
    def needs_reconnect(self) -> bool:
        """Whether the verdict stands."""

    def adopt(self, values: Any) -> None:
        """Take over a row's values."""


def renew_if_needed(connection: Connection) -> None:
    """For the helper: renew; a failure is raised only if the access token has expired, else logged."""
    has_expired = schedule.is_expired(connection)
    if connection.needs_reconnect and not has_expired:
        return
    try:
        _renew_until_usable(connection, Request(is_needed=has_expired, has_expired=has_expired))
    except (ThanksIOError, ThanksIOConfigurationError, DatabaseError, InterfaceError) as error:
        if schedule.is_expired(connection):
            raise
        logger.warning(
            "thanks.io tokens of connection %s were not renewed (%s); the current one still lives.",
            connection.pk,
            getattr(error, "code", type(error).__name__),
        )


def renew(connection: Connection, *, force: bool = False) -> None:
    """Renew now, or take a newer token from the row. Raises whenever neither works."""
    _renew_until_usable(connection, Request(has_expired=schedule.is_expired(connection), force=force), explicit=True)


def renew_unless_taken(connection: Connection, *, force: bool = False) -> bool:
    """For bulk runs: renew now without waiting for whoever is at it. Returns whether this call renewed."""
    request = Request(is_needed=False, has_expired=schedule.is_expired(connection), force=force)
    current = Renewal(connection, request, explicit=True).run()
    return current is not None and current.renewed


def renew_rejected(connection: Connection, rejected: Secret) -> None:
    """thanks.io's API refused the token: take the row's if that is another, else renew."""
    if Secret(connection.access_token) != rejected:
        return
    _renew_until_usable(connection, Request(rejected=True), explicit=True)


def _renew_until_usable(connection: Connection, request: Request, *, explicit: bool = False) -> None:
    """Run the protocol, and again when the newer row that it found is itself past use (an old instance)."""
    for _attempt in range(3):
        current = Renewal(connection, request, explicit=explicit).run()
        if current is None or current.renewed or not schedule.is_expired(connection):
            if connection.needs_reconnect and request.is_needed:
                raise ReconnectRequired(code=current.row.error_code if current else None)
            return
    raise RefreshInProgress


class Renewal:
    """One run of the protocol for one caller."""

    def __init__(self, connection: Connection, request: Request, *, explicit: bool) -> None:
        self.connection = connection
        self.request = request
        self.explicit = explicit
        self.transport = transport_config()
        model = cast("type[models.Model]", type(connection))
        self.alias = router.db_for_write(model, instance=connection)
        self.key = Key(model, connection.pk, connection.user_id, connection.created_at, connection.version)
        self.patience_ends = time.monotonic() + self.transport.total_deadline_seconds + PATIENCE_MARGIN_SECONDS
        self.poll_seconds = POLL_SECONDS
        self.seen: Row | None = None
        self.has_concluded = False

    def run(self) -> Current | None:
        """Returns the outcome, the instance brought up to date. None: the living token is to be used as it is."""
        place = choose(
            self.alias,
            self.key,
            self.transport.total_deadline_seconds + LEASE_MARGIN_SECONDS,
            must_renew=self.explicit or self.request.has_expired,
        )
        if place is None:
            return None
        if place.patience_seconds is not None:
            self.patience_ends = min(self.patience_ends, time.monotonic() + place.patience_seconds)
        request = replace(self.request, may_wait=place.may_wait, may_conclude=place.may_conclude)
        conversation = protocol.renewal(self.key.version, request)
        try:
            result: Any = None
            while True:
                result = self.perform(conversation.send(result), place)
        except StopIteration as stop:
            current = cast("Current", stop.value)
            self.adopt(current.row)
            return current
        finally:
            self.adopt(self.seen)
            if self.has_concluded:
                announce(signals.reconnect_required, self.connection)

    def perform(self, step: Step, place: Place) -> Any:
        """Do one step; the steps' docstrings name the results."""
        match step:
            case Load():
                return self.see(place.load())
            case Claim():
                taken, row = place.claim()
                return taken, self.see(row)
            case Pause():
                return self.pause(place, second_look=step.second_look)
            case Post():
                return self.post(step.row, place)
            case Store():
                return self.store(step, place)
            case Fail():
                tidy(lambda: self.see(place.fail(step.row, step.failure)))
            case Release():
                tidy(place.release)
            case Conclude():
                self.has_concluded = place.conclude(step.code, access_token_dead=step.access_token_dead)
                return self.see(place.load())
        return None

    def see(self, row: Row | None) -> Row | None:
        """Remember the row that was seen last, for the instance to show."""
        if row is not None:
            self.seen = row
        return row

    def adopt(self, row: Row | None) -> None:
        """Bring the instance up to date, never back."""
        if row is not None and row.version >= self.connection.version:
            self.connection.adopt(row.values)

    def pause(self, place: Place, *, second_look: bool) -> bool:
        """Sleep. Returns whether the caller's patience lasts."""
        if second_look:
            time.sleep(place.second_look_seconds)
            return True
        left = self.patience_ends - time.monotonic()
        if left <= 0:
            return False
        time.sleep(min(left, self.poll_seconds * random.uniform(0.8, 1.2)))  # noqa: S311 - jitter, no secret
        self.poll_seconds = min(POLL_GROWTH * self.poll_seconds, POLL_MAX_SECONDS)
        return True

    @sensitive_variables()
    def post(self, row: Row, place: Place) -> TokenSet | Exception | None:
        """One exchange at the token endpoint, no transaction open; a failure is returned, not raised."""
        try:
            if time.monotonic() - place.claimed_at > CLAIM_SECONDS:
                return None
            refresh_token = Secret(row.refresh_token.decrypt())
            if not refresh_token:
                return ReconnectRequired(code="no_refresh_token")
            return oauth_client().refresh(refresh_token)
        except (ThanksIOError, ThanksIOConfigurationError) as error:
            return error
        except Exception as error:  # noqa: BLE001 - the lease must go back; its text and frames may hold a token
            frame = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{frame.filename}:{frame.lineno}"
            logger.error("The token request failed unexpectedly: %s at %s.", type(error).__name__, where)
            return OutcomeUnknown(code="unexpected_error")
        except BaseException:
            tidy(lambda: place.fail(row, Failure("interrupted", outcome_unknown=True)))
            raise

    @sensitive_variables()
    def store(self, step: Store, place: Place) -> tuple[bool, Row | None]:
        """Make the new pair durable before anybody sees it."""
        values = renewed_values(self.key, step.tokens, rejection_count=step.rejection_count)

        def stored() -> None:
            self.adopt(Row(values=values))
            announce(signals.tokens_refreshed, self.connection)

        try:
            return place.store(values, stored)
        except (DatabaseError, InterfaceError) as error:
            outcome = "the next renewal stores them" if place.is_kept else "its owner must connect again"
            logger.critical(
                "Renewed tokens of thanks.io connection %s could not be stored (%s): %s once the database is back.",
                self.key.pk,
                type(error).__name__,
                outcome,
            )
            raise
        except BaseException:
            if place.has_journal:  # Ctrl-C while waiting for a lock: the pair comes first
                place.keep(values)
                tidy(lambda: databases.durably(self.alias, place.writes(values), budget_seconds=2))
            raise


def tidy(step: Callable[[], object]) -> None:
    """Do what is good to do but whose failure must not hide the outcome: a lease left behind expires."""
    try:
        step()
    except (DatabaseError, InterfaceError) as error:
        logger.warning("The renewal's lease could not be given back (%s); it expires.", type(error).__name__)


def announce(signal: Signal, connection: Connection, **details: object) -> None:
    """Send a signal; a receiver that raises is logged by Django and harms nothing."""
    signal.send_robust(sender=type(connection), connection=connection, **details)


class TokenSource:
    """What the API client asks for tokens (see :class:`thanksio_connect.client.api.TokenSource`)."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def get_access_token(self) -> str:
        """The connection's usable token."""
        return cast("str", self._connection.get_access_token())

    def renew(self, rejected_access_token: Secret) -> None:
        """See :func:`renew_rejected`."""
        renew_rejected(self._connection, rejected_access_token)
