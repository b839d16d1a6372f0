"""The sweep as tasks of Django's own (``django.tasks``, Django 6.0): enqueue ``refresh_due`` every few minutes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

try:
    from django.tasks import task
except ImportError:
    raise ImportError(
        "thanksio_connect.django_tasks needs django.tasks, which came with Django 6.0. With an older Django, run "
        "manage.py refresh_thanksio_tokens from cron, or use thanksio_connect.tasks with Celery."
    ) from None

from .flows import chunks


@task()
def refresh_due(every_seconds: float = chunks.EVERY_SECONDS) -> int:
    """Queue what is due, in chunks. Returns how many rows. ``every_seconds``: how often this task is enqueued."""

    def queue(keys: list[str], delay_seconds: float, until: str) -> None:
        chunk = refresh_chunk
        if delay_seconds and chunk.get_backend().supports_defer:
            chunk = chunk.using(run_after=datetime.now(UTC) + timedelta(seconds=delay_seconds))
        chunk.enqueue(keys, until)

    return chunks.deal_out(queue, every_seconds=every_seconds)


@task()
def refresh_chunk(keys: list[str], until: str) -> dict[str, Any]:
    """Renew what is still due of a chunk. Returns the counts."""
    return chunks.refresh_chunk(keys, until).as_dict()
