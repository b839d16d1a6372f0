"""How a connection stands, for an operator: connected, failing or in need of its owner; and since when."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import models
from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.utils.translation import gettext_lazy as _

from ..models import ConnectionEvent, ThanksIOConnection
from ..refresh.token_row import Status


class Standing(models.TextChoices):
    """``FAILING``: thanks.io still accepts the grant as far as is known, but the last renewal failed."""

    CONNECTED = "connected", _("Connected")
    FAILING = "failing", _("Failing")
    NEEDS_OWNER = "needs_owner", _("Needs its owner")


_CONDITIONS = {
    Standing.CONNECTED: Q(tokens__status=Status.CONNECTED, tokens__last_error_code=""),
    Standing.FAILING: Q(tokens__status=Status.CONNECTED) & ~Q(tokens__last_error_code=""),
    Standing.NEEDS_OWNER: Q(tokens=None) | Q(tokens__status=Status.RECONNECT_REQUIRED),
}


def stands(standing: Standing) -> Q:
    """Return the condition on connections."""
    return _CONDITIONS[standing]


def standing_of(connection: ThanksIOConnection) -> Standing:
    """Return how the connection stands, as loaded."""
    if connection.needs_reconnect:
        return Standing.NEEDS_OWNER
    return Standing.FAILING if connection.last_error_code else Standing.CONNECTED


def with_broken_since(connections: QuerySet[ThanksIOConnection]) -> QuerySet[ThanksIOConnection]:
    """Annotate the first trouble since the present pair was obtained, as the events have it."""
    trouble = ConnectionEvent._base_manager.filter(
        user_id=OuterRef("user_id"),
        kind__in=[ConnectionEvent.Kind.FAILING, ConnectionEvent.Kind.RECONNECT_REQUIRED],
        at__gte=OuterRef("tokens__obtained_at"),
    )
    return connections.annotate(first_trouble_at=Subquery(trouble.order_by("at").values("at")[:1]))


def broken_since(connection: Any) -> datetime | None:
    """Return since when the connection of :func:`with_broken_since` is broken; None for one that works.

    Events are purged and bounded: without one it is the last failure.
    """
    tokens = getattr(connection, "tokens", None)
    if tokens is None or standing_of(connection) is Standing.CONNECTED:
        return None
    moment: datetime | None = getattr(connection, "first_trouble_at", None) or tokens.last_failed_at
    return moment
