"""Fixtures: the database and the fake of the refresh tests, and a fleet of connections that are due."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.integration.flows.fleet import Fleet
from tests.integration.refresh.conftest import database, thanksio, variant
from thanksio_connect.testing import FakeThanksIO

__all__ = ["database", "fleet", "thanksio", "variant"]


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
