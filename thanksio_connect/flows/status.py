"""What a page may know of a user's connection: its state, never a token."""

from __future__ import annotations

from typing import Any

from django.db.models import Prefetch, QuerySet, prefetch_related_objects

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


def name_of(user: Any) -> str:
    """Who is signed in, in words: the full name with the username, or the username alone; empty for a visitor."""
    if not getattr(user, "is_authenticated", False):
        return ""
    username, full_name = str(user.get_username()), full_name_of(user)
    return f"{full_name} ({username})" if full_name and full_name != username else username


def full_name_of(user: Any) -> str:
    """Return the user's full name; empty without one."""
    return str(user.get_full_name()).strip() if hasattr(user, "get_full_name") else ""


def email_of(user: Any) -> str:
    """Return the user's e-mail address, whatever the user model calls it; empty without one."""
    name = user.get_email_field_name() if hasattr(user, "get_email_field_name") else "email"
    return str(getattr(user, name, "") or "")
