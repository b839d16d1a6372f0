"""A column for moments."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from django.core.exceptions import FieldError
from django.db.models import DateTimeField
from django.utils import timezone

from ..conf import project_setting

if TYPE_CHECKING:
    from django.db.models import Model

_COMPARISONS = ("exact", "gt", "gte", "in", "isnull", "lt", "lte", "range")


class UTCDateTimeField(DateTimeField):  # type: ignore[type-arg]
    """A moment, stored as UTC whatever ``USE_TZ``, ``TIME_ZONE`` and the session's zone say; read as an aware datetime.

    An hour that comes twice a year is two hours here. Moments are compared with moments: databases would take a date or
    a year out of the column as if it were in the project's time zone, so these lookups are refused.
    """

    def get_internal_type(self) -> str:
        """A name of its own: no database backend converts the value by the project's time zone."""
        return "UTCDateTimeField"

    def db_type(self, connection: Any) -> str:
        """A column without a time zone."""
        return "timestamp" if connection.vendor == "postgresql" else str(connection.data_types["DateTimeField"])

    def get_lookup(self, lookup_name: str) -> Any:
        """Allow comparisons alone."""
        if lookup_name not in _COMPARISONS:
            raise FieldError(
                f"{self.name} is a moment in UTC and has no lookup {lookup_name!r}: compare it with datetimes "
                f"({', '.join(_COMPARISONS)})."
            )
        return super().get_lookup(lookup_name)

    def get_transform(self, lookup_name: str) -> Any:
        """Allow none."""
        return self.get_lookup(lookup_name) and None

    def from_db_value(self, value: Any, *args: object) -> datetime | None:
        """Return an aware datetime; None for what is no moment, as SQLite takes it from SQL written by hand."""
        if isinstance(value, str):
            with suppress(ValueError):
                value = datetime.fromisoformat(value)
        if not isinstance(value, datetime):
            return None
        return value if value.tzinfo is not None else value.replace(tzinfo=UTC)

    def to_python(self, value: Any) -> Any:
        """Take a naive value for one in the project's time zone, as Django does."""
        value = super().to_python(value)
        if isinstance(value, datetime):
            value = value if value.tzinfo is not None else timezone.make_aware(value, timezone.get_default_timezone())
            return value.astimezone(UTC)
        return value

    def get_prep_value(self, value: Any) -> Any:
        """Return an aware datetime in UTC; an SQL expression stays one."""
        return value if hasattr(value, "resolve_expression") else self.to_python(value)

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:
        """Return the naive moment in UTC, in the database's form."""
        value = self.get_prep_value(value)
        if isinstance(value, datetime):
            return connection.ops.adapt_datetimefield_value(value.replace(tzinfo=None))
        return value

    def value_to_string(self, obj: Model) -> str:
        """What ``dumpdata`` writes."""
        value = getattr(obj, self.attname)
        return "" if value is None else self.to_python(value).isoformat()


def utc_now() -> datetime:
    """Return the current moment, aware, in UTC."""
    return datetime.now(UTC)


def as_the_project_has_it(moment: datetime | None) -> datetime | None:
    """Return a moment aware, or naive in the project's time zone where it does without zones."""
    if moment is None or timezone.is_naive(moment) or project_setting("USE_TZ", True):
        return moment
    return timezone.make_naive(moment, timezone.get_default_timezone())
