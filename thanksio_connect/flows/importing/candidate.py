"""A row of another app's, as it was found: every value may be anything."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Protocol

from django.utils import timezone
from django.utils.dateparse import parse_datetime

LATEST_TIMESTAMP = 253402300799.0  # the year 9999


class SourceUnusable(Exception):
    """Nothing can be read there; the text is a sentence for the operator."""


@dataclass(frozen=True, repr=False)
class Candidate:
    """``name`` says which row it is. ``user`` is a user's primary key, or the value to look for.

    ``expires_at`` is a datetime, text, seconds since 1970, or None: :func:`as_moment` reads it.
    """

    name: str
    user: Any
    access_token: Any
    refresh_token: Any = None
    expires_at: Any = None
    scope: Any = ""
    account: Any = ""


class Source(Protocol):
    """Where candidates come from, the newest of a user first."""

    @property
    def user_field(self) -> str:
        """What ``Candidate.user`` is."""

    def candidates(self) -> Iterator[Candidate]:
        """Read, page by page. Raises :class:`SourceUnusable`, before the first."""


def as_moment(value: Any) -> datetime | None:
    """Return an aware moment, None for no value. Raises ValueError for what is none."""
    if value is None or value == "":
        return None
    if isinstance(value, str):
        value = _from_text(value.strip())
    if isinstance(value, datetime):
        return value if timezone.is_aware(value) else timezone.make_aware(value, UTC)
    if isinstance(value, bool | date) or not isinstance(value, int | float | Decimal):  # a column NUMERIC
        raise ValueError
    if not math.isfinite(value) or not 0 <= value <= LATEST_TIMESTAMP:
        raise ValueError
    return datetime.fromtimestamp(float(value), UTC)


def _from_text(text: str) -> datetime | float:
    try:
        return float(text)
    except ValueError:
        pass
    moment = parse_datetime(text)
    if moment is None:
        raise ValueError
    return moment
