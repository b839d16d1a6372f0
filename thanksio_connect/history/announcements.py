"""What a renewal tells: the operator's log, the user's history, and the project by signals; after the commit.

A renewal that goes well is told by a signal alone, and by a record of level DEBUG.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, cast

from django.core.exceptions import ObjectDoesNotExist
from django.db import DatabaseError, InterfaceError, models
from django.dispatch import Signal

from .. import signals
from ..client.interruption import is_raised_by_a_signal_handler
from ..exceptions import NotSent, ThanksIOConfigurationError, Throttled, TokenUndecryptable
from ..records import record
from . import events
from .events import Kind

REFRESHED = "refreshed"
DATABASE = "database"
# Their sentence names the cause and the cure; that of others says no more than the code.
_TELLING = (NotSent, ThanksIOConfigurationError, TokenUndecryptable)


def send(signal: Signal, sender: Any, **arguments: Any) -> None:
    """Send a signal. A receiver that raises is logged by Django and harms nothing; a time limit comes out."""
    for _receiver, response in signal.send_robust(sender=sender, **arguments):
        if isinstance(response, Exception) and is_raised_by_a_signal_handler(response):
            raise response


class Announcer:
    """One renewal's. A transition is told once, also where an interruption makes its step run again.

    ``commit`` runs a step on a database alias, and commits it where the caller stands.
    """

    def __init__(self, tokens: Any, commit: Callable[..., Any], *, connection_id: Any, user_id: Any) -> None:
        self._tokens = tokens
        self._commit = commit
        self._ids = {"connection_id": connection_id, "user_id": user_id}
        self._told: set[str] = set()
        self.last_error: Exception | None = None

    def refreshed(self, duration_seconds: float, *, trouble: str | None) -> None:
        """Say that a new pair stands; and that the connection recovered, if its renewals failed with ``trouble``."""
        if trouble is not None and self._is_news(Kind.RECOVERED):
            self._write(Kind.RECOVERED, trouble)
            record("connection.recovered", code=trouble, **self._ids)
        if self._is_news(REFRESHED):
            record("renewal.refreshed", duration_seconds=round(duration_seconds, 3), **self._ids)
            self._signal(signals.tokens_refreshed, REFRESHED, duration_seconds)

    def failing(self, code: str) -> None:
        """Say that renewals begin to fail."""
        if not self._is_news(Kind.FAILING):
            return
        self._write(Kind.FAILING, code)
        level = logging.INFO if code == Throttled.code else None
        words = {"why": _why(self.last_error, code)}
        record("connection.failing", level=level, words=words, code=code, **self._ids)

    def reconnect_required(self, code: str, duration_seconds: float) -> None:
        """Say that only the owner can help, and why, as the row has it."""
        try:
            self._write(Kind.RECONNECT_REQUIRED, code)
        finally:  # whatever interrupts
            record("connection.reconnect_required", code=code, **self._ids)
            self._signal(signals.reconnect_required, code, duration_seconds)

    def failure(self, error: Exception, duration_seconds: float) -> None:
        """Say that thanks.io was asked and no new pair came of it. What is out of order was told when it began."""
        code = str(getattr(error, "code", DATABASE))
        record(
            "renewal.failed",
            level=logging.ERROR if isinstance(error, ThanksIOConfigurationError) else None,
            words={"why": _why(error, code)},
            code=code,
            duration_seconds=round(duration_seconds, 3),
            retryable=bool(getattr(error, "retryable", True)),
            **self._ids,
        )
        self._signal(signals.refresh_failed, code, duration_seconds)

    def _is_news(self, kind: str) -> bool:
        is_news = kind not in self._told
        self._told.add(kind)
        return is_news

    def _write(self, kind: Kind, code: str) -> None:
        owner = events.write(self._commit, kind=kind, code=code, **self._ids)
        self._ids["user_id"] = self._ids["user_id"] if owner is None else owner

    def _signal(self, signal: Signal, outcome: str, duration_seconds: float) -> None:
        """Send a signal.

        The sender is the model that the tokens belong to, whatever subclass or proxy of it the caller holds. Where the
        connection is gone, or can't be read, there is nothing to tell of: no outcome of a renewal depends on it.
        """
        sender = cast("models.Model", self._tokens)._meta.get_field("connection").related_model
        try:
            connection = self._tokens.connection
        except (DatabaseError, InterfaceError, ObjectDoesNotExist):
            return
        send(signal, sender, connection=connection, outcome=outcome, duration_seconds=duration_seconds)


def _why(error: Exception | None, code: str) -> str:
    """The end of a sentence about a failure: what went wrong and the cure, where the error knows them."""
    return f": {str(error).removesuffix(f' [{code}]')}" if isinstance(error, _TELLING) else "."
