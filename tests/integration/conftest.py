"""Fixtures of the tests that drive the pages."""

from tests.integration.browsing import browser, thanksio, user
from tests.integration.staff import client_of, staff
from tests.integration.stored import stale

__all__ = ["browser", "client_of", "staff", "stale", "thanksio", "user"]
