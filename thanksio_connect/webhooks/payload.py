"""From a request's body to an event. Nothing in a body is believed, and no body makes this fail with anything else
than :class:`MalformedPayload`."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from .events import OrderItemDelivered, OrderItemStatusUpdate, OrderStatusUpdate, ScanUpdate, WebhookEvent

KNOWN_TYPES = ("order.status_update", "order_item.status_update", "order_item.delivered", "scans.scan_update")
_OLDER_SCAN_TYPE = "order_item.status_update"
_NUMBER = re.compile(r"[0-9]{1,18}", re.ASCII)
_MAX_LENGTH = 200
_RECIPIENT = "recipient."

Fields = dict[str, Any]


class MalformedPayload(ValueError):
    """The body is no event of thanks.io's. Says nothing of what is in it."""


def parse(body: bytes, connection: Any = None) -> WebhookEvent:
    """Return the body's event. Raises :class:`MalformedPayload`.

    An event without a usable id of its own gets one from its body, so that the same body is the same event.
    """
    envelope = _envelope(body)
    event_type, event_id = envelope["event_type"], envelope.get("event_id")
    if not isinstance(event_id, str) or not 0 < len(event_id) <= _MAX_LENGTH:
        event_id = f"sha256:{hashlib.sha256(body).hexdigest()}"
    data = envelope.get("data")
    data = data if isinstance(data, dict) else {}
    common: Fields = {
        "event_id": event_id,
        "event_type": event_type,
        "sent_at": _moment(envelope.get("timestamp")),
        "data": data,
        "connection": connection,
    }
    make = _scan if event_type == _OLDER_SCAN_TYPE and data.get("qrcode.url") else _BY_TYPE.get(event_type)
    return (make(common, data) if make else None) or WebhookEvent(**common)


def _envelope(body: bytes) -> Fields:
    try:
        envelope = json.loads(body)
    except (ValueError, RecursionError):
        envelope = None  # the error is raised outside, so that it carries no piece of the body
    if not isinstance(envelope, dict):
        raise MalformedPayload("The body is no JSON object.")
    event_type = envelope.get("event_type")
    if not isinstance(event_type, str) or not 0 < len(event_type) <= _MAX_LENGTH:
        raise MalformedPayload("The body has no event_type.")
    return envelope


def _order(common: Fields, data: Fields) -> WebhookEvent | None:
    order_id = _id(data, "order.id")
    if order_id is None:
        return None
    return OrderStatusUpdate(
        **common,
        order_id=order_id,
        current_status=_text(data, "order.current_status"),
        previous_status=_text(data, "order.previous_status"),
        display_status=_text(data, "order.status"),
        metadata=_metadata(data),
    )


def _item(kind: Callable[..., WebhookEvent], **texts: str) -> Callable[[Fields, Fields], WebhookEvent | None]:
    """What makes events of a piece of mail; ``texts`` maps a field of its own to thanks.io's name."""

    def make(common: Fields, data: Fields) -> WebhookEvent | None:
        item_id, order_id = _id(data, "order_item.id"), _id(data, "order.id")
        if item_id is None or order_id is None:
            return None
        return kind(
            **common,
            order_item_id=item_id,
            order_id=order_id,
            current_status=_text(data, "order_item.current_status"),
            order_status=_text(data, "order.status"),
            delivery_date=_text(data, "order_item.delivery_date"),
            scans=_id(data, "order_item.scans"),
            sub_account_id=_id(data, "order.sub_account_id"),
            failure=_text(data, "order_item.failure"),
            metadata=_metadata(data),
            recipient={
                name.removeprefix(_RECIPIENT): value for name, value in data.items() if name.startswith(_RECIPIENT)
            },
            **{field: _text(data, name) for field, name in texts.items()},
        )

    return make


_scan = _item(ScanUpdate, qrcode_url="qrcode.url")
_BY_TYPE = {
    "order.status_update": _order,
    "order_item.status_update": _item(OrderItemStatusUpdate, previous_status="order_item.previous_status"),
    "order_item.delivered": _item(OrderItemDelivered, previous_status="order_item.previous_status"),
    "scans.scan_update": _scan,
}


def _id(data: Fields, name: str) -> int | None:
    """A whole number that is not negative, also as text; else None."""
    value = data.get(name)
    if isinstance(value, int) and not isinstance(value, bool):
        return value if 0 <= value < 10**18 else None
    return int(value) if isinstance(value, str) and _NUMBER.fullmatch(value) else None


def _text(data: Fields, name: str) -> str:
    value = data.get(name)
    return value if isinstance(value, str) else ""


def _metadata(data: Fields) -> Fields | None:
    value = data.get("order.metadata")
    return value if isinstance(value, dict) else None


def _moment(value: object) -> datetime | None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        return None
