"""thanks.io's rate limit: what the last answer said of it, and a pace that keeps below it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

DOCUMENTED_PER_MINUTE = 60
LONGEST_PAUSE_SECONDS = 60.0


@dataclass(frozen=True)
class RateLimit:
    """``limit`` requests a minute, of which ``remaining`` are left. None: thanks.io did not say."""

    limit: int | None = None
    remaining: int | None = None


def read_rate_limit(headers: Mapping[str, str]) -> RateLimit | None:
    """Return what ``X-RateLimit-Limit`` and ``X-RateLimit-Remaining`` say, or None without a usable one."""
    limit, remaining = _count(headers.get("X-RateLimit-Limit")), _count(headers.get("X-RateLimit-Remaining"))
    return None if limit is None and remaining is None else RateLimit(limit, remaining)


def _count(text: str | None) -> int | None:
    text = (text or "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else None


class Pacer:
    """Spreads requests evenly: at most ``per_minute``, or the server's own limit if that is lower.

    One pacer may serve several threads. It knows nothing of other processes that use the same account.
    """

    def __init__(
        self,
        per_minute: float = DOCUMENTED_PER_MINUTE,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if not per_minute > 0:
            raise ValueError("per_minute must be above 0.")
        self._seconds_apart = self._least_seconds_apart = 60 / per_minute
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._next_at = clock()

    def wait(self) -> None:
        """Sleep until the next request may go."""
        with self._lock:
            now = self._clock()
            turn = max(now, self._next_at)
            self._next_at = turn + self._seconds_apart
        if turn > now:
            self._sleep(turn - now)

    def heed(self, rate_limit: RateLimit | None) -> None:
        """Slow down to the server's own limit, as long as the last answer names it."""
        if rate_limit is not None and rate_limit.limit:
            with self._lock:
                self._seconds_apart = max(self._least_seconds_apart, 60 / rate_limit.limit)

    def pause(self, seconds: float) -> None:
        """Let nobody go for so long (after a 429), a minute at most."""
        with self._lock:
            self._next_at = max(self._next_at, self._clock() + min(max(seconds, 0.0), LONGEST_PAUSE_SECONDS))
