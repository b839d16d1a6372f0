"""Fixtures of the tests that drive the pages."""

from tests.integration.browsing import browser, thanksio, user
from tests.integration.stored import stale

__all__ = ["browser", "stale", "thanksio", "user"]
