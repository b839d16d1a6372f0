"""The row by which sweeps know of each other: a lease, a wait, turns."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection

from tests.integration.flows.fleet import run
from thanksio_connect.flows import sweep
from thanksio_connect.flows.pace import Pace
from thanksio_connect.flows.sweep import Held, SweepLease
from thanksio_connect.models import Sweep

pytestmark = pytest.mark.usefixtures("database")


def taken() -> SweepLease:
    lease = SweepLease.take()
    assert isinstance(lease, SweepLease)
    return lease


def test_one_lease_at_a_time():
    lease = taken()
    assert isinstance(SweepLease.take(), Held)
    assert lease.keep("abc")
    lease.give_back({"refreshed": 3}, "def")
    row = Sweep.objects.get()
    assert (row.last_counts, row.resume_after, row.lease_id) == ({"refreshed": 3}, "def", None)
    assert taken().resume_after == "def"


def test_a_lease_that_ran_out_is_anybodys_and_the_late_holder_learns_it():
    late = taken()
    Sweep.objects.update(lease_expires_at=datetime.now(UTC) - timedelta(seconds=1))
    taken()
    assert not late.keep("")
    late.give_back({}, "")
    assert Sweep.objects.get().lease_id


def test_the_longer_wait_stands():
    assert sweep.wait_seconds() == 0
    sweep.ask_to_wait(60)
    sweep.ask_to_wait(1)
    assert 58 < sweep.wait_seconds() <= 60


def test_turns_lie_one_after_another_and_after_a_wait():
    assert sweep.take_turns(10, 0.1) == 0
    assert 0.8 < sweep.take_turns(10, 0.1) <= 1
    sweep.give_turns_back(4, 0.1)
    assert 1.4 < sweep.take_turns(1, 0.1) <= 1.6
    sweep.ask_to_wait(30)
    assert 29 < sweep.take_turns(1, 0.1) <= 30


def test_processes_together_keep_the_rate_evenly():
    """As ``--rate 600``: ten a second, and in no second more than fifteen."""
    times: list[float] = []
    stop = threading.Event()

    def process() -> None:
        pace = Pace(600, stop, None)
        try:
            while pace.wait():
                times.append(time.monotonic())
        finally:
            connection.close()

    threads = [threading.Thread(target=process) for _number in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(4)
    stop.set()
    for thread in threads:
        thread.join()
    times.sort()
    assert 36 <= len(times) <= 42
    assert max(sum(start <= each < start + 1 for each in times) for start in times) <= 15


def test_turns_that_were_missed_are_not_taken_all_at_once():
    """A busy machine gave the process no time: what it missed comes a little closer together."""
    pace = Pace(600, threading.Event(), None)
    times: list[float] = []
    while len(times) < 30 and pace.wait():
        times.append(time.monotonic())
        if len(times) == 1:
            time.sleep(0.74)
    assert max(sum(start <= each < start + 1 for each in times) for start in times) <= 15


def test_a_wait_that_one_process_was_asked_for_stops_the_others_at_once():
    stop = threading.Event()
    one, other = Pace(6000, stop, None), Pace(6000, stop, time.monotonic() + 5)
    assert one.wait()
    assert other.wait()
    one.hold(60)
    time.sleep(0.06)
    assert not other.wait()
    assert other.is_over


def test_a_wait_stands_for_the_next_run(fleet, thanksio):
    some = fleet(4)
    thanksio.next_token(status=429, headers={"Retry-After": "60"})
    first, status = run("--rate", "6000", "--workers", "1", "--time-budget", "5s")
    assert (first["transient"], first["remaining"], status) == (1, 3, 1)
    assert run("--rate", "6000", "--time-budget", "5s")[1] == 1
    assert run("--user", "healthy-2", "--time-budget", "5s")[1] == 1
    assert some.posts() == 1


def test_turns_in_which_nothing_was_sent_go_back_at_the_end():
    pace = Pace(600, threading.Event(), None)
    assert pace.wait()
    pace.return_turn()
    pace.close()
    assert sweep.take_turns(1, 0.1) <= 0.1


@pytest.mark.parametrize("variant", ["pool"], indirect=True)
@pytest.mark.skipif(connection.vendor != "postgresql", reason="needs PostgreSQL's pool")
def test_a_pool_of_two_sessions_is_enough(fleet):
    some = fleet(10)
    assert run("--rate", "6000")[1] == 0
    assert some.renewed() == 10
