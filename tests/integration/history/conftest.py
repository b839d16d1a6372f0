"""Fixtures: those of the refresh tests."""

from tests.integration.refresh.conftest import connected, database, thanksio, variant

__all__ = ["connected", "database", "thanksio", "variant"]
