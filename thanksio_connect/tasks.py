"""The sweep as Celery tasks (extra ``[celery]``): beat starts ``refresh_due``, workers run ``refresh_chunk``."""

from __future__ import annotations

from typing import Any

from celery import shared_task

from .flows import chunks


@shared_task(name="thanksio_connect.refresh_due", ignore_result=True)
def refresh_due(every_seconds: float = chunks.EVERY_SECONDS) -> int:
    """Queue what is due, in chunks. Returns how many rows. ``every_seconds``: how often beat starts this task."""

    def queue(keys: list[str], delay_seconds: float, until: str) -> None:
        refresh_chunk.apply_async(args=[keys, until], countdown=delay_seconds, expires=every_seconds)

    return chunks.deal_out(queue, every_seconds=every_seconds)


@shared_task(name="thanksio_connect.refresh_chunk", acks_late=True, reject_on_worker_lost=True, ignore_result=True)
def refresh_chunk(keys: list[str], until: str) -> dict[str, Any]:
    """Renew what is still due of a chunk. Returns the counts."""
    return chunks.refresh_chunk(keys, until).as_dict()
