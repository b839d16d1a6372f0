"""The app's four pages: status, connect, callback and disconnect."""

from .authorize import callback, connect
from .status import connection, disconnect

__all__ = ["callback", "connect", "connection", "disconnect"]
