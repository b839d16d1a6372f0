"""What thanks.io tells by webhooks: its events, and the address at which a connection receives them."""

from .events import (
    OrderItemDelivered,
    OrderItemEvent,
    OrderItemStatusUpdate,
    OrderStatusUpdate,
    ScanUpdate,
    WebhookEvent,
)

__all__ = [
    "OrderItemDelivered",
    "OrderItemEvent",
    "OrderItemStatusUpdate",
    "OrderStatusUpdate",
    "ScanUpdate",
    "WebhookEvent",
]
