"""Pages of lists, in the two styles of thanks.io's API v2 that its OpenAPI document shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

Query = Mapping[str, str]
Rows = Sequence[Any]
_DEFAULT_SIZES: Final = {"items_per_page": 25, "per_page": 50, "limit": 1000}


def page(url: str, query: Query, rows: Rows, size_name: str = "items_per_page") -> dict[str, Any]:
    """Wrap rows as Laravel's resource pages do. ``url`` is the list's own; ``per_page`` comes back as it was asked."""
    part = _Part(url, query, rows, size_name)
    links: dict[str, str | None] = {
        "first": part.url(1),
        "last": part.url(part.last),
        "prev": part.previous_url,
        "next": part.next_url,
    }
    return {"data": part.shown, "links": links, "meta": part.facts}


def bare_page(url: str, query: Query, rows: Rows) -> dict[str, Any]:
    """Wrap rows as Laravel's bare paginator does."""
    part = _Part(url, query, rows, "limit")
    urls: dict[str, str | None] = {"first_page_url": part.url(1), "last_page_url": part.url(part.last)}
    urls |= {"prev_page_url": part.previous_url, "next_page_url": part.next_url}
    return {"data": part.shown, **part.facts, **urls}


class _Part:
    """The rows of one page, and what both styles of pages say about it."""

    def __init__(self, url: str, query: Query, rows: Rows, size_name: str) -> None:
        asked = query.get(size_name)
        size = _positive(asked, _DEFAULT_SIZES[size_name])
        number = _positive(query.get("page"), 1)
        start = (number - 1) * size
        self.path = url.rstrip("/")
        self.last = max(-(-len(rows) // size), 1)
        self.shown = list(rows[start : start + size])
        self.previous_url = self.url(number - 1) if number > 1 else None
        self.next_url = self.url(number + 1) if number < self.last else None
        self.facts = {
            "current_page": number,
            "from": start + 1 if self.shown else None,
            "last_page": self.last,
            "path": self.path,
            "per_page": size if asked is None else asked,
            "to": start + len(self.shown) if self.shown else None,
            "total": len(rows),
        }

    def url(self, number: int) -> str:
        return f"{self.path}?page={number}"


def _positive(text: str | None, default: int) -> int:
    is_usable = text is not None and text.isdecimal() and len(text) < 9 and int(text) > 0
    return int(text) if text is not None and is_usable else default
