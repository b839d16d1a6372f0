"""Single flight: many processes and threads want one expired connection's token at the same moment.

Broken on purpose, these fail: a claim that is no single conditional write, a waiter that "refreshes anyway".
"""

from __future__ import annotations

import os
import time

import pytest

from tests.integration.refresh import databases
from tests.integration.refresh.pairs import assert_live, grant_of
from tests.integration.refresh.states import servers_only

# How often the database is raced as it comes; its variants are raced three times each.
ROUNDS, VARIANT_ROUNDS = int(os.environ.get("THANKSIO_RACE_ROUNDS", "5")), 3
PROCESSES, THREADS = 8, 8


def run_rounds(rounds, thanksio, connected, workers, *, threads=THREADS, state=None, answer_delay=0.05):
    for _round in range(rounds):
        connection = connected()
        grant = grant_of(thanksio, connection)
        before = thanksio.count("refresh_token")
        thanksio.next_token(delay=answer_delay)
        at = time.time() + 0.15
        for worker in workers:
            worker.begin("race", pk=connection.pk, threads=threads, at=at, state=state)
        results = [result for worker in workers for result in worker.end()]
        assert len(results) == len(workers) * threads
        assert set(results) == {thanksio.live_pair(grant).access_token}
        assert thanksio.count("refresh_token") - before == 1
        assert_live(thanksio, connection)


@pytest.mark.parametrize("variant", databases.VARIANTS[:3], indirect=True)
def test_one_token_request_in_every_round_and_everybody_has_the_live_token(thanksio, connected, start_worker, variant):
    is_default = variant == databases.VARIANTS[0]
    workers = [start_worker() for _number in range(PROCESSES if is_default else PROCESSES // 2)]
    for worker in workers:
        worker.call("ping")
    run_rounds(ROUNDS if is_default else VARIANT_ROUNDS, thanksio, connected, workers)


@pytest.mark.parametrize("state", ["nothing", "elsewhere"])
@servers_only
def test_one_token_request_when_all_callers_are_in_transactions(thanksio, connected, start_worker, state):
    workers = [start_worker() for _number in range(4)]
    for worker in workers:
        worker.call("ping")
    run_rounds(3, thanksio, connected, workers, threads=4, state=state)


@pytest.mark.parametrize("variant", databases.VARIANTS[:2], indirect=True)
def test_waiters_share_a_failure_instead_of_repeating_it(thanksio, connected, start_worker):
    workers = [start_worker() for _number in range(2)]
    for worker in workers:
        worker.call("ping")
    connection = connected()
    thanksio.next_token(status=503, retry_after=60, delay=0.3, times=None)
    at = time.time() + 0.2
    for worker in workers:
        worker.begin("race", pk=connection.pk, threads=4, at=at)
    results = [result for worker in workers for result in worker.end()]
    assert len(results) == 8
    assert all(result.startswith("!Throttled") for result in results), results
    assert thanksio.count("refresh_token") == 1


def test_a_waiter_waits_as_long_as_the_provider_may_take(thanksio, connected, start_worker, settings):
    settings.THANKSIO_READ_TIMEOUT_SECONDS = 3
    first, second = start_worker(), start_worker()
    second.call("ping")
    connection = connected()
    thanksio.next_token(delay=2.5)
    first.begin("token", pk=connection.pk)
    thanksio.wait_for_token_requests(1, timeout_seconds=30)
    second.begin("token", pk=connection.pk)
    assert first.end() == second.end() == thanksio.live_pair(thanksio.grants[0]).access_token
    assert thanksio.count("refresh_token") == 1
