"""The database's clock in Django's expressions."""

from __future__ import annotations

from typing import Any

from django.db import models

from ..fields import UTCDateTimeField
from . import facts


class DatabaseMoment(models.Func):
    """The database's clock, so many seconds from now."""

    output_field = UTCDateTimeField()

    def __init__(self, seconds: float = 0.0) -> None:
        super().__init__()
        self.seconds = seconds

    def as_sql(self, compiler: Any, connection: Any, *args: Any, **extra: Any) -> tuple[str, tuple[Any, ...]]:
        """As :mod:`~thanksio_connect.database.facts` knows it."""
        moment = facts.later(connection, self.seconds) if self.seconds else facts.now(connection)
        return moment.sql, moment.parameters
