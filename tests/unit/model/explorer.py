"""Walks every schedule of a scenario, depth first; a state that was seen before is not walked again."""

from __future__ import annotations

import gc
import sys
from dataclasses import dataclass

from . import checks
from .state import Scenario, State, Violation
from .world import World

_ON_THE_PATH = -1


@dataclass
class Explored:
    """How much was walked. ``schedules`` counts the different sequences of events from the first to a last state."""

    states: int = 0
    steps: int = 0
    schedules: int = 0

    def __add__(self, other: Explored) -> Explored:
        return Explored(self.states + other.states, self.steps + other.steps, self.schedules + other.schedules)

    def __str__(self) -> str:
        return f"{self.schedules:,} schedules ({self.states:,} states, {self.steps:,} steps)"


class _Walk:
    def __init__(self, scenario: Scenario) -> None:
        self.world = World(scenario)
        self.seen: dict[State, int] = {}
        self.path: list[str] = []
        self.steps = 0

    def schedules_from(self, state: State) -> int:
        known = self.seen.get(state)
        if known is not None:
            if known == _ON_THE_PATH:
                raise Violation("The workers can go round in circles")
            return known
        self.seen[state] = _ON_THE_PATH
        total = 0
        for name, event in self.world.events(state):
            self.path.append(name)
            self.steps += 1
            total += self.schedules_from(event())
            self.path.pop()
        if not total:
            unfinished = [worker for worker in state.workers if worker.phase not in ("done", "crashed")]
            if unfinished:
                raise Violation("Nothing can happen any more, and a worker is not done")
            checks.ending(state)
            total = 1
        self.seen[state] = total
        return total


def explore(scenario: Scenario) -> Explored:
    """Every schedule. Raises :class:`Violation` with the first that breaks an invariant."""
    walk = _Walk(scenario)
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, 5000))
    gc.disable()  # nothing here is cyclic, and millions of tuples are slow to look through
    try:
        schedules = walk.schedules_from(walk.world.first())
    except Violation as violation:
        raise Violation(violation.text, tuple(walk.path)) from None
    finally:
        gc.enable()
        sys.setrecursionlimit(limit)
    return Explored(len(walk.seen), walk.steps, schedules)


def replay(scenario: Scenario, *schedule: str) -> State:
    """Follow one schedule; after it the remaining events run in their order, faults apart, to an end. Returns it."""
    world = World(scenario)
    state = world.first()
    for name in schedule:
        possible = dict(world.events(state))
        assert name in possible, f"{name!r} can't happen now, only {sorted(possible)}"
        state = possible[name]()
    state = state._replace(faults_left=0)
    while events := list(world.events(state)):
        state = events[0][1]()
    checks.ending(state)
    return state
