"""Which rows a bulk refresh handles, in memory one page at a time at any size of the table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import router
from django.db.models import Q, QuerySet

from ..fields import utc_now
from ..models import ThanksIOConnection

PAGE_SIZE = 200


@dataclass(frozen=True)
class Selection:
    """Which rows: those that are due, or with less than ``within`` to live, or all, or these users' (due or not)."""

    within: timedelta | None = None
    everything: bool = False
    users: Sequence[Any] = ()
    now: datetime = field(default_factory=utc_now)

    def rows(self) -> QuerySet[ThanksIOConnection]:
        """The selected rows, in no order."""
        using = router.db_for_write(ThanksIOConnection)
        rows: QuerySet[ThanksIOConnection] = ThanksIOConnection.objects.using(using).select_related("tokens")
        if self.users:
            return rows.filter(user_id__in=[user.pk for user in self.users])
        rows = rows.filter(tokens__status=ThanksIOConnection.Status.CONNECTED)
        if self.everything:
            return rows
        due = Q(tokens__next_refresh_at__lte=self.now)
        if self.within is not None:
            due |= Q(tokens__expires_at__lte=self.now + self.within, tokens__failure_count=0)
        return rows.filter(due)

    @property
    def is_due_only(self) -> bool:
        """Whether a row that was handled is no longer selected, for its due time has moved."""
        return not self.users and not self.everything and self.within is None

    def pages(self, limit: int | None = None) -> Iterator[list[ThanksIOConnection]]:
        """The rows by keyset, one page in memory at a time, each row once; the longest due first."""
        key = ("tokens__next_refresh_at", "pk") if self.is_due_only else ("pk",)
        last: tuple[datetime, Any] | None = None
        while limit is None or limit > 0:
            rows = self.rows()
            if last is not None and self.is_due_only:
                same = Q(tokens__next_refresh_at=last[0], pk__gt=last[1])
                rows = rows.filter(Q(tokens__next_refresh_at__gt=last[0]) | same)
            elif last is not None:
                rows = rows.filter(pk__gt=last[1])
            page = list(rows.order_by(*key)[: PAGE_SIZE if limit is None else min(PAGE_SIZE, limit)])
            if not page or (last is not None and page[-1].pk == last[1]):
                return  # the latter: a time that was written by hand, and that the database compares otherwise
            # Now: the engine brings the instance up to date.
            last = (page[-1].tokens.next_refresh_at if self.is_due_only else self.now, page[-1].pk)
            yield page
            if limit is not None:
                limit -= len(page)
