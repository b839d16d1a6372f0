"""The admin pages: how each connection stands, why, and what to do about it; never a token."""

from .connection_admin import ThanksIOConnectionAdmin

__all__ = ["ThanksIOConnectionAdmin"]
