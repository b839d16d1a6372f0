"""The rows: a user's connection, its tokens and events, the keys of its orders, and each authorization started."""

from .authorization_request import AuthorizationRequest
from .connection import ThanksIOConnection
from .event import ConnectionEvent
from .manager import ThanksIOConnectionManager
from .sent_order import SentOrder
from .sweep import Sweep
from .tokens import ConnectionTokens

__all__ = [
    "AuthorizationRequest",
    "ConnectionEvent",
    "ConnectionTokens",
    "SentOrder",
    "Sweep",
    "ThanksIOConnection",
    "ThanksIOConnectionManager",
]
