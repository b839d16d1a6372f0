"""What the tests send, and the time that passes in between."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from thanksio_connect.models import SentOrder
from thanksio_connect.testing import FakeThanksIO

ANN = {"name": "Ann Smith", "address": "1 Main Street", "postal_code": "12345"}
FIELDS: dict[str, Any] = {"message": "Thank you!", "front_image_url": "https://shop.example/1.png", "recipients": [ANN]}
SEARCH: dict[str, Any] = {"address": "1 Main Street", "postal_code": "12345", "record_count": 5}
HOUR = 3600.0


def later(seconds: float = 601.0) -> None:
    """Let so much time pass for all entries of the book."""
    moved = timedelta(seconds=seconds)
    for row in SentOrder.objects.all():
        row.created_at -= moved
        row.attempted_at -= moved
        SentOrder.objects.filter(pk=row.pk).update(created_at=row.created_at, attempted_at=row.attempted_at)


def sends(thanksio: FakeThanksIO) -> int:
    """How many times the fake was asked to send."""
    return len(thanksio.api_requests("/send"))


def entry() -> SentOrder:
    return SentOrder.objects.get()


def is_recent(moment: datetime | None) -> bool:
    return moment is not None and abs(datetime.now(UTC) - moment) < timedelta(seconds=30)
