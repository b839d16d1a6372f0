"""Find an order in thanks.io's list by what was written into its ``metadata``.

thanks.io has no search: the list is read page by page, newest first, back to the moment of the attempt.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from .resources.orders import Orders
from .resources.shapes import Order

KEY_NAME = "send_once_key"
ID_NAME = "send_once_id"
"""Under these names the key, and the id of its entry in the book, stand in an order's ``metadata``."""
PAGE_SIZE = 100
# thanks.io does not say in which time zone an order's time is; clocks differ.
_MARGIN = timedelta(hours=48)

Matches = Callable[[Mapping[str, Any]], bool]


def has_id(entry_id: str) -> Matches:
    """Whether an order's metadata names this entry of the book."""
    return lambda metadata: metadata.get(ID_NAME) == entry_id


def has_key(key: str) -> Matches:
    """Whether an order's metadata names the key. Another installation of the same account may use it, too."""
    return lambda metadata: metadata.get(KEY_NAME) == key


def search(
    orders: Orders, matches: Matches, *, since: datetime | None = None, sub_account_id: int | None = None
) -> Order | None:
    """Return the newest order whose metadata matches; None if there is none, or none since that moment.

    Raises what any read raises.
    """
    for page in orders.list(items_per_page=PAGE_SIZE, sub_account_id=sub_account_id).pages():
        rows = cast("list[Any]", page.rows)
        for row in rows:
            metadata = row.get("metadata") if isinstance(row, dict) else None
            if isinstance(metadata, dict) and matches(metadata):
                return cast("Order", row)
        if since is not None and _all_are_older(rows, since - _MARGIN):
            return None
    return None


def _all_are_older(rows: Sequence[Any], moment: datetime) -> bool:
    """Whether the page, which must be sorted with the newest order first, lies before the moment."""
    times = [_created_at(row) for row in rows]
    known = [time for time in times if time is not None]
    is_sorted = known == sorted(known, reverse=True)
    return len(known) == len(rows) and is_sorted and all(time < moment for time in known)


def _created_at(row: Any) -> datetime | None:
    """When the order was made; None if thanks.io wrote it in words ("6 years ago")."""
    text = row.get("created_at") if isinstance(row, dict) else None
    try:
        moment = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment
