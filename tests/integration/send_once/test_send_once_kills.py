"""A job that is killed at any point of a send, and retried, sends exactly one letter.

Each try forks a process that sends under a key of its own, and kills itself (SIGKILL) at a point that the seed draws;
then again, until it is let live. ``THANKSIO_TEST_SENDS`` is how many tries. Broken on purpose, these fail: a mark
before the request, a retry that does not look, a look that is believed at once, a claim in the caller's transaction.
"""

from __future__ import annotations

import os
import random

import pytest

from tests.integration.refresh.databases import KIND
from tests.integration.send_once.letters import later
from tests.integration.send_once.orders import POINTS
from thanksio_connect.models import SentOrder

SENDS = int(os.environ.get("THANKSIO_TEST_SENDS", "24"))
UNDER_WAY = {"headers", "body"}
LONGEST_WAIT_SECONDS, SLOW_SECONDS = 0.01, 0.1
pytestmark = pytest.mark.usefixtures("database")


class Job:
    """One letter, tried until it is sent."""

    def __init__(self, worker, thanksio, connection, number):
        self.chance = random.Random(number)
        self.worker, self.thanksio, self.connection = worker, thanksio, connection
        self.key = f"letter-{number}"
        # Each point comes in turn; the seed draws the rest.
        self.points = [POINTS[number % len(POINTS)], *self.chance.choices(POINTS, k=self.chance.choice([0, 0, 1, 2]))]
        self.in_transaction = KIND != "sqlite" and self.chance.random() < 0.5
        self.trace = []

    def run(self):
        for point in self.points:
            self.attempt(point)
        for _time in range(3):
            said = self.attempt("")
            if "order" in said:
                break
        assert "order" in said, self.trace
        assert [said["order"]] == [order["id"] for order in self.orders()], self.trace
        assert self.attempt("")["order"] == said["order"]
        assert len(self.orders()) == 1, self.trace

    def attempt(self, point):
        requests = self.answered()
        if is_slow := point in UNDER_WAY and self.chance.random() < 0.5:
            self.thanksio.next_api("/send", delay=SLOW_SECONDS)
        said = self.send(point)
        if point in UNDER_WAY and said["killed"]:
            if is_slow:  # at once, while thanks.io has not yet read what was sent
                self.send("")
            # Ten minutes pass in no time here, and by then it has.
            self.thanksio.log.wait(lambda _records: self.answered() > requests, timeout_seconds=10)
        self.thanksio.faults.clear()
        assert len(self.orders()) <= 1, self.trace
        if said.get("error") or self.chance.random() < 0.5:
            later()
        return said

    def send(self, point):
        said = self.worker.call(
            "attempt",
            pk=self.connection.pk,
            key=self.key,
            point=point,
            in_transaction=self.in_transaction,
            wait_seconds=self.chance.random() * LONGEST_WAIT_SECONDS,
        )
        self.trace.append((point, said))
        assert said.get("error") in (None, "OutcomeUnknown"), self.trace
        return said

    def answered(self):
        """How many requests to send the fake is done with."""
        return sum("/send/" in record.path and record.reply != "pending" for record in self.thanksio.requests)

    def orders(self):
        return [
            order for order in self.thanksio.api.orders if (order["metadata"] or {}).get("send_once_key") == self.key
        ]


def test_killed_and_retried_it_is_one_letter(connected, thanksio, start_worker):
    connection = connected(user_id=7)
    worker = start_worker(orders="tests.integration.send_once.orders")
    kills = 0
    for number in range(SENDS):
        thanksio.log.clear()
        thanksio.api.orders.clear()
        SentOrder.objects.all().delete()
        job = Job(worker, thanksio, connection, number)
        job.run()
        kills += sum(said["killed"] for _point, said in job.trace)
    assert kills >= SENDS * 0.9
