"""What the product asks of thanks.io: price a postcard, send it once, list, track and cancel orders."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from example_project.product.models import Postcard
from thanksio_connect.client.listing import Page
from thanksio_connect.client.resources.shapes import Order
from thanksio_connect.exceptions import (
    InvalidRequest,
    OutcomeUnknown,
    SendOnceRefused,
    ServerError,
    ThanksIOConfigurationError,
    ThanksIOError,
)
from thanksio_connect.models import ThanksIOConnection

ORDERS_PER_PAGE = 25
RECIPIENT = ("name", "address", "address2", "city", "province", "postal_code", "country")

# After one of these nobody knows whether there is an order. After any other error there is none.
OUTCOME_IS_OPEN = (OutcomeUnknown, ServerError, SendOnceRefused)


def fields_of(postcard: Postcard) -> dict[str, Any]:
    """What ``api.estimate`` and ``send_once()`` take for this postcard."""
    fields = {"size": postcard.size, "front_image_url": postcard.front_image_url, "message": postcard.message}
    if postcard.mailing_list_id:
        return fields | {"mailing_list_ids": [postcard.mailing_list_id]}
    return fields | {"recipients": [{name: getattr(postcard, name) for name in RECIPIENT}]}


def mailing_lists(connection: ThanksIOConnection) -> dict[int, str]:
    """Return the names of the account's mailing lists that have somebody on them, by id."""
    rows = connection.api.mailing_lists.list()
    return {row["id"]: row["description"] for row in rows if row["total_recipients"]}


def estimate(connection: ThanksIOConnection, postcard: Postcard) -> dict[str, Any]:
    """Return the price in cents, and what else thanks.io says of it. Nothing is ordered."""
    return {**connection.api.estimate.postcard(**fields_of(postcard))["data"]}


def send(connection: ThanksIOConnection, postcard: Postcard) -> None:
    """Send a postcard: once, however often this is called. Raises thanks.io's errors.

    The postcard's own key makes a double click, a second tab and a retried job one order. The row says *not confirmed*
    while the request is under way, so a crash leaves a row that is looked for, not a draft that is changed and sent.
    """
    is_first = _move(postcard, Postcard.Status.DRAFT, Postcard.Status.UNKNOWN)
    postcard.refresh_from_db()  # another tab may have changed the draft until here, and can't from here on
    try:
        order = connection.send_once(postcard.send_key).postcard(**fields_of(postcard))
    except (ThanksIOError, ThanksIOConfigurationError) as error:
        if isinstance(error, InvalidRequest) or (is_first and not isinstance(error, OUTCOME_IS_OPEN)):
            _move(postcard, Postcard.Status.UNKNOWN, Postcard.Status.DRAFT)
        raise
    postcard.order_id = order["id"]
    postcard.order_status = order.get("status", "").lower()
    postcard.cost_cents = order.get("authorization_total")
    postcard.sent_at = timezone.now()
    postcard.status = Postcard.Status.SENT
    postcard.save(update_fields=["order_id", "order_status", "cost_cents", "sent_at", "status", "updated_at"])


def orders(connection: ThanksIOConnection, number: int = 1) -> Page[Order]:
    """Return one page of the account's orders, newest first."""
    return next(connection.api.orders.list(items_per_page=ORDERS_PER_PAGE, page=number).pages())


def track(connection: ThanksIOConnection, order_id: int) -> tuple[dict[str, Any], dict[str, int]]:
    """Return the order, and the number of its pieces in each delivery state."""
    tracking = connection.api.orders.track(order_id)["data"]
    return {**tracking["order"], "id": order_id}, {**tracking["stats"]}


def cancel(connection: ThanksIOConnection, order_id: int) -> bool:
    """Cancel an order; True if it is cancelled now. thanks.io says 200 either way: the status tells."""
    return connection.api.orders.cancel(order_id)["order"]["status"].lower() == "cancelled"


def note_status(postcard: Postcard, status: str) -> None:
    """Note where thanks.io says that a postcard's order is. Pages that show it see by ``updated_at`` that it moved."""
    postcard.order_status = status.lower()
    if postcard.order_status == "cancelled":
        postcard.status = Postcard.Status.CANCELLED
    postcard.save(update_fields=["order_status", "status", "updated_at"])


def _move(postcard: Postcard, before: str, after: str) -> bool:
    """Change the status if it is still what it was: of two requests at once, one does it."""
    rows = Postcard.objects.filter(pk=postcard.pk, status=before)
    if not rows.update(status=after, updated_at=timezone.now()):
        return False
    postcard.status = after
    return True
