"""The same refresh as Celery tasks (extra ``[celery]``): beat starts ``refresh_due``, workers run ``refresh_one``."""

from __future__ import annotations

from typing import Any

from celery import shared_task

from .exceptions import Throttled
from .flows import bulk
from .flows.selection import Selection


@shared_task(name="thanksio_connect.refresh_due", ignore_result=True)
def refresh_due() -> int:
    """Start one ``refresh_one`` for each connection that is due. Returns how many."""
    count = 0
    for page in Selection().pages():
        for connection in page:
            refresh_one.delay(connection.pk)
            count += 1
    return count


@shared_task(bind=True, name="thanksio_connect.refresh_one", ignore_result=True, max_retries=3, rate_limit="60/m")
def refresh_one(self: Any, pk: Any) -> str:
    """Renew one connection if it is still due; queued twice it is renewed once. Returns the outcome's name."""
    connection = Selection().rows().filter(pk=pk).first()
    if connection is None:  # disconnected, or renewed while the task waited in the queue
        return str(bulk.Outcome.SKIPPED)
    try:
        return str(bulk.refresh_one(connection))
    except Throttled as error:
        wait_seconds = bulk.THROTTLED_SECONDS if error.retry_after is None else error.retry_after
    raise self.retry(countdown=wait_seconds)
