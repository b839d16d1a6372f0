"""Threads that handle rows side by side, each with a database session of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import copy_context
from queue import SimpleQueue
from typing import Generic, Self, TypeVar

from django.db import connections, router

from ..conf import app_settings
from ..database import facts, sessions
from ..models import ConnectionTokens

T = TypeVar("T")
# One writer at a time gains nothing from many. psycopg's pool has four sessions unless told otherwise.
MANY, FEW, POOL_SIZE = 16, 4, 4


def default_workers() -> int:
    """As many as a slow provider may need; one where no second session sees what this one does."""
    alias = router.db_for_write(ConnectionTokens)
    if facts.in_transaction(alias) or not facts.has_private_sessions(alias):
        return 1
    if facts.has_one_writer(alias):
        return FEW
    pool = connections[alias].settings_dict["OPTIONS"].get("pool")
    if not pool:
        return MANY
    size = pool.get("max_size") or pool.get("min_size") if isinstance(pool, dict) else None
    return max(1, min(MANY, (size or POOL_SIZE) - 1))  # one is the main thread's


class Crew(Generic[T]):
    """At most ``size`` threads; one more is started only when all are busy, as with a provider that is slow."""

    def __init__(self, size: int, handle: Callable[[T], object]) -> None:
        self.size = size
        self._handle = handle
        self._jobs: SimpleQueue[T | None] = SimpleQueue()
        self._change = threading.Condition()
        self._threads: list[threading.Thread] = []
        self._error: BaseException | None = None
        self.busy = 0

    def wait_until_fewer(self, count: int, timeout_seconds: float) -> None:
        """Wait until fewer than so many jobs are under way."""
        with self._change:
            self._change.wait_for(lambda: self.busy < count or self._error is not None, timeout_seconds)
        self.raise_error()

    def raise_error(self) -> None:
        """Raise what one raised that nobody foresaw."""
        if self._error is not None:
            raise self._error

    def hand(self, job: T) -> None:
        """Let a thread do it; there is a place."""
        with self._change:
            self.busy += 1
            if self.busy > len(self._threads):
                self._threads.append(
                    threading.Thread(target=copy_context().run, args=(self._work,), name="thanksio-refresh")
                )
                self._threads[-1].start()
        self._jobs.put(job)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        """Wait for what is under way. Raises an unforeseen error of a thread, also one at the last rows."""
        for _thread in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()
        if error is None:
            self.raise_error()

    def _work(self) -> None:
        alias = router.db_for_write(ConnectionTokens)
        has_pool = bool(connections[alias].settings_dict["OPTIONS"].get("pool"))
        is_prepared = False
        try:
            while (job := self._jobs.get()) is not None:
                try:
                    if not is_prepared and (prepare := app_settings.prepare_session) is not None:
                        with sessions.translated():
                            prepare(connections[alias])
                    is_prepared = not has_pool
                    self._handle(job)
                except BaseException as error:  # noqa: BLE001 - the main thread raises it
                    self._error = self._error or error
                finally:
                    if has_pool:  # an idle thread must not keep others waiting for it
                        connections.close_all()
                    with self._change:
                        self.busy -= 1
                        self._change.notify_all()
        finally:
            connections.close_all()
