"""When a read is sent again, and after how long. What creates, changes or charges never is."""

from __future__ import annotations

import random
from dataclasses import dataclass

from .transport import Response, parse_retry_after

_UNAVAILABLE = frozenset({502, 503, 504})


@dataclass(frozen=True)
class RetryPolicy:
    """``attempts`` in all for a read. A wait longer than ``longest_wait_seconds`` is left to the caller.

    ``untold_wait_seconds``: how long to wait after a 429 that does not say how long; None leaves that to the caller.
    """

    attempts: int = 3
    first_wait_seconds: float = 0.25
    longest_wait_seconds: float = 5
    untold_wait_seconds: float | None = None

    def wait_after(self, attempt: int, answer: Response | None) -> float | None:
        """Return the seconds to wait before the next attempt, or None to give up.

        ``attempt`` counts from 1. ``answer`` is None if nothing was sent. Tried again: nothing was sent; 502, 503
        and 504; 429 that says how long, or whose wait this policy knows. Jitter keeps many workers from coming back
        at one moment.
        """
        if attempt >= self.attempts:
            return None
        asked: float | None = 0.0
        if answer is not None:
            if answer.status != 429 and answer.status not in _UNAVAILABLE:
                return None
            asked = parse_retry_after(answer.headers.get("Retry-After"))
            if asked is None:
                asked = self.untold_wait_seconds if answer.status == 429 else 0.0
        if asked is None or asked > self.longest_wait_seconds:
            return None
        backoff: float = self.first_wait_seconds * 2 ** min(attempt - 1, 10)
        return asked + min(backoff, self.longest_wait_seconds) * random.uniform(0.5, 1)  # noqa: S311 - no secret
