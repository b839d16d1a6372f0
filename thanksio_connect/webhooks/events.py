"""The events that thanks.io sends. They are hints: thanks.io signs nothing, so ``fetch()`` reads what is true.

``repr`` shows no personal data, so that an event may stand in a log line or an error report.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from ..client.api import ThanksIOClient
from ..client.resources.orders import OrderItem, Tracking
from ..exceptions import NotFound

Data = Mapping[str, Any]


class Reader(Protocol):
    """Whose account is read: a connection."""

    @property
    def api(self) -> ThanksIOClient:
        """The client with the account's token."""


@dataclass(frozen=True, kw_only=True)
class WebhookEvent:
    """An event. Of this class itself if its type is not known here, or its ids are missing.

    ``data`` is thanks.io's, as it came: keys with dots, and personal data of the recipient in most types.
    """

    event_id: str
    event_type: str
    sent_at: datetime | None = None
    data: Data = field(default_factory=dict, repr=False, hash=False)
    connection: Any = field(default=None, repr=False, compare=False)

    def fetch(self) -> Any:
        """Read again what the event is about. Raises ``LookupError`` for an event that names nothing known here."""
        raise LookupError("The event is of a type that names nothing that can be read again.")

    def _reader(self) -> Reader:
        reader: Reader = self.connection
        return reader


@dataclass(frozen=True, kw_only=True)
class OrderStatusUpdate(WebhookEvent):
    """``order.status_update``. ``display_status`` is for people ("Printing"), ``current_status`` is "processing"."""

    order_id: int
    current_status: str = ""
    previous_status: str = ""
    display_status: str = ""
    metadata: Data | None = field(default=None, repr=False, hash=False)

    def fetch(self) -> Tracking:
        """Track the order. Raises NotFound, and Unauthorized for an order of another account: the hint was false."""
        return self._reader().api.orders.track(self.order_id)["data"]


@dataclass(frozen=True, kw_only=True)
class OrderItemEvent(WebhookEvent):
    """An event of one piece of mail. ``recipient`` has thanks.io's names without their prefix (``name``, ``city``)."""

    order_item_id: int
    order_id: int
    current_status: str = ""
    order_status: str = ""
    delivery_date: str = ""
    scans: int | None = None
    sub_account_id: int | None = None
    failure: str = field(default="", repr=False)
    metadata: Data | None = field(default=None, repr=False, hash=False)
    recipient: Data = field(default_factory=dict, repr=False, hash=False)

    def fetch(self) -> OrderItem:
        """Read the piece again, among those of its order: thanks.io reads no single one. A page has a hundred.

        Raises NotFound, and Unauthorized for an order of another account: the hint was false.
        """
        for item in self._reader().api.orders.items(self.order_id, per_page=100):
            if str(item["id"]) == str(self.order_item_id):  # thanks.io writes some numbers as text
                return item
        raise NotFound(status_code=404)


@dataclass(frozen=True, kw_only=True)
class OrderItemStatusUpdate(OrderItemEvent):
    """``order_item.status_update``. Not every piece passes through each status, and events may overtake each other."""

    previous_status: str = ""


@dataclass(frozen=True, kw_only=True)
class OrderItemDelivered(OrderItemEvent):
    """``order_item.delivered``."""

    previous_status: str = ""


@dataclass(frozen=True, kw_only=True)
class ScanUpdate(OrderItemEvent):
    """``scans.scan_update``, also in its older shape: an ``order_item.status_update`` that has a ``qrcode.url``."""

    qrcode_url: str = ""
