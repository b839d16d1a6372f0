"""Delete what is old in the history of the connections, and in the list of received webhooks."""

from __future__ import annotations

from datetime import timedelta

from django.db import DatabaseError, InterfaceError, models, router

from ..fields import utc_now
from ..models import ConnectionEvent, ReceivedWebhook
from ..records import record

KEPT_FOR = timedelta(days=365)
# thanks.io publishes no schedule for what it sends again.
WEBHOOKS_KEPT_FOR = timedelta(days=30)
# One sweep deletes no more than so many: the next goes on.
BATCH_SIZE, BATCHES = 500, 20


def delete_old_events() -> None:
    """Delete the events that are older than a year, and received webhooks after a month.

    Where the database can't now, the next sweep does.
    """
    try:
        _delete(ConnectionEvent, KEPT_FOR)
        _delete(ReceivedWebhook, WEBHOOKS_KEPT_FOR)
    except (DatabaseError, InterfaceError) as error:
        record("event.not_deleted", code=type(error).__name__)


def _delete(model: type[models.Model], kept_for: timedelta) -> None:
    rows = model._base_manager.using(router.db_for_write(model))
    old = rows.filter(at__lt=utc_now() - kept_for)
    for _batch in range(BATCHES):
        keys = list(old.values_list("pk", flat=True)[:BATCH_SIZE])
        if not keys:
            return
        rows.filter(pk__in=keys).delete()
