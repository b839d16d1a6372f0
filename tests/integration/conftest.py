"""Fixtures of the tests that drive the pages; one database and worker processes for those that need their own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.browsing import browser, thanksio, user
from tests.integration.refresh.databases import Database
from tests.integration.refresh.processes import Worker
from tests.integration.staff import client_of, staff
from tests.integration.stored import stale

__all__ = ["browser", "client_of", "staff", "stale", "thanksio", "user"]


@pytest.fixture(scope="session")
def shared_database(tmp_path_factory: pytest.TempPathFactory, django_db_blocker: Any) -> Iterator[Database]:
    """One for all tests of this process that need a database of their own."""
    made = Database(tmp_path_factory.mktemp("refresh"), f"test_thanksio_refresh_{os.getpid()}")
    with django_db_blocker.unblock():
        made.create()
        yield made
        made.destroy()


@pytest.fixture(scope="session")
def idle_workers() -> Iterator[list[Worker]]:
    """Processes that an earlier test has done with: starting one takes longer than most tests."""
    workers: list[Worker] = []
    yield workers
    for worker in workers:
        worker.close()
