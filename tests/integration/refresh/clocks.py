"""Clocks that stand still, as a project's tests have them."""

from __future__ import annotations

from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any

import time_machine
from freezegun import freeze_time


def frozen(clock: str, at: datetime | None = None) -> AbstractContextManager[Any]:
    """The clock of that library, stopped: now, or at that moment."""
    moment = at or datetime.now(UTC)
    return freeze_time(moment) if clock == "freezegun" else time_machine.travel(moment, tick=False)
