"""Columns for tokens and for moments: reading a token never shows it, a moment is UTC whatever the project's zone."""

from .encrypted_token import EncryptedTokenField
from .lazy_secret import MASK, LazySecret, cipher, sealed
from .utc_datetime import UTCDateTimeField, as_the_project_has_it, utc_now

__all__ = [
    "MASK",
    "EncryptedTokenField",
    "LazySecret",
    "UTCDateTimeField",
    "as_the_project_has_it",
    "cipher",
    "sealed",
    "utc_now",
]
