"""8 processes × 4 threads, one connection whose access token has expired, a provider that rotates."""

from __future__ import annotations

import multiprocessing
import statistics
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from benchmarks.peers.adapter import Pair, Peer
from benchmarks.peers.racer import THREADS, run_process
from thanksio_connect.testing.remote import RemoteThanksIO

PROCESSES = 8
CALLERS = PROCESSES * THREADS
PROVIDER_SECONDS = 0.05


@dataclass
class Standing:
    """What the rounds of one peer came to."""

    requests: list[int] = field(default_factory=list)
    errors: list[int] = field(default_factory=list)
    lost: int = 0
    kinds: Counter[str] = field(default_factory=Counter)

    @property
    def cells(self) -> tuple[str, str, str]:
        """Token requests, callers with an exception (both medians of the rounds), connections lost."""
        rounds = len(self.requests)
        return (
            f"{statistics.median(self.requests):g}",
            f"{statistics.median(self.errors):g}",
            f"{self.lost} of {rounds}",
        )


@contextmanager
def crowd() -> Iterator[Any]:
    """The processes; yields ``race(peer, primary key, provider)``, which returns the errors."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(CALLERS)
    results = context.Queue()
    inboxes = [context.Queue() for _ in range(PROCESSES)]
    processes = [context.Process(target=run_process, args=(inbox, results, barrier), daemon=True) for inbox in inboxes]
    for process in processes:
        process.start()

    def race(peer: Peer, pk: int, thanksio: RemoteThanksIO) -> list[str]:
        for inbox in inboxes:
            for _ in range(THREADS):
                inbox.put((peer.name, pk, thanksio.settings))
        answers = [results.get(timeout=180) for _ in range(CALLERS)]
        return [error for error in answers if error]

    try:
        yield race
    finally:
        for inbox in inboxes:
            for _ in range(THREADS):
                inbox.put(None)
        for process in processes:
            process.join(30)


def run(race: Any, peer: Peer, thanksio: RemoteThanksIO, *, rounds: int) -> Standing:
    """That many races, each with a connection of its own."""
    standing = Standing()
    thanksio.call("next_token", delay=PROVIDER_SECONDS, times=None)
    for number in range(rounds):
        pk = peer.add(Pair.issued(thanksio.call("issue", user_id=f"race-{number}", expires_in=-1)))
        before = thanksio.call("count", grant_type="refresh_token")
        errors = race(peer, pk, thanksio)
        standing.requests.append(thanksio.call("count", grant_type="refresh_token") - before)
        standing.errors.append(len(errors))
        standing.kinds.update(errors)
        standing.lost += not thanksio.call("is_live", token=peer.refresh_token(pk))
    thanksio.call("clear_faults")
    return standing
