"""Fixtures: the database and the fake of the refresh tests, connected users, worker processes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User

from tests.integration.refresh.conftest import database, idle_workers, start_worker, thanksio, variant
from tests.integration.refresh.databases import Database
from thanksio_connect.models import ThanksIOConnection
from thanksio_connect.testing import FakeThanksIO

__all__ = ["connected", "database", "idle_workers", "shared_database", "start_worker", "thanksio", "variant"]


@pytest.fixture(scope="session")
def shared_database(tmp_path_factory: pytest.TempPathFactory, django_db_blocker: Any) -> Iterator[Database]:
    """One beside that of the refresh tests, which may run in the same process."""
    made = Database(tmp_path_factory.mktemp("send_once"), f"test_thanksio_once_{os.getpid()}")
    with django_db_blocker.unblock():
        made.create()
        yield made
        made.destroy()


@pytest.fixture
def connected(thanksio: FakeThanksIO) -> Callable[..., ThanksIOConnection]:
    """Connect a new user."""

    def connect(**options: Any) -> ThanksIOConnection:
        user = User.objects.create(username=f"user-{os.urandom(4).hex()}")
        return thanksio.connect(user, **options)

    return connect
