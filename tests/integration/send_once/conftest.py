"""Fixtures: the database and the fake of the refresh tests, connected users, worker processes."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User

from tests.integration.refresh.conftest import database, start_worker, thanksio, variant
from thanksio_connect.models import ThanksIOConnection
from thanksio_connect.testing import FakeThanksIO

__all__ = ["connected", "database", "start_worker", "thanksio", "variant"]


@pytest.fixture
def connected(thanksio: FakeThanksIO) -> Callable[..., ThanksIOConnection]:
    """Connect a new user."""

    def connect(**options: Any) -> ThanksIOConnection:
        user = User.objects.create(username=f"user-{os.urandom(4).hex()}")
        return thanksio.connect(user, **options)

    return connect
