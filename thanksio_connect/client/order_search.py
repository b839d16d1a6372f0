"""Find an order in thanks.io's list: by its id if that is known, else by what was written into its ``metadata``.

thanks.io has no search: the list is read page by page, newest first, back to the moment of the attempt. A long list has
more pages than the rate limit has requests, so all but the first are asked for by a paced client.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from ..exceptions import InvalidRequest
from .listing import Page
from .order_book import Entry
from .resources.orders import Orders
from .resources.shapes import Order

KEY_NAME = "send_once_key"
ID_NAME = "send_once_id"
"""Under these names the key, and the id of its entry in the book, stand in an order's ``metadata``."""
PAGE_SIZE = 100
PAGES_PER_MINUTE = 600.0
"""Or fewer, as thanks.io's answers say."""
# Clocks differ, by whole hours where one runs in another time zone than it says. Where an order's time has no zone,
# thanks.io does not say which it is.
_MARGIN = timedelta(hours=15)

Matches = Callable[[Mapping[str, Any]], bool]
"""Whether an order of the list is the one."""


def is_of(entry: Entry) -> Matches:
    """By the order's id, if the entry has it: a replay outside the book has the same metadata. Else by the entry's."""
    order_id = (entry.answer or {}).get("id")
    if order_id is not None:
        return lambda order: str(order.get("id")) == str(order_id)
    return lambda order: _metadata(order).get(ID_NAME) == entry.id


def has_key(key: str) -> Matches:
    """By the key in its metadata. Another installation of the same account may use it, too, and so do replays."""
    return lambda order: _metadata(order).get(KEY_NAME) == key


@dataclass(frozen=True)
class Source:
    """Where the list is read: the first page at once, and further ones with patience."""

    first: Orders
    further: Orders


def search(
    source: Source, matches: Matches, *, since: datetime | None = None, sub_account_id: int | None = None
) -> Order | None:
    """Return the newest order that matches; None if there is none, or none since that moment.

    Raises what any read raises.
    """
    for page in _pages(source, sub_account_id):
        rows = cast("list[Any]", page.rows)
        for row in rows:
            if isinstance(row, dict) and matches(row):
                return cast("Order", row)
        if since is not None and _all_are_older(rows, since):
            return None
    return None


def _pages(source: Source, sub_account_id: int | None) -> Iterator[Page[Order]]:
    """Large pages; or of thanks.io's own size, if it refuses so large ones: it documents no limit."""
    size: int | None = PAGE_SIZE
    try:
        first = next(source.first.list(items_per_page=size, sub_account_id=sub_account_id).pages())
    except InvalidRequest:
        size = None
        first = next(source.first.list(sub_account_id=sub_account_id).pages())
    yield first
    if first.has_next:
        yield from source.further.list(items_per_page=size, sub_account_id=sub_account_id, page=2).pages()


def _metadata(order: Mapping[str, Any]) -> Mapping[str, Any]:
    metadata = order.get("metadata")
    return metadata if isinstance(metadata, dict) else {}


def _all_are_older(rows: Sequence[Any], moment: datetime) -> bool:
    """Whether the page, which must be sorted with the newest order first, lies before the moment."""
    times = [_latest(row) for row in rows]
    known = [time for time in times if time is not None]
    is_sorted = known == sorted(known, reverse=True)
    return len(known) == len(rows) and is_sorted and all(time < moment for time in known)


def _latest(row: Any) -> datetime | None:
    """When the order was made at the latest; None if thanks.io wrote it in words ("6 years ago")."""
    text = row.get("created_at") if isinstance(row, dict) else None
    try:
        moment = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    if moment is None:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) + _MARGIN
