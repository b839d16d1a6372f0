"""The rows: a connection for a user, its tokens, the keys of its orders, and each authorization that was started."""

from .authorization_request import AuthorizationRequest
from .connection import ThanksIOConnection
from .manager import ThanksIOConnectionManager
from .sent_order import SentOrder
from .sweep import Sweep
from .tokens import ConnectionTokens

__all__ = [
    "AuthorizationRequest",
    "ConnectionTokens",
    "SentOrder",
    "Sweep",
    "ThanksIOConnection",
    "ThanksIOConnectionManager",
]
