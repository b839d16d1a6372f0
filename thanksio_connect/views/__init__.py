"""The app's four pages (status, connect, callback and disconnect), and where webhooks come in."""

from .authorize import callback, connect
from .status import connection, disconnect
from .webhooks import receive_webhook

__all__ = ["callback", "connect", "connection", "disconnect", "receive_webhook"]
