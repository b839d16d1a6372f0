"""Let connections be renewed by the next sweep, before their time. No request to thanks.io is sent here."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import router
from django.db.models import Q, QuerySet

from ..exceptions import Throttled
from ..fields import utc_now
from ..models import ConnectionTokens, ThanksIOConnection
from ..refresh.token_row import Status


@dataclass(frozen=True)
class BroughtForward:
    """How many are due now, need their owner, or wait because thanks.io asked for it."""

    due: int
    needing_owner: int
    waiting: int


def bring_forward(connections: QuerySet[ThanksIOConnection]) -> BroughtForward:
    """Make them due now, in one UPDATE; also those whose wait after a failure is not over.

    What is due already keeps its place in the queue. Only the owner can help a connection that needs him, and a wait
    that thanks.io asked for is kept.
    """
    alias = router.db_for_write(ConnectionTokens)
    now = utc_now()
    chosen = connections.using(alias).order_by().values("pk")
    rows = ConnectionTokens._base_manager.using(alias).filter(connection__in=chosen)
    working = rows.filter(status=Status.CONNECTED)
    is_waiting = Q(last_error_code=Throttled.code, next_refresh_at__gt=now)
    working.exclude(is_waiting).filter(next_refresh_at__gt=now).update(next_refresh_at=now)
    count, works = chosen.count(), working.count()
    waiting = working.filter(is_waiting).count()
    return BroughtForward(due=works - waiting, needing_owner=count - works, waiting=waiting)
