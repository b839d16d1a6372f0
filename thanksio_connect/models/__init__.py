"""The rows: one connection for a user, one authorization request for each flow that was started, and the journal."""

from .authorization_request import AuthorizationRequest
from .connection import ThanksIOConnection
from .manager import ThanksIOConnectionManager
from .uncommitted_renewal import UncommittedRenewal

__all__ = ["AuthorizationRequest", "ThanksIOConnection", "ThanksIOConnectionManager", "UncommittedRenewal"]
