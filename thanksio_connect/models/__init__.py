"""The rows: a connection for a user, its tokens, and an authorization request for each flow that was started."""

from .authorization_request import AuthorizationRequest
from .connection import ThanksIOConnection
from .manager import ThanksIOConnectionManager
from .sweep import Sweep
from .tokens import ConnectionTokens

__all__ = ["AuthorizationRequest", "ConnectionTokens", "Sweep", "ThanksIOConnection", "ThanksIOConnectionManager"]
