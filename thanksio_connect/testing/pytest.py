"""The pytest fixture. In your ``conftest.py``: ``pytest_plugins = ["thanksio_connect.testing.pytest"]``."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from thanksio_connect.testing.django import FakeThanksIO


@pytest.fixture
def fake_thanksio() -> Iterator[FakeThanksIO]:
    """A running :class:`FakeThanksIO` of the test's own, with the ``THANKSIO_*`` settings pointing at it."""
    with FakeThanksIO() as thanksio, thanksio.override_settings():
        yield thanksio
