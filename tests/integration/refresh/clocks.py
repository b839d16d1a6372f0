"""Clocks that stand still, as a project's tests have them."""

from __future__ import annotations

from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import time_machine
from django.conf import settings
from freezegun import freeze_time


def frozen(clock: str, at: datetime | None = None) -> AbstractContextManager[Any]:
    """The clock of that library, stopped: now, or at that moment. The process stays in the project's time zone."""
    moment = at or datetime.now(UTC)
    if clock == "freezegun":
        return freeze_time(moment)
    return time_machine.travel(moment.astimezone(ZoneInfo(settings.TIME_ZONE)), tick=False)
