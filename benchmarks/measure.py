"""Ratios that a loaded machine bends little: two sides take turns in one process; their best rounds are compared."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.db import connections
from django.db.backends.signals import connection_created

LOOSENESS = 1.5  # what --check forgives a ratio of times on a loaded machine


@dataclass(frozen=True)
class Finding:
    """One measured number and its target.

    ``is_count``: a whole number. ``is_strict``: what does not depend on the machine. ``--check`` forgives neither.
    """

    what: str
    value: float
    limit: float
    is_count: bool = False
    is_strict: bool = False
    detail: str = ""

    @property
    def is_met(self) -> bool:
        """Whether the target is reached."""
        return self.value <= self.limit

    @property
    def is_far_off(self) -> bool:
        """Whether ``--check`` fails."""
        return self.value > self.limit * (1 if self.is_count or self.is_strict else LOOSENESS)


@dataclass(frozen=True)
class Seconds:
    """One side's rounds. Only the best one is free of what else the machine does."""

    best: float
    median: float


def interleaved(
    sides: dict[str, Callable[[], object]],
    *,
    rounds: int,
    warm_up: int = 2,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Seconds]:
    """Time each side, the sides taking turns so that both have the same chance of a quiet moment."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    order = list(sides.items())
    for number in range(warm_up + rounds):
        for name, run in order:
            started = clock()
            run()
            spent = clock() - started
            if number >= warm_up:
                times[name].append(spent)
        order.append(order.pop(0))
    return {name: Seconds(min(spent), statistics.median(spent)) for name, spent in times.items()}


@contextmanager
def statements() -> Iterator[list[str]]:
    """The SQL of every statement of this thread, also on connections that are opened meanwhile."""
    seen: list[str] = []

    def record(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        seen.append(sql)
        return execute(sql, *rest)

    def watch(connection: Any, **_: Any) -> None:
        if threading.get_ident() == thread and record not in connection.execute_wrappers:
            connection.execute_wrappers.append(record)

    thread = threading.get_ident()
    watch(connections["default"])
    connection_created.connect(watch)
    try:
        yield seen
    finally:
        connection_created.disconnect(watch)
        connections["default"].execute_wrappers.remove(record)


@contextmanager
def connections_opened() -> Iterator[list[str]]:
    """The vendor of each database connection that is opened meanwhile, by whatever thread."""
    seen: list[str] = []

    def note(connection: Any, **_: Any) -> None:
        seen.append(connection.vendor)

    connection_created.connect(note)
    try:
        yield seen
    finally:
        connection_created.disconnect(note)


@contextmanager
def decryptions() -> Iterator[list[int]]:
    """How many Fernet decryptions happen, as the length of the list."""
    from cryptography.fernet import Fernet

    seen: list[int] = []
    original = Fernet._decrypt_data

    def counted(self: Fernet, *rest: Any) -> bytes:
        seen.append(1)
        return original(self, *rest)

    Fernet._decrypt_data = counted  # type: ignore[method-assign]
    try:
        yield seen
    finally:
        Fernet._decrypt_data = original  # type: ignore[method-assign]
