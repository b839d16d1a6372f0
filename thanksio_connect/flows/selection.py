"""Which rows a bulk refresh handles, in memory one page at a time at any size of the table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import router
from django.db.models import Q, QuerySet

from ..fields import utc_now
from ..models import ConnectionTokens
from ..refresh import database_facts as facts
from ..refresh import sessions
from ..refresh.token_row import Status

PAGE_SIZE = 200


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

    def rows(self, using: str | None = None) -> QuerySet[ConnectionTokens]:
        """The selected rows with their connections, in no order."""
        using = using or router.db_for_write(ConnectionTokens)
        rows: QuerySet[ConnectionTokens] = ConnectionTokens._base_manager.using(using).select_related("connection")
        if self.users:
            return rows.filter(connection__user_id__in=[user.pk for user in self.users])
        rows = rows.filter(status=Status.CONNECTED)
        if self.keys is not None:
            rows = rows.filter(pk__in=self.keys)
        due = Q(next_refresh_at__lte=self.now)
        if self.everything:
            return rows.filter(due | Q(last_error_code=""))  # not what waits after a failure
        if self.within is not None:
            due |= Q(expires_at__lte=self.now + self.within, last_error_code="")
        return rows.filter(due)

    def count(self) -> int:
        """How many rows are selected now."""
        return int(_read(lambda using: self.rows(using).count()))

    def pages(self, limit: int | None = None) -> Iterator[list[ConnectionTokens]]:
        """The rows by keyset, one page in memory at a time, each row once; the longest due first."""
        last: tuple[datetime, str] | None = None
        while limit is None or limit > 0:
            size = PAGE_SIZE if limit is None else min(PAGE_SIZE, limit)
            page = _read(lambda using: self._page(using, last, size))  # noqa: B023
            if not page:
                return
            last = (page[-1].next_refresh_at, page[-1].pk)  # now: the engine brings the instance up to date
            yield page
            if limit is not None:
                limit -= len(page)

    def _page(self, using: str, last: tuple[datetime, str] | None, size: int) -> list[ConnectionTokens]:
        """The next rows. Two look-ups in the index: any number of rows may have the same due time."""
        rows = self.rows(using).order_by("next_refresh_at", "pk")
        if last is None:
            return list(rows[:size])
        page = list(rows.filter(next_refresh_at=last[0], pk__gt=last[1])[:size])
        if len(page) < size:
            page += rows.filter(next_refresh_at__gt=last[0])[: size - len(page)]
        return page


def _read(step: Any) -> Any:
    """A query that a session's death does not end: the server may cut the one that idled for a page's time."""
    alias = router.db_for_write(ConnectionTokens)
    if facts.in_transaction(alias):
        return step(alias)
    return sessions.on_any_session(alias, step)
