"""Fixtures: the database and the fake of the refresh tests, and a fleet of connections that are due."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.integration.flows.fleet import Fleet
from tests.integration.refresh.conftest import database, thanksio, variant
from tests.integration.refresh.databases import Database
from thanksio_connect.testing import FakeThanksIO

__all__ = ["database", "fleet", "shared_database", "thanksio", "variant"]


@pytest.fixture(scope="session")
def shared_database(tmp_path_factory: pytest.TempPathFactory, django_db_blocker: Any) -> Iterator[Database]:
    """One beside that of the refresh tests, which may run in the same process."""
    made = Database(tmp_path_factory.mktemp("flows"), f"test_thanksio_flows_{os.getpid()}")
    with django_db_blocker.unblock():
        made.create()
        yield made
        made.destroy()


@pytest.fixture
def fleet(database: dict[str, Any], thanksio: FakeThanksIO) -> Iterator[Callable[..., Fleet]]:
    """Make connections that are due, some of which nothing can renew."""
    made: list[Fleet] = []

    def make(healthy: int, **poison: int) -> Fleet:
        made.append(Fleet(thanksio, database, healthy, poison))
        return made[-1]

    yield make
    for each in made:
        each.close()
