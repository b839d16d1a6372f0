"""The pace of a bulk refresh, shared by its workers. Times are in seconds of the monotonic clock."""

from __future__ import annotations

import threading

from ..client.deadline import now


class Pace:
    """Keeps all workers together under so many requests in any minute, and still while thanks.io asks to wait.

    ``burst`` of them may come at once; what is left is spread over the minute.
    """

    def __init__(self, per_minute: float, stop: threading.Event, ends: float | None, *, burst: float = 1.0) -> None:
        self._interval = 60.0 / (per_minute if burst <= 1 else max(per_minute - burst, per_minute / 2))
        self._tolerance = self._interval * max(0.0, burst - 1)
        self._ends = ends
        self._stop = stop
        self._lock = threading.Lock()
        self._next = now()

    @property
    def is_over(self) -> bool:
        """Whether the run's time is up, or will be before anybody may send again."""
        with self._lock:
            return self._ends is not None and max(now(), self._next - self._tolerance) >= self._ends

    def wait(self) -> bool:
        """Wait for this request's turn. Returns False when the run was stopped or its time is up."""
        while not self._stop.is_set() and not self.is_over:
            with self._lock:
                moment = now()
                left = self._next - self._tolerance - moment
                if left <= 0:
                    self._next = max(self._next, moment) + self._interval
                    return True
            self._stop.wait(min(left, 0.5))
        return False

    def hold(self, seconds: float) -> None:
        """Let nobody send for so long."""
        with self._lock:
            self._next = max(self._next, now() + seconds + self._tolerance)
