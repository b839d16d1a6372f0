"""What a renewal tells the project: signals with its outcome and how long thanks.io took."""

from __future__ import annotations

from typing import Any, cast

from django.core.exceptions import ObjectDoesNotExist
from django.db import DatabaseError, InterfaceError, models
from django.dispatch import Signal

from .. import signals
from .token_row import Row

REFRESHED = "refreshed"
DATABASE = "database"


def refreshed(tokens: Any, duration_seconds: float) -> None:
    """Say that a new pair stands."""
    _announce(signals.tokens_refreshed, tokens, REFRESHED, duration_seconds)


def reconnect_required(tokens: Any, row: Row | None, duration_seconds: float) -> None:
    """Say that only the owner can help, and why, as the row has it."""
    _announce(signals.reconnect_required, tokens, "" if row is None else row.error_code, duration_seconds)


def failure(tokens: Any, error: Exception, duration_seconds: float) -> None:
    """Say that thanks.io was asked and no new pair came of it."""
    _announce(signals.refresh_failed, tokens, getattr(error, "code", DATABASE), duration_seconds)


def _announce(signal: Signal, tokens: Any, outcome: str, duration_seconds: float) -> None:
    """Send a signal; a receiver that raises is logged by Django and harms nothing.

    The sender is the model that the tokens belong to, whatever subclass or proxy of it the caller holds. Where the
    connection is gone, or can't be read, there is nothing to tell of: no outcome of a renewal depends on it.
    """
    sender = cast("models.Model", tokens)._meta.get_field("connection").related_model
    try:
        connection = tokens.connection
    except (DatabaseError, InterfaceError, ObjectDoesNotExist):
        return
    signal.send_robust(sender=sender, connection=connection, outcome=outcome, duration_seconds=duration_seconds)
