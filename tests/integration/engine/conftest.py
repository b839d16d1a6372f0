"""Fixtures: the database of the engine tests, a fake thanks.io, connected users, worker processes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User

from tests.integration.engine import databases
from tests.integration.engine.databases import Database
from tests.integration.engine.processes import Worker
from thanksio_connect.models import ThanksIOConnection
from thanksio_connect.testing import FakeThanksIO


@pytest.fixture(scope="session")
def engine_database(tmp_path_factory: pytest.TempPathFactory, django_db_blocker: Any) -> Iterator[Database]:
    database = Database(tmp_path_factory.mktemp("engine"), f"test_thanksio_engine_{os.getpid()}")
    with django_db_blocker.unblock():
        database.create()
        yield database
        database.destroy()


@pytest.fixture
def variant(request: pytest.FixtureRequest) -> str:
    """The way in which the database is configured; parametrize it indirectly for others than the default."""
    return str(getattr(request, "param", databases.VARIANTS[0]))


@pytest.fixture
def database(engine_database: Database, variant: str) -> Iterator[dict[str, Any]]:
    """``DATABASES["default"]``; Django uses it in this test, which must leave no session open on it."""
    values = engine_database.copy(variant)
    with databases.using(values):
        databases.empty()
        yield values
        databases.empty()


@pytest.fixture
def thanksio(database: dict[str, Any]) -> Iterator[FakeThanksIO]:
    with FakeThanksIO() as fake, fake.override_settings(THANKSIO_READ_TIMEOUT_SECONDS=10):
        yield fake


@pytest.fixture
def connected(thanksio: FakeThanksIO) -> Callable[..., ThanksIOConnection]:
    """Connect a new user; the access token has expired unless ``expires_in`` says otherwise."""

    def connect(**options: Any) -> ThanksIOConnection:
        options.setdefault("expires_in", -1)
        user = User.objects.create(username=f"user-{User.objects.count()}-{os.urandom(4).hex()}")
        return thanksio.connect(user, **options)

    return connect


@pytest.fixture
def start_worker(database: dict[str, Any], thanksio: FakeThanksIO) -> Iterator[Callable[..., Worker]]:
    workers: list[Worker] = []

    def start(**options: Any) -> Worker:
        worker = Worker(options.pop("database", database), **options)
        workers.append(worker)
        return worker

    yield start
    for worker in workers:
        worker.close()
