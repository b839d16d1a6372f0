"""Orders that move on, and the webhooks that tell of it. At thanks.io time does it; here it is a button."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

from django.db.models import F

from example_project.sandbox.models import Order, OrderItem, Webhook
from thanksio_connect.testing import webhooks

logger = logging.getLogger(__name__)

NEXT = {Order.Status.REVIEWING: Order.Status.PROCESSING, Order.Status.PROCESSING: Order.Status.SHIPPED}


def move_on(order: Order) -> None:
    """One step further, if there is one; whoever has registered a webhook is told. Pieces arrive one by one."""
    before = Order.Status(order.status)
    if before in NEXT:
        _change(order, NEXT[before])
    elif before == Order.Status.SHIPPED:
        _deliver_a_piece(order)


def _deliver_a_piece(order: Order) -> None:
    waiting = order.items.filter(is_delivered=False).order_by("pk")
    if item := waiting.first():
        OrderItem.objects.filter(pk=item.pk).update(is_delivered=True)
        facts = {f"recipient.{name}": value for name, value in item.recipient.items()}
        _tell(order, "order_item.delivered", facts | {"order_item.id": item.pk})
    if not waiting.exists():
        _change(order, Order.Status.DELIVERED)


def _change(order: Order, status: Order.Status) -> None:
    before, order.status = order.status, status
    order.save(update_fields=["status", "updated_at"])
    _tell(order, "order.status_update", {"order.previous_status": before, "order.current_status": status.value})


def _tell(order: Order, event_type: str, facts: Mapping[str, object]) -> None:
    about = {"order.id": order.pk, "order.status": order.get_status_display()}
    about |= {"order.metadata": order.request.get("metadata")}
    event = webhooks.envelope(event_type, {**about, **facts}, None, time.time())
    for row in Webhook.objects.filter(user=order.user, type=event_type):
        Webhook.objects.filter(pk=row.pk).update(invoke_count=F("invoke_count") + 1)
        try:
            webhooks.deliver(row.url, row.verb, event)
        except OSError as error:  # thanks.io would not stop either
            logger.warning("A webhook was not delivered: %s", type(error).__name__)
