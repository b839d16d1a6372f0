"""What the product does when a connection is made, and when thanks.io tells of an order."""

from __future__ import annotations

import logging
from typing import Any

from django.dispatch import receiver

from example_project.product import mailing
from example_project.product.failures import EXPECTED
from example_project.product.models import Postcard
from thanksio_connect import signals
from thanksio_connect.client.resources.webhooks import WebhookType
from thanksio_connect.models import ThanksIOConnection
from thanksio_connect.webhooks import WebhookEvent

EVENTS: list[WebhookType] = ["order.status_update", "order_item.status_update", "order_item.delivered"]

logger = logging.getLogger(__name__)


@receiver(signals.connected)
def ask_for_events(sender: Any, connection: ThanksIOConnection, **kwargs: Any) -> None:
    """Without webhooks (they need a paid plan) the order's page is as true as it was when it was opened."""
    try:
        connection.receive_webhooks(EVENTS)
    except EXPECTED as error:
        logger.warning("thanks.io will not tell what becomes of orders: %s", error)


@receiver(signals.webhook_received)
def follow(sender: Any, connection: ThanksIOConnection, event: WebhookEvent, **kwargs: Any) -> None:
    """An event is a hint that anybody could send: what is true, thanks.io is asked."""
    order_id = getattr(event, "order_id", 0)
    postcard = Postcard.objects.filter(user=connection.user, order_id=order_id).first()
    if postcard is not None:
        order, _stats = mailing.track(connection, order_id)
        mailing.note_status(postcard, order["status"])
