"""The admin pages: how each connection stands, why, and what to do about it; never a token."""

from .connection_admin import ThanksIOConnectionAdmin
from .sent_orders import SentOrderAdmin

__all__ = ["SentOrderAdmin", "ThanksIOConnectionAdmin"]
