"""The rows: a user's connection, its tokens and events, and an authorization request for each flow that was started."""

from .authorization_request import AuthorizationRequest
from .connection import ThanksIOConnection
from .event import ConnectionEvent
from .manager import ThanksIOConnectionManager
from .sweep import Sweep
from .tokens import ConnectionTokens

__all__ = [
    "AuthorizationRequest",
    "ConnectionEvent",
    "ConnectionTokens",
    "Sweep",
    "ThanksIOConnection",
    "ThanksIOConnectionManager",
]
