"""The rows: a user's connection, its tokens, events, orders and webhooks, and each authorization that was started."""

from .authorization_request import AuthorizationRequest
from .connection import ThanksIOConnection
from .event import ConnectionEvent
from .manager import ThanksIOConnectionManager
from .received_webhook import ReceivedWebhook
from .sent_order import SentOrder
from .sweep import Sweep
from .tokens import ConnectionTokens

__all__ = [
    "AuthorizationRequest",
    "ConnectionEvent",
    "ConnectionTokens",
    "ReceivedWebhook",
    "SentOrder",
    "Sweep",
    "ThanksIOConnection",
    "ThanksIOConnectionManager",
]
