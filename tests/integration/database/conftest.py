"""Fixtures: those of the refresh tests."""

from tests.integration.refresh.conftest import connected, database, one_session, start_worker, thanksio, variant

__all__ = ["connected", "database", "one_session", "start_worker", "thanksio", "variant"]
