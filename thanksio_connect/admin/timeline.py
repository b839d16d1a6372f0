"""What happened to a user's connection, the newest first, in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..flows.diagnosis import diagnosis_of
from ..models import ConnectionEvent
from .columns import shown

SHOWN = 50


@dataclass(frozen=True)
class Moment:
    """One line of the timeline. ``tone`` is the kind, for the stylesheet."""

    when: str
    what: str
    why: str
    tone: str


def timeline_of(user_id: Any) -> list[Moment]:
    """Return what happened, in one query; also what happened before the user disconnected and connected again."""
    events = ConnectionEvent._base_manager.filter(user_id=user_id).order_by("-at", "-pk")[:SHOWN]
    return [
        Moment(
            when=shown(event.at) or "",
            what=str(event.get_kind_display()),
            why=str(diagnosis_of(event.code).short) if event.code else "",
            tone=event.kind,
        )
        for event in events
    ]
