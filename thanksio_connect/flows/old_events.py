"""Delete what is old: the connections' history, received webhooks, authorizations that were never finished."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import DatabaseError, InterfaceError, models, router, transaction

from ..database import facts
from ..fields import utc_now
from ..models import AuthorizationRequest, ConnectionEvent, ReceivedWebhook
from ..records import record

KEPT_FOR = timedelta(days=365)
# thanks.io publishes no schedule for what it sends again.
WEBHOOKS_KEPT_FOR = timedelta(days=30)
# One sweep deletes no more than so many: the next goes on.
BATCH_SIZE, BATCHES = 500, 20


def delete_old_events() -> None:
    """Delete the events that are older than a year, received webhooks after a month, and expired authorizations.

    Where the database can't now, the next sweep does.
    """
    try:
        _delete(ConnectionEvent, at__lt=utc_now() - KEPT_FOR)
        _delete(ReceivedWebhook, at__lt=utc_now() - WEBHOOKS_KEPT_FOR)
        _delete(AuthorizationRequest, expires_at__lt=utc_now())
    except (DatabaseError, InterfaceError) as error:
        record("event.not_deleted", code=type(error).__name__)


def _delete(model: type[models.Model], **is_old: datetime) -> None:
    rows = model._base_manager.using(router.db_for_write(model))
    old = rows.filter(**is_old)
    for _batch in range(BATCHES):
        with transaction.atomic(using=rows.db):
            keys = list(facts.unlocked(old).values_list("pk", flat=True)[:BATCH_SIZE])
            rows.filter(pk__in=keys).delete()
        if not keys:
            return
