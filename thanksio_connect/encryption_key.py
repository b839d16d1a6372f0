"""``FIELD_ENCRYPTION_KEY``: the keys in it, and how django-encrypted-model-fields is imported without one.

A setting of that library, so it is looked up in the Django settings alone: how it gets there is the project's business.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from cryptography.fernet import Fernet
from django.conf import settings

from .exceptions import ThanksIOConfigurationError

_KEY = re.compile(rb"[A-Za-z0-9_+/-]{43}=")
_UNSET: Any = object()
_HELP = (
    "FIELD_ENCRYPTION_KEY is {problem}. Make a key with: python -c "
    '"from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())" '
    "and put it into the FIELD_ENCRYPTION_KEY setting (a list, or keys separated by commas, rotates keys: newest "
    "first). Keep it: tokens encrypted with a lost key can't be read again."
)


def encryption_keys() -> tuple[bytes, ...]:
    """Return the keys, newest first: the first encrypts, each decrypts.

    Raises ThanksIOConfigurationError where there is none, or where a part of the setting is no whole key.
    """
    value = getattr(settings, "FIELD_ENCRYPTION_KEY", None)
    return _keys_in_text(value) if isinstance(value, str) else _keys_in(value)


def _keys_in(value: Any) -> tuple[bytes, ...]:
    parts = _parts(value)
    if not parts:
        raise ThanksIOConfigurationError(_HELP.format(problem="missing"), code="encryption_key")
    for number, part in enumerate(parts, 1):
        if not _KEY.fullmatch(part):
            which = "malformed" if len(parts) == 1 else f"malformed: part {number} of {len(parts)} is no whole key"
            raise ThanksIOConfigurationError(_HELP.format(problem=which), code="encryption_key")
    return parts


_keys_in_text = lru_cache(maxsize=8)(_keys_in)


def _parts(value: Any) -> tuple[bytes, ...]:
    """Each part of the setting, whole key or not; none where nothing is set."""
    if isinstance(value, str):
        value = value.encode("utf-8", "replace")
    if isinstance(value, bytes):
        value = value.strip()
        return tuple(part.strip() for part in value.split(b",")) if value else ()
    if isinstance(value, list | tuple):
        texts = [each if isinstance(each, str | bytes) else "" for each in value]
        return tuple(part for text in texts for part in (_parts(text) or (b"",)))
    return () if value is None else (b"",)  # which is no key


@contextmanager
def importable_encryption_key() -> Iterator[bool]:
    """For the import of django-encrypted-model-fields, which wants its key then: give it one of no use if need be.

    Yields whether that was necessary. Nothing may be encrypted with the key that it was given.
    """
    value = getattr(settings, "FIELD_ENCRYPTION_KEY", _UNSET)
    if _is_usable_by_the_library(value):
        yield False
        return
    settings.FIELD_ENCRYPTION_KEY = Fernet.generate_key().decode()
    try:
        yield True
    finally:
        if value is _UNSET:
            del settings.FIELD_ENCRYPTION_KEY
        else:
            settings.FIELD_ENCRYPTION_KEY = value


def _is_usable_by_the_library(value: Any) -> bool:
    """Whether it holds whole keys, and none of them together in one string."""
    try:
        keys = encryption_keys()
    except ThanksIOConfigurationError:
        return False
    return len(keys) == (len(value) if isinstance(value, list | tuple) else 1)
