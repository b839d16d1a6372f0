"""Raises exceptions of its own, as django-db-connection-pool does (``sqlalchemy.exc.TimeoutError``)."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from django.conf import settings

_base: Any = import_module(settings.DATABASES["default"]["ENGINE"].removesuffix(".base") + ".base")


class PoolTimeout(Exception):
    """Has no ancestor that anybody knows."""


class DatabaseWrapper(_base.DatabaseWrapper):  # type: ignore[misc]
    """Set ``broken`` to ``"connect"`` or ``"cursor"``, for all sessions of this process."""

    broken = ""

    def get_new_connection(self, *args: Any, **options: Any) -> Any:
        if self.broken == "connect":
            raise PoolTimeout("QueuePool limit of size 5 reached")
        return super().get_new_connection(*args, **options)

    def create_cursor(self, *args: Any, **options: Any) -> Any:
        if self.broken == "cursor":
            raise PoolTimeout("the pool was closed")
        return super().create_cursor(*args, **options)
