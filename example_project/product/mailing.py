"""What the product asks of thanks.io: price a postcard, send it once, find it again, list, track and cancel orders."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from django.utils import timezone

from example_project.product.models import Postcard
from thanksio_connect.exceptions import (
    Conflict,
    ConnectionStateError,
    Forbidden,
    InvalidRequest,
    NotFound,
    NotSent,
    OAuthError,
    PaymentRequired,
    RateLimited,
    ThanksIOConfigurationError,
    Throttled,
    Unauthorized,
)
from thanksio_connect.models import ThanksIOConnection

METADATA_KEY = "postlight_reference"
ORDERS_PER_PAGE = 25
PAGES_TO_SEARCH = 4

# After one of these nothing was ordered. After anything else (no answer, half an answer, a 5xx) nobody knows.
NOTHING_ORDERED = (
    NotSent,
    Throttled,
    OAuthError,
    ConnectionStateError,
    ThanksIOConfigurationError,
    Unauthorized,
    PaymentRequired,
    Forbidden,
    NotFound,
    Conflict,
    InvalidRequest,
    RateLimited,
)


@dataclass(frozen=True)
class Estimate:
    """A price in cents, and whether the account's balance covers it."""

    total_cents: int
    balance_cents: int | None
    is_covered: bool
    is_test_mode: bool
    notes: list[str]


@dataclass(frozen=True)
class OrderPage:
    orders: list[dict[str, Any]]
    number: int
    last: int


class AlreadySent(Exception):
    """This postcard is being sent or was sent: a second click, a second tab."""


def request_body(postcard: Postcard, front_image_url: str) -> dict[str, Any]:
    """The fields of ``/send/postcard`` and ``/estimate/postcard`` (they take the same)."""
    recipient = {
        name: getattr(postcard, name)
        for name in ("name", "address", "address2", "city", "province", "postal_code", "country")
    }
    return {
        "size": postcard.size,
        "front_image_url": front_image_url,
        "message": postcard.message,
        "recipients": [recipient],
        "metadata": {METADATA_KEY: str(postcard.reference)},
    }


def estimate(connection: ThanksIOConnection, postcard: Postcard, front_image_url: str) -> Estimate:
    """Ask for the price; nothing is ordered."""
    answer = connection.api.estimate.postcard(**request_body(postcard, front_image_url))
    data = _mapping(_mapping(answer).get("data"))
    return Estimate(
        total_cents=_integer(data.get("total_cost_in_cents")) or 0,
        balance_cents=_integer(data.get("current_balance_in_cents")),
        is_covered=data.get("covered_by_balance") is not False,
        is_test_mode=data.get("test_mode") is True,
        notes=[str(note) for note in data.get("notes") or []],
    )


def send(connection: ThanksIOConnection, postcard: Postcard, front_image_url: str) -> None:
    """Send a draft, once. Records the order on the row; raises thanks.io's errors, or :class:`AlreadySent`.

    The row is claimed (and committed) before the request leaves. Only an error that proves that nothing was ordered
    makes it a draft again; after any other one it is *not confirmed*, and a person decides.
    """
    connection.get_access_token()  # whatever is wrong with the connection is found before the row is claimed
    claimed = Postcard.objects.filter(pk=postcard.pk, status=Postcard.Status.DRAFT).update(
        status=Postcard.Status.SENDING, updated_at=timezone.now()
    )
    if not claimed:
        raise AlreadySent
    postcard.status = Postcard.Status.UNKNOWN
    try:
        answer = connection.api.send.postcard(**request_body(postcard, front_image_url))
        record_order(postcard, _mapping(answer))
    except NOTHING_ORDERED:
        postcard.status = Postcard.Status.DRAFT
        raise
    finally:
        postcard.save()


def record_order(postcard: Postcard, order: dict[str, Any]) -> None:
    """Take over an order's id, price and state; an answer without an id leaves the postcard *not confirmed*."""
    postcard.order_id = _integer(order.get("id"))
    if postcard.order_id is None:
        return
    cost = _integer(order.get("grand_total"))
    postcard.cost_cents = cost if cost is not None else _integer(order.get("authorization_total"))
    postcard.sent_at = postcard.sent_at or timezone.now()
    is_cancelled = str(order.get("status", "")).lower() == "cancelled"
    postcard.status = Postcard.Status.CANCELLED if is_cancelled else Postcard.Status.SENT


def find(connection: ThanksIOConnection, postcard: Postcard) -> bool:
    """Look through the newest orders for this postcard's reference; record the order if it is there."""
    for number in range(1, PAGES_TO_SEARCH + 1):
        page = orders(connection, number)
        for order in page.orders:
            if _mapping(order.get("metadata")).get(METADATA_KEY) == str(postcard.reference):
                record_order(postcard, order)
                postcard.save()
                return True
        if number >= page.last:
            break
    return False


def orders(connection: ThanksIOConnection, number: int = 1) -> OrderPage:
    """One page of the account's orders, newest first. Pages go by number: thanks.io's links are not followed."""
    answer = _mapping(connection.api.get("/orders/list", params={"items_per_page": ORDERS_PER_PAGE, "page": number}))
    data, meta = answer.get("data"), _mapping(answer.get("meta"))
    rows = [row for row in data if isinstance(row, dict)] if isinstance(data, list) else []
    return OrderPage(rows, number, _integer(meta.get("last_page")) or number)


def track(connection: ThanksIOConnection, order_id: int) -> tuple[dict[str, Any], dict[str, int]]:
    """The order and the number of its pieces in each delivery state."""
    data = _mapping(_mapping(connection.api.get(f"/orders/{order_id}/track")).get("data"))
    stats = {name: _integer(value) or 0 for name, value in _mapping(data.get("stats")).items()}
    return _mapping(data.get("order")), stats


def cancel(connection: ThanksIOConnection, order_id: int) -> bool:
    """Cancel an order; True if it is cancelled now. thanks.io says 200 either way: the status tells."""
    order = _mapping(_mapping(connection.api.put(f"/orders/{order_id}/cancel")).get("order"))
    return str(order.get("status", "")).lower() == "cancelled"


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _integer(value: object) -> int | None:
    """thanks.io's numbers come as numbers and, at times, as strings."""
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return int(number) if math.isfinite(number) else None
