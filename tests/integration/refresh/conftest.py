"""Fixtures: the database of the refresh tests, a fake thanks.io, connected users, worker processes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib.util import find_spec
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection

from tests.integration.refresh import databases
from tests.integration.refresh.databases import Database
from tests.integration.refresh.processes import Worker
from thanksio_connect.models import ThanksIOConnection
from thanksio_connect.testing import FakeThanksIO


@pytest.fixture
def variant(request: pytest.FixtureRequest) -> str:
    """The way in which the database is configured; parametrize it indirectly for others than the default."""
    variant = str(getattr(request, "param", databases.VARIANTS[0]))
    if variant == "pool" and find_spec("psycopg_pool") is None:
        pytest.skip("needs psycopg 3 with its pool")
    return variant


@pytest.fixture
def database(shared_database: Database, variant: str) -> Iterator[dict[str, Any]]:
    """``DATABASES["default"]``; Django uses it in this test, which must leave no session open on it."""
    values = shared_database.copy(variant)
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
def start_worker(
    database: dict[str, Any], thanksio: FakeThanksIO, idle_workers: list[Worker]
) -> Iterator[Callable[..., Worker]]:
    workers: list[Worker] = []

    def start(**options: Any) -> Worker:
        values = options.pop("database", database)
        if idle_workers and not options:
            worker = idle_workers.pop()
            worker.take_up(values)
        else:
            worker = Worker(values, **options)
        workers.append(worker)
        return worker

    yield start
    for worker in workers:
        if worker.rest():
            idle_workers.append(worker)
        else:
            worker.close()


@pytest.fixture
def one_session(database: dict[str, Any]) -> Iterator[Callable[[], AbstractContextManager[None]]]:
    """A context in which Django is a role that the server gives one connection only, and which it takes."""
    role = f"{database['NAME']}_limited"[:60]
    create, drop = {
        "sqlite": ([], []),
        "postgres": (
            [f"CREATE ROLE {role} LOGIN CONNECTION LIMIT 1 IN ROLE pg_read_all_data, pg_write_all_data"],
            [f"DROP ROLE {role}"],
        ),
        "mariadb": (
            [
                f"CREATE USER {role}@'%' WITH MAX_USER_CONNECTIONS 1",
                f"GRANT ALL ON {database['NAME']}.* TO {role}@'%'",
            ],
            [f"DROP USER {role}@'%'"],
        ),
    }[databases.KIND]

    @contextmanager
    def limited() -> Iterator[None]:
        with databases.using({**database, "USER": role, "PASSWORD": ""}):
            connection.ensure_connection()
            yield

    administer(create)
    yield limited
    administer(drop)


def administer(statements: list[str]) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
