"""The pace of a bulk refresh, one for all processes: whose turn it is to send. Times are monotonic seconds.

One thread waits for turns; others may ask everybody to wait, and return turns in which nothing was sent.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable

from ..client.deadline import now
from . import sweep

# Turns are taken from the database by the block: for a fifth of a second.
BLOCK_SECONDS, LONGEST_BLOCK = 0.2, 500
# Turns that were missed, on a busy machine, are not taken all at once: the part of the interval that is kept then.
CLOSEST = 0.75
# How old the knowledge may be that thanks.io asked no process to wait.
LOOK_SECONDS = 0.05
TICK_SECONDS = 0.5


class Pace:
    """Keeps everybody under so many requests a minute, evenly, and still while thanks.io asks to wait.

    ``ends`` is when the run's time is up. A wait longer than ``patience_seconds`` ends the run, too. ``tick`` is called
    now and then while a turn is waited for.
    """

    def __init__(
        self,
        per_minute: float,
        stop: threading.Event,
        ends: float | None,
        *,
        patience_seconds: float = math.inf,
        tick: Callable[[], object] = lambda: None,
    ) -> None:
        self.per_minute = per_minute
        self.interval_seconds = 60.0 / per_minute
        self._block = min(LONGEST_BLOCK, max(1, int(BLOCK_SECONDS / self.interval_seconds)))
        self._ends = ends
        self._patience_seconds = patience_seconds
        self._stop = stop
        self._tick = tick
        self._lock = threading.Lock()
        self._turns: deque[float] = deque()
        self._is_late = False  # the next turn comes after the run's time is up
        self._held_until = 0.0
        self._looked_at = 0.0
        self._taken_at = 0.0

    @property
    def is_over(self) -> bool:
        """Whether the run's time is up, or will be before anybody may send again."""
        return self._is_late or self.is_held or (self._ends is not None and max(now(), self._held_until) >= self._ends)

    @property
    def is_held(self) -> bool:
        """Whether thanks.io asked to wait for longer than the run has patience."""
        return self._held_until - now() > self._patience_seconds

    def wait(self) -> bool:
        """Wait for this request's turn. Returns False when the run was stopped, or its time is up before."""
        while not self._stop.is_set() and not self.is_over:
            turn = self._next_turn()
            if self._ends is not None and turn >= self._ends:
                self._is_late = True
                return False
            left = max(turn, self._held_until, self._taken_at + CLOSEST * self.interval_seconds) - now()
            if left <= 0 and not self._must_wait():
                with self._lock:
                    # A wait that was asked for just now has taken the turns away.
                    if self._turns and self._turns[0] == turn:
                        self._turns.popleft()
                        self._taken_at = now()
                        return True
            elif left > 0:
                if left > self._patience_seconds:
                    self._must_wait()
                self._tick()
                self._stop.wait(min(left, TICK_SECONDS))
        return False

    def hold(self, seconds: float) -> None:
        """Let nobody send for so long, in any process."""
        self._wait_until(now() + seconds)
        sweep.ask_to_wait(seconds)

    def return_turn(self) -> None:
        """Nothing was sent: the turn is the next one's."""
        with self._lock:
            self._turns.appendleft(now())
            self._taken_at = 0.0

    def close(self) -> None:
        """Give back the turns that are left."""
        with self._lock:
            count = len(self._turns)
            self._turns.clear()
        if count:
            sweep.give_turns_back(count, self.interval_seconds)

    def _next_turn(self) -> float:
        with self._lock:
            if self._turns:
                return self._turns[0]
        begins = now() + sweep.take_turns(self._block, self.interval_seconds)
        with self._lock:
            self._turns.extend(begins + number * self.interval_seconds for number in range(self._block))
            return self._turns[0]

    def _must_wait(self) -> bool:
        """Whether thanks.io asked another process to wait."""
        if now() - self._looked_at < LOOK_SECONDS:
            return False
        seconds = sweep.wait_seconds()
        self._looked_at = now()
        if seconds:
            self._wait_until(self._looked_at + seconds)
        return bool(seconds)

    def _wait_until(self, moment: float) -> None:
        """The turns that were reserved go: later they would all come at once."""
        with self._lock:
            self._held_until = max(self._held_until, moment)
            self._turns.clear()
