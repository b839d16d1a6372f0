"""thanks.io's order and delivery states, told as a person would tell them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _

from example_project.product.models import Postcard

Tone = Literal["working", "good", "muted", "bad"]
State = Literal["done", "current", "todo"]


@dataclass(frozen=True)
class OrderRow:
    """An order as the pages show it; ``created_at`` is None when thanks.io gave no timestamp that we can read."""

    id: int
    kind: str
    status: str
    label: str
    tone: Tone
    cost_cents: int | None
    recipients: int | None
    created_at: datetime | None
    message: str
    postcard: Postcard | None

    @property
    def is_cancelled(self) -> bool:
        return self.status == "cancelled"

    @property
    def is_moving(self) -> bool:
        return self.status not in {"cancelled", "delivered", "error"}

    @property
    def is_cancellable(self) -> bool:
        return self.status == "reviewing"


@dataclass(frozen=True)
class Milestone:
    label: str
    text: str
    state: State
    is_problem: bool = False


def state_of(status: str) -> tuple[str, Tone]:
    """What to call an order's state, and the tone of it. A state that is not known is told as thanks.io has it."""
    labels: dict[str, tuple[str, Tone]] = {
        "reviewing": (_("In review"), "working"),
        "processing": (_("Processing"), "working"),
        "printing": (_("Printing"), "working"),
        "printed": (_("Printed"), "working"),
        "fulfilled": (_("Handed to the post"), "good"),
        "shipped": (_("Shipped"), "good"),
        "delivered": (_("Delivered"), "good"),
        "paused": (_("Paused"), "muted"),
        "cancelled": (_("Cancelled"), "muted"),
        "error": (_("Problem"), "bad"),
    }
    return labels.get(status, (status or _("Unknown"), "muted"))


def describe(order: dict[str, Any], postcard: Postcard | None) -> OrderRow:
    """Read an order of the list or of the tracking answer; their shapes differ, so nothing is taken for granted."""
    status = str(order.get("status") or "").lower()
    label, tone = state_of(status)
    created_at = order.get("created_at")
    try:
        moment = parse_datetime(created_at) if isinstance(created_at, str) else None
    except ValueError:
        moment = None
    cost = order.get("grand_total", order.get("authorization_total"))
    return OrderRow(
        id=order["id"] if isinstance(order.get("id"), int) else 0,
        kind=str(order.get("display_type") or order.get("type") or _("Order")),
        status=status,
        label=label,
        tone=tone,
        cost_cents=cost if isinstance(cost, int) else None,
        recipients=next(
            (order[key] for key in ("total_recipients", "recipient_count") if isinstance(order.get(key), int)), None
        ),
        created_at=moment,
        message=str(order.get("message") or ""),
        postcard=postcard,
    )


@dataclass(frozen=True)
class Progress:
    """How many pieces of an order to many are where."""

    total: int
    in_the_mail: int
    delivered: int


def progress(row: OrderRow, stats: dict[str, int]) -> Progress | None:
    """None for an order of a single piece: its milestones say it all."""
    if not row.recipients or row.recipients < 2 or row.is_cancelled:
        return None
    in_the_mail = sum(stats.get(name, 0) for name in ("in_transit", "in_local_area", "processed_for_delivery"))
    return Progress(row.recipients, in_the_mail, stats.get("delivered", 0))


def milestones(row: OrderRow, stats: dict[str, int]) -> list[Milestone]:
    """The order's way as steps: the last one reached is current, those before it are done."""
    if row.is_cancelled:
        return []
    names = [
        ("reviewing", _("In review"), _("You can still cancel it.")),
        ("processing", _("At the printer"), _("It is being printed and written.")),
        ("printed", _("Printed"), _("It waits for the post.")),
        ("in_transit", _("In the mail"), _("It is on its way.")),
        ("in_local_area", _("In the local area"), _("It has reached the recipient's post office.")),
        ("delivered", _("Delivered"), _("It is in the letter box.")),
    ]
    counted = {
        "reviewing": row.status == "reviewing",
        "processing": row.status in {"processing", "printing"} or bool(stats.get("processing")),
        "printed": row.status in {"printed", "fulfilled"} or bool(stats.get("printed")),
        "in_transit": row.status == "shipped" or bool(stats.get("in_transit") or stats.get("re_routed")),
        "in_local_area": bool(stats.get("in_local_area") or stats.get("processed_for_delivery")),
        "delivered": row.status == "delivered" or stats.get("delivered", 0) >= (row.recipients or 1),
    }
    reached = max((index for index, (key, *_rest) in enumerate(names) if counted[key]), default=0)
    if row.status == "reviewing":
        reached = 0
    steps = []
    for index, (_key, label, text) in enumerate(names):
        state: State = "done" if index < reached else "current" if index == reached else "todo"
        steps.append(Milestone(label, text if state == "current" else "", state))
    if stats.get("returned_to_sender"):
        steps.append(Milestone(_("Returned to sender"), _("Check the address."), "current", is_problem=True))
    if stats.get("failed") or row.status == "error":
        steps.append(Milestone(_("Could not be mailed"), _("thanks.io says why in its dashboard."), "current", True))
    return steps
