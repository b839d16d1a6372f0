"""Orders and their items. thanks.io's pages: "Orders"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, NotRequired, TypedDict

from ..arguments import UNSET, Unset, given
from ..listing import Listing
from .resource import Resource
from .shapes import Address, Order, PlacedOrder, Recipient


class Stats(TypedDict):
    """How many pieces of an order are where, and how often their QR codes were scanned."""

    delivered: int
    processing: int
    printed: int
    in_transit: int
    in_local_area: int
    processed_for_delivery: int
    re_routed: int
    returned_to_sender: int
    failed: int
    scans: int
    multi_scans: int


class UndeliveredRecipient(Recipient):
    """``failure`` says why."""

    failure: str | None


class Tracking(TypedDict):
    """Where an order's pieces are."""

    id: int
    order: Order
    stats: Stats
    errors: list[UndeliveredRecipient]
    returned: list[UndeliveredRecipient]


class Tracked(TypedDict):
    """thanks.io's answer: the tracking is in ``data``."""

    data: Tracking


class Giftcard(TypedDict):
    """The gift card of a piece; ``amount`` is in cents."""

    brand: str
    amount: int
    redeemed_at: str | None
    invalidated_at: str | None


class OrderItem(TypedDict):
    """One piece of mail. ``giftcard`` is there on gift card orders only, and None until the card is issued."""

    id: int
    status: str
    delivery_date: str | None
    scans: int
    failure: str | None
    recipient: Recipient
    giftcard: NotRequired[Giftcard | None]
    created_at: str


class InvalidatedGiftcard(TypedDict):
    """thanks.io's answer: the item is in ``data``."""

    data: OrderItem


class Cancelled(TypedDict):
    """thanks.io's answer. Look at ``order["status"]``: it says whether the order was cancelled."""

    order: PlacedOrder


class Replayed(PlacedOrder):
    """The new order, with the id of the one that it repeats."""

    replayed_from_order_id: int


class Orders(Resource):
    """``api.orders``."""

    def list(
        self, *, items_per_page: int | None = None, sub_account_id: int | None = None, page: int = 1
    ) -> Listing[Order]:
        """List Orders, newest first. ``items_per_page`` is 25 if not given; ``page`` is where to start."""
        params = {"items_per_page": items_per_page, "sub_account_id": sub_account_id}
        return self._list("/orders/list", page=page, params=params)

    def track(self, order_id: int | str) -> Tracked:
        """Track Order. Raises NotFound, and Unauthorized for an order of another account."""
        answer: Tracked = self._call("GET", "/orders/{order_id}/track", {"order_id": order_id})
        return answer

    def items(self, order_id: int | str, *, per_page: int | None = None, page: int = 1) -> Listing[OrderItem]:
        """List Order Items. ``per_page`` is 1 to 100, and 50 if not given. Raises Unauthorized, NotFound."""
        ids = {"order_id": order_id}
        return self._list("/orders/{order_id}/items", ids, page=page, params={"per_page": per_page})

    def cancel(self, order_id: int | str) -> Cancelled:
        """Cancel Order: within an hour, while it is "Reviewing". thanks.io refunds it. Look at the answer's status."""
        answer: Cancelled = self._call("PUT", "/orders/{order_id}/cancel", {"order_id": order_id})
        return answer

    def replay(
        self,
        order_id: int | str,
        *,
        recipients: Sequence[Address] | Unset = UNSET,
        schedule_for: date | str | Unset = UNSET,
        metadata: Mapping[str, Any] | Unset | None = UNSET,
    ) -> Replayed:
        """Replay Order: order the same again, as a new order. **Charges the account**; sent once.

        ``recipients`` (each with an ``address``) replace those whom the first one reached. Raises InvalidRequest for
        an order that is cancelled or not settled, Unauthorized for another account's, PaymentRequired.
        """
        body = given(recipients=recipients, schedule_for=schedule_for, metadata=metadata)
        ids = {"order_id": order_id}
        answer: Replayed = self._call("POST", "/orders/{order_id}/replay", ids, json=body or None)
        return answer


class OrderItems(Resource):
    """``api.order_items``."""

    def invalidate_giftcard(self, order_item_id: int | str) -> InvalidatedGiftcard:
        """Invalidate Gift Card of one piece, for good. Sent once.

        Raises InvalidRequest if it was redeemed, Unauthorized for another account's, NotFound.
        """
        ids = {"order_item_id": order_item_id}
        path = "/order-items/{order_item_id}/invalidate-giftcard"
        answer: InvalidatedGiftcard = self._call("PUT", path, ids)
        return answer
