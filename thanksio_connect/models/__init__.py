"""The rows: a user's connection, its tokens, events and webhooks, and a request for each flow that was started."""

from .authorization_request import AuthorizationRequest
from .connection import ThanksIOConnection
from .event import ConnectionEvent
from .manager import ThanksIOConnectionManager
from .received_webhook import ReceivedWebhook
from .sweep import Sweep
from .tokens import ConnectionTokens

__all__ = [
    "AuthorizationRequest",
    "ConnectionEvent",
    "ConnectionTokens",
    "ReceivedWebhook",
    "Sweep",
    "ThanksIOConnection",
    "ThanksIOConnectionManager",
]
