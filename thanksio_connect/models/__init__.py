"""The rows: one connection for a user, and one authorization request for each flow that was started."""

from .authorization_request import AuthorizationRequest
from .connection import ThanksIOConnection
from .manager import ThanksIOConnectionManager

__all__ = ["AuthorizationRequest", "ThanksIOConnection", "ThanksIOConnectionManager"]
