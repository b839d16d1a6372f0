"""Forget the keys of orders that were sent long ago. What has no known outcome stays."""

from __future__ import annotations

from django.db import DatabaseError, InterfaceError, router

from ..conf import app_settings
from ..database import facts, sessions
from ..database.moments import DatabaseMoment
from ..exceptions import ThanksIOConfigurationError
from ..models import SentOrder
from ..records import record

_DAY_SECONDS = 86_400
# Short statements, and no run that goes on for hours: the next one goes on.
_BATCH_SIZE, _BATCHES = 500, 20


def forget_sent_orders() -> int:
    """Remove what was sent more than ``THANKSIO_SENT_ORDERS_KEPT_DAYS`` ago. Returns how many.

    Never raises for it, nor for a malformed setting: renewals are not to depend on it.
    """
    alias = router.db_for_write(SentOrder)

    def step(using: str) -> int:
        oldest = DatabaseMoment(-app_settings.sent_orders_kept_days * _DAY_SECONDS)
        rows = SentOrder._base_manager.using(using)
        old = rows.filter(state=SentOrder.State.SENT, sent_at__lt=oldest).order_by("sent_at")
        keys = list(old.values_list("pk", flat=True)[:_BATCH_SIZE])
        return rows.filter(pk__in=keys, state=SentOrder.State.SENT).delete()[0]

    forgotten = 0
    try:
        for _batch in range(_BATCHES):
            count = sessions.committed(alias, step, on_private=not facts.in_transaction(alias))
            forgotten += count
            if count < _BATCH_SIZE:
                break
    except (DatabaseError, InterfaceError, ThanksIOConfigurationError) as error:
        record("send_once.not_forgotten", code=type(error).__name__)
    if forgotten:
        record("send_once.forgotten", count=forgotten)
    return forgotten
