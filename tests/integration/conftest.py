"""Fixtures of the tests that drive the pages."""

from tests.integration.browsing import browser, thanksio, user

__all__ = ["browser", "thanksio", "user"]
