"""Delete what is old in the history of the connections."""

from __future__ import annotations

import logging
from datetime import timedelta

from django.db import DatabaseError, InterfaceError, router

from ..fields import utc_now
from ..models import ConnectionEvent
from ..records import record

KEPT_FOR = timedelta(days=365)
# One sweep deletes no more than so many: the next goes on.
BATCH_SIZE, BATCHES = 500, 20


def delete_old_events() -> None:
    """Delete the events that are older than a year. Where the database can't now, the next sweep does."""
    events = ConnectionEvent._base_manager.using(router.db_for_write(ConnectionEvent))
    old = events.filter(at__lt=utc_now() - KEPT_FOR)
    try:
        for _batch in range(BATCHES):
            keys = list(old.values_list("pk", flat=True)[:BATCH_SIZE])
            if not keys:
                return
            events.filter(pk__in=keys).delete()
    except (DatabaseError, InterfaceError) as error:
        name = type(error).__name__
        record(logging.WARNING, "event.not_deleted", "Old events could not be deleted (%s).", name, code=name)
