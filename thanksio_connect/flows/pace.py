"""The pace of a bulk refresh, shared by its workers and by all other processes. Times are monotonic seconds."""

from __future__ import annotations

import threading
import time

from . import sweep

# Turns are taken from the database by the block: for half a second, or as many as may come at once.
BLOCK_SECONDS = 0.5
LONGEST_BLOCK = 500


class Pace:
    """Keeps everybody under so many requests a minute, and still while thanks.io asks to wait.

    ``burst`` of them may come at once; without, they are spread evenly.
    """

    def __init__(self, per_minute: float, stop: threading.Event, ends: float | None, *, burst: int = 0) -> None:
        self.interval_seconds = 60.0 / per_minute
        self._is_spread = burst < 2
        self._block = min(LONGEST_BLOCK, max(1, burst, int(BLOCK_SECONDS / self.interval_seconds)))
        self._ends = ends
        self._stop = stop
        self._lock = threading.Lock()
        self._turns: list[float] = []
        self._held_until = 0.0

    @property
    def is_over(self) -> bool:
        """Whether the run's time is up, or will be before anybody may send again."""
        return self._ends is not None and max(time.monotonic(), self._held_until) >= self._ends

    def wait(self) -> bool:
        """Wait for this request's turn. Returns False when the run was stopped or its time is up."""
        with self._lock:
            turn = self._next_turn()
        while not self._stop.is_set() and not self.is_over:
            left = max(turn, self._held_until) - time.monotonic()
            if left <= 0:
                return True
            if self._ends is not None and turn >= self._ends:
                return False
            self._stop.wait(min(left, 0.5))
        return False

    def hold(self, seconds: float) -> None:
        """Let nobody send for so long, in any process."""
        self._held_until = max(self._held_until, time.monotonic() + seconds)
        sweep.ask_to_wait(seconds)

    def _next_turn(self) -> float:
        if not self._turns:
            begins = time.monotonic() + sweep.take_turns(self._block, self.interval_seconds)
            step = self.interval_seconds if self._is_spread else 0.0
            self._turns = [begins + number * step for number in range(self._block)]
        return self._turns.pop(0)
