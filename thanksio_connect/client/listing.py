"""Lists that come in pages, of which thanks.io has three styles. One page is in memory at a time.

Laravel's resource pages (``data``, ``links``, ``meta``), sized by ``items_per_page`` or by ``per_page``; and its
bare paginator (``data``, ``next_page_url`` …), sized by ``limit``. The URLs in an answer are never followed, since
some are ``http://`` and show another path: the next page is asked for by its number.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from ..exceptions import ServerError

Row = TypeVar("Row")

MAX_PAGES = 100_000
LARGEST_TOTAL = 100_000_000
_MAX_REPEATS = 3


@dataclass(frozen=True, repr=False)
class Page(Generic[Row]):
    """One page. ``total`` counts the rows of all pages, or is None. ``envelope`` is the answer without its rows."""

    number: int
    rows: list[Row]
    total: int | None
    has_next: bool
    envelope: Mapping[str, Any]

    def __repr__(self) -> str:
        return f"Page(number={self.number}, rows={len(self.rows)}, total={self.total}, has_next={self.has_next})"


class Listing(Generic[Row]):
    """The rows of all pages, asked for as you iterate. Each iteration asks anew.

    ``len()`` is what thanks.io says of all pages, however many of them this listing starts after; TypeError if it
    does not say. ``len()`` and ``bool()`` ask for the first page, which the next iteration then uses. Iterating
    raises what any read raises, and ServerError with the code ``unexpected_page`` for a server that keeps giving
    the same pages. Rows that are added meanwhile move the others, so one may come twice: each has an ``id``.
    """

    def __init__(self, fetch: Callable[[int], Any], start_page: int = 1) -> None:
        if isinstance(start_page, bool) or not isinstance(start_page, int) or start_page < 1:
            raise ValueError("page must be a whole number from 1.")
        self._fetch = fetch
        self._start_page = start_page
        self._first: Page[Row] | None = None
        self._total: int | None = None

    def __iter__(self) -> Iterator[Row]:
        for page in self.pages():
            yield from page.rows

    def __len__(self) -> int:
        if self._total is None:
            self._total = self._peek().total
        if self._total is None:
            raise TypeError("thanks.io does not say how many rows this list has.")
        return self._total

    def __bool__(self) -> bool:
        return bool(self._peek().rows)

    def __repr__(self) -> str:
        return f"Listing(start_page={self._start_page})"

    def pages(self) -> Iterator[Page[Row]]:
        """The pages instead of the rows. Keep ``number`` to start again from there with ``page=number``."""
        repeats = _Repeats()
        number = self._start_page
        for _ in range(MAX_PAGES):
            page = self._take_first() if number == self._start_page else self._load(number)
            repeats.note(page.rows)
            yield page
            if not page.has_next:
                return
            number += 1
        raise _unexpected_page()

    def _peek(self) -> Page[Row]:
        if self._first is None:
            self._first = self._load(self._start_page)
        return self._first

    def _take_first(self) -> Page[Row]:
        page, self._first = self._first, None
        return page or self._load(self._start_page)

    def _load(self, number: int) -> Page[Row]:
        return read_page(self._fetch(number), number)


def read_page(body: Any, number: int) -> Page[Any]:
    """Read an answer in any of the three styles. Raise ServerError if it is no page, or another than was asked for."""
    rows = body.get("data") if isinstance(body, dict) else None
    if not isinstance(rows, list):
        raise ServerError(
            "thanks.io answered with something that is no page of a list.", status_code=200, code="invalid_response"
        )
    meta = body.get("meta")
    links = body.get("links")
    meta = meta if isinstance(meta, dict) else body
    next_url = links.get("next") if isinstance(links, dict) else body.get("next_page_url")
    current, last = _number(meta.get("current_page")), _number(meta.get("last_page"))
    if current is not None and current != number:
        raise _unexpected_page()
    is_told_of_more = bool(next_url) or (last is not None and number < last)
    return Page(
        number=number,
        rows=rows,
        total=_number(meta.get("total")),
        has_next=is_told_of_more and bool(rows),
        envelope={name: value for name, value in body.items() if name != "data"},
    )


def _number(value: object) -> int | None:
    """thanks.io writes some numbers as text. ``list()`` reserves memory by ``len()``, so not any number is believed."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 9:
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if 0 <= value <= LARGEST_TOTAL else None


class _Repeats:
    """Notices a server that gives the same pages again and again.

    A few repeats are no fault: rows that are added meanwhile move the others to the next page.
    """

    def __init__(self) -> None:
        self._seen: set[bytes] = set()
        self._in_a_row = 0

    def note(self, rows: list[Any]) -> None:
        digest = hashlib.blake2b(json.dumps(rows).encode(), digest_size=16).digest()
        self._in_a_row = self._in_a_row + 1 if digest in self._seen else 0
        self._seen.add(digest)
        if self._in_a_row > _MAX_REPEATS:
            raise _unexpected_page()


def _unexpected_page() -> ServerError:
    return ServerError(
        "thanks.io gives other pages of this list than the ones asked for, so it can't be read to its end.",
        status_code=200,
        code="unexpected_page",
    )
