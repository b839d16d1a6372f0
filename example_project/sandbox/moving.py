"""Orders that move on, and the webhooks that tell of it. At thanks.io time does it; here it is a button."""

from __future__ import annotations

import logging
import time

from django.db.models import F

from example_project.sandbox.models import Order, Webhook
from thanksio_connect.testing import webhooks

logger = logging.getLogger(__name__)

NEXT = {
    Order.Status.REVIEWING: Order.Status.PROCESSING,
    Order.Status.PROCESSING: Order.Status.SHIPPED,
    Order.Status.SHIPPED: Order.Status.DELIVERED,
}


def move_on(order: Order) -> None:
    """One step further, if there is one; whoever has registered a webhook is told."""
    before = Order.Status(order.status)
    if before not in NEXT:
        return
    order.status = NEXT[before]
    order.save(update_fields=["status", "updated_at"])
    event = webhooks.envelope("order.status_update", _facts(order, before), None, time.time())
    for row in Webhook.objects.filter(user=order.user, type="order.status_update"):
        Webhook.objects.filter(pk=row.pk).update(invoke_count=F("invoke_count") + 1)
        try:
            webhooks.deliver(row.url, row.verb, event)
        except OSError as error:  # thanks.io would not stop either
            logger.warning("A webhook was not delivered: %s", type(error).__name__)


def _facts(order: Order, before: Order.Status) -> dict[str, object]:
    return {
        "order.id": order.pk,
        "order.status": order.get_status_display(),
        "order.previous_status": before.value,
        "order.current_status": order.status,
        "order.metadata": order.request.get("metadata"),
    }
