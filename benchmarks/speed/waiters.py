"""Sixty-four callers, in eight processes, want a fresh token for one expired connection: one renews, the rest wait."""

from __future__ import annotations

import multiprocessing
import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from django.contrib.auth.models import User

from benchmarks.measure import Finding
from benchmarks.speed.waiter import THREADS, run_process
from thanksio_connect.client.tokens import TokenSet
from thanksio_connect.models import ThanksIOConnection
from thanksio_connect.testing.remote import RemoteThanksIO

PROCESSES = 8
PROVIDER_SECONDS, ALLOWANCE_SECONDS = 0.3, 0.25


def measure(thanksio: RemoteThanksIO, *, rounds: int) -> list[Finding]:
    """Race ``rounds`` times; the provider answers in 300 ms."""
    users = [User.objects.create(username=f"waiter-{number}") for number in range(rounds + 2)]
    slowest, most_queries, requests, work = [], [], [], []
    with _crowd() as race:
        for number, user in enumerate(users):
            pair = thanksio.call("issue", user_id=str(user.pk), expires_in=-1)
            expires_at = datetime.fromisoformat(pair["expires_at"])
            token_set = TokenSet(pair["access_token"], pair["refresh_token"], expires_at=expires_at)
            ThanksIOConnection.objects.connect(user, token_set)
            thanksio.call("next_token", delay=PROVIDER_SECONDS, times=None)
            before = thanksio.call("count", grant_type="refresh_token")
            results = race(user.pk)
            requests.append(thanksio.call("count", grant_type="refresh_token") - before)
            thanksio.call("clear_faults")
            errors = {result["error"] for result in results} - {""}
            assert not errors, errors
            if number >= 2:  # the first rounds open the connections
                slowest.append(max(result["seconds"] for result in results))
                most_queries.append(max(result["queries"] for result in results))
                work.append(sum(result["cpu_seconds"] for result in results))
    median = statistics.median(slowest)
    return [
        Finding("64 callers, one refresh of 300 ms: token requests a round", max(requests), 1, is_count=True),
        Finding(
            "64 callers, one refresh of 300 ms: slowest / (300 + 250 ms)",
            median / (PROVIDER_SECONDS + ALLOWANCE_SECONDS),
            1.0,
            detail=(
                f"{median * 1000:.0f} ms, median of {len(slowest)} rounds; best {min(slowest) * 1000:.0f} ms; "
                f"CPU of all callers {min(work) * 1000:.0f} ms"
            ),
        ),
        Finding(
            "64 callers, one refresh of 300 ms: most queries of a waiter",
            max(most_queries),
            20,
            is_count=True,
            detail=f"median of the rounds' most: {statistics.median(most_queries):.0f}",
        ),
    ]


@contextmanager
def _crowd() -> Iterator[Any]:
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(PROCESSES * THREADS)
    results = context.Queue()
    inboxes = [context.Queue() for _ in range(PROCESSES)]
    processes = [context.Process(target=run_process, args=(inbox, results, barrier), daemon=True) for inbox in inboxes]
    for process in processes:
        process.start()

    def race(user_pk: int) -> list[dict[str, Any]]:
        for inbox in inboxes:
            for _ in range(THREADS):
                inbox.put(user_pk)
        return [results.get(timeout=120) for _ in range(PROCESSES * THREADS)]

    try:
        yield race
    finally:
        for inbox in inboxes:
            for _ in range(THREADS):
                inbox.put(None)
        for process in processes:
            process.join(30)
