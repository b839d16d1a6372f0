"""The list as CSV, to mail to: who, the address, the state, since when, and why. No token."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Iterable, Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from asgiref.sync import sync_to_async
from django.db.models import QuerySet
from django.utils import timezone, translation

from ..flows.diagnosis import diagnosis_of
from ..flows.standing import Standing, broken_since, standing_of
from ..flows.status import email_of, name_of
from ..models import ThanksIOConnection

HEADER = ("name", "email", "state", "since", "reason")
CHUNK_ROWS = 1000
_BYTE_ORDER_MARK = "\ufeff"  # without it spreadsheets take UTF-8 for something else
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


def csv_chunks(connections: QuerySet[ThanksIOConnection], language: str | None) -> Iterator[str]:
    """Yield the lines, many at a time, in the language of the request, which has ended by then."""
    yield _BYTE_ORDER_MARK + _lines([HEADER])
    rows = connections.defer("tokens__access_token", "tokens__refresh_token").iterator(chunk_size=CHUNK_ROWS)
    while page := list(islice(rows, CHUNK_ROWS)):
        with translation.override(language):
            text = _lines(_cells(connection) for connection in page)
        yield text


async def async_chunks(chunks: Iterator[str]) -> AsyncIterator[str]:
    """The same for a server that speaks ASGI."""
    following = sync_to_async(lambda: next(chunks, None))
    while (chunk := await following()) is not None:
        yield chunk


def _cells(connection: ThanksIOConnection) -> tuple[str, ...]:
    standing = standing_of(connection)
    is_connected = standing is Standing.CONNECTED
    since = connection.connected_at if is_connected else broken_since(connection)
    return (
        name_of(connection.user),
        email_of(connection.user),
        str(standing.label),
        _iso(since),
        "" if is_connected else str(diagnosis_of(connection.last_error_code).what),
    )


def _iso(moment: datetime | None) -> str:
    if moment is None:
        return ""
    aware = timezone.make_aware(moment, timezone.get_default_timezone()) if timezone.is_naive(moment) else moment
    return aware.astimezone(UTC).isoformat(timespec="seconds")


def _lines(rows: Iterable[Iterable[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows([_as_text(str(cell)) for cell in row] for row in rows)
    return text.getvalue()


def _as_text(cell: str) -> str:
    """A name may be a formula to the spreadsheet that opens the list: an apostrophe makes it text."""
    return f"'{cell}" if cell.startswith(_FORMULA_STARTS) else cell
