"""Which rows a bulk refresh handles, in memory one page at a time at any size of the table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from django.db import router
from django.db.models import Q, QuerySet

from ..database import facts, sessions
from ..exceptions import TokenUndecryptable
from ..fields import utc_now
from ..models import ConnectionTokens
from ..refresh.token_row import Status, new_id

T = TypeVar("T")
PAGE_SIZE = 200
# What a time that was written by hand may be read as: SQLite takes any text, and MariaDB's zero date is none.
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
Page = list[ConnectionTokens]
Rows = Callable[[str], QuerySet[ConnectionTokens]]


@dataclass(frozen=True)
class Selection:
    """Which rows: those that are due, or with less than ``within`` to live, or all, or these users' (due or not).

    ``keys``: no others than these, of a chunk that was queued.
    """

    within: timedelta | None = None
    everything: bool = False
    users: Sequence[Any] = ()
    keys: Sequence[str] | None = None
    now: datetime = field(default_factory=utc_now)

    def due_rows(self, using: str) -> QuerySet[ConnectionTokens]:
        """The rows whose time has come, or the users', in no order."""
        rows = _with_connections(using)
        if self.users:
            return rows.filter(connection__user_id__in=[user.pk for user in self.users])
        rows = rows.filter(status=Status.CONNECTED, next_refresh_at__lte=self.now)
        return rows if self.keys is None else rows.filter(pk__in=self.keys)

    def early_rows(self, using: str) -> QuerySet[ConnectionTokens]:
        """The rows that are renewed before their time, in no order: neither twice, nor what waits after a failure.

        But for what no key has fitted: one may fit now.
        """
        rows = _with_connections(using).filter(
            status=Status.CONNECTED,
            next_refresh_at__gt=self.now,
            last_error_code__in=("", TokenUndecryptable.code),
            obtained_at__lt=self.now,
        )
        if self.everything:
            return rows
        return rows.none() if self.within is None else rows.filter(expires_at__lte=self.now + self.within)

    def is_early(self, tokens: ConnectionTokens) -> bool:
        """Whether the row, as it was read, is none that is due."""
        return not self.users and tokens.next_refresh_at > self.now

    def count(self) -> int:
        """How many rows are selected now."""
        return read(lambda using: self.due_rows(using).count() + self.early_rows(using).count())

    def pages(self, *, resume_after: str = "") -> Iterator[Page]:
        """The rows by keyset, one page in memory at a time, each row once: what is due, the longest due first.

        Then what is not due, from the row behind ``resume_after`` on and around: a run with a limit takes up where the
        last one ended, and renews nothing twice before it has renewed everything once.
        """
        if self.users:
            yield from _pages_by_key(self.due_rows)
            return
        yield from self._due_pages()
        if self.everything or self.within is not None:
            yield from _pages_by_key(self.early_rows, resume_after)
            if resume_after:
                yield from _pages_by_key(self.early_rows, "", resume_after)

    def _due_pages(self) -> Iterator[Page]:
        last: tuple[datetime, str] | None = None
        while page := _read_rows(lambda using: self._due_page(using, last)):  # noqa: B023
            before, last = last, (page[-1].next_refresh_at, page[-1].pk)  # the engine brings the instance up to date
            if last == before:
                return  # a time that somebody wrote by hand, on SQLite, which compares text
            yield page

    def _due_page(self, using: str, last: tuple[datetime, str] | None) -> Page:
        """The next rows. Two look-ups in the index: any number of rows may have the same due time."""
        rows = self.due_rows(using).order_by("next_refresh_at", "pk")
        if last is None:
            return list(rows[:PAGE_SIZE])
        page = list(rows.filter(next_refresh_at=last[0], pk__gt=last[1])[:PAGE_SIZE])
        if len(page) < PAGE_SIZE:
            page += rows.filter(next_refresh_at__gt=last[0])[: PAGE_SIZE - len(page)]
        return page


def _pages_by_key(rows: Rows, after: str = "", until: str = "") -> Iterator[Page]:
    """The rows by primary key, which a renewal does not change."""
    ends = Q(pk__lte=until) if until else Q()
    while page := _read_rows(lambda using: list(rows(using).filter(ends, pk__gt=after).order_by("pk")[:PAGE_SIZE])):  # noqa: B023
        after = page[-1].pk
        yield page


def some_rows(count: int) -> Page:
    """Rows by chance that work and wait for nothing: what becomes of them is the rule. Their keys are random."""
    works = Q(last_error_code="") | Q(next_refresh_at__lte=utc_now())
    start = new_id()

    def step(using: str) -> Page:
        rows = _with_connections(using).filter(works, status=Status.CONNECTED).order_by("pk")
        found = list(rows.filter(pk__gte=start)[:count])
        return found + list(rows.filter(pk__lt=start)[: count - len(found)])

    return _read_rows(step)


def read(step: Callable[[str], T], *, tries_again: bool = True) -> T:
    """Run a query that a session's death does not end: the server may cut the one that idled for a page's time."""
    alias = router.db_for_write(ConnectionTokens)
    if facts.in_transaction(alias):
        return step(alias)
    return sessions.committed(alias, step, on_private=tries_again)


def _read_rows(step: Callable[[str], Page]) -> Page:
    """Read rows that belong to the project's database, also when another session had to read them."""
    alias, rows = router.db_for_write(ConnectionTokens), read(step)
    for tokens in rows:
        tokens._state.db = tokens.connection._state.db = alias
        tokens.next_refresh_at = tokens.next_refresh_at or LONG_AGO
    return rows


def _with_connections(using: str) -> QuerySet[ConnectionTokens]:
    rows: QuerySet[ConnectionTokens] = ConnectionTokens._base_manager.using(using).select_related("connection")
    return rows
