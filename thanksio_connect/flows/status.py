"""What a page may know of a user's connection: its state, never a token."""

from __future__ import annotations

from typing import Any

from django.db.models import Prefetch, QuerySet, prefetch_related_objects
from django.http import HttpRequest

from ..models import ThanksIOConnection


def connection_of(user: Any) -> ThanksIOConnection | None:
    """The user's connection or None, also for an anonymous visitor; one query for each user object."""
    if not getattr(user, "is_authenticated", False):
        return None
    prefetch_related_objects([user], Prefetch("thanksio_connection", _with_tokens()))
    try:
        connection: ThanksIOConnection = user.thanksio_connection
    except ThanksIOConnection.DoesNotExist:
        return None
    return connection


def _with_tokens() -> QuerySet[ThanksIOConnection]:
    connections: QuerySet[ThanksIOConnection] = ThanksIOConnection.objects.select_related("tokens")
    return connections


def state_of(connection: ThanksIOConnection | None) -> str:
    """``connected``, ``reconnect_required`` or ``not_connected``."""
    return "not_connected" if connection is None else str(connection.status)


def disconnect(request: HttpRequest) -> bool:
    """Remove the signed-in user's connection; False if there was none."""
    connection = connection_of(request.user)
    if connection is None:
        return False
    connection.disconnect()
    return True
