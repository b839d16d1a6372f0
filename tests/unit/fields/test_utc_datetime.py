"""A moment is the same moment in any zone, and only moments are compared."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.core.exceptions import FieldError
from django.db.models import F

from thanksio_connect.fields import UTCDateTimeField, utc_now
from thanksio_connect.models import ConnectionTokens

FIELD: Any = ConnectionTokens._meta.get_field("expires_at")
NEW_YORK = ZoneInfo("America/New_York")
MOMENT = datetime(2026, 11, 1, 5, 30, 0, 123456, tzinfo=UTC)


@pytest.mark.parametrize(
    "value",
    [
        MOMENT,
        MOMENT.astimezone(NEW_YORK),  # the hour that comes twice, the first time
        MOMENT.astimezone(timezone(timedelta(hours=5, minutes=45))),
        MOMENT.isoformat(),
        "2026-11-01T05:30:00.123456Z",
        "2026-11-01 01:30:00.123456-04:00",
    ],
)
@pytest.mark.parametrize("use_tz", [True, False])
def test_a_moment_in_any_form(settings: Any, value: Any, use_tz: bool) -> None:
    settings.USE_TZ = use_tz
    assert FIELD.to_python(value) == MOMENT
    assert FIELD.to_python(value).tzinfo is UTC


@pytest.mark.parametrize("use_tz", [True, False])
def test_a_naive_value_is_in_the_projects_zone(settings: Any, use_tz: bool) -> None:
    settings.USE_TZ = use_tz
    assert FIELD.to_python(datetime(2026, 7, 1, 12)) == datetime(2026, 7, 1, 16, tzinfo=UTC)
    assert FIELD.to_python("2026-12-01T12:00") == datetime(2026, 12, 1, 17, tzinfo=UTC)


@pytest.mark.parametrize("value", [MOMENT.replace(tzinfo=None), MOMENT, str(MOMENT.replace(tzinfo=None)), str(MOMENT)])
def test_what_a_driver_gives_is_utc(value: Any) -> None:
    assert FIELD.from_db_value(value) == MOMENT


def test_nothing_stays_nothing() -> None:
    assert FIELD.from_db_value(None) is FIELD.to_python(None) is FIELD.get_prep_value(None) is None
    assert FIELD.value_to_string(SimpleNamespace(expires_at=None)) == ""


def test_a_dump_is_utc_whole() -> None:
    shown = FIELD.value_to_string(SimpleNamespace(expires_at=MOMENT.astimezone(NEW_YORK)))
    assert shown == "2026-11-01T05:30:00.123456+00:00"


def test_an_expression_stays_one() -> None:
    expression = F("obtained_at") + timedelta(hours=1)
    assert FIELD.get_prep_value(expression) is expression


@pytest.mark.parametrize(
    "lookup", ["date", "year", "hour__gte", "date__lte", "week_day", "iso_year", "contains", "junk"]
)
def test_parts_of_a_date_are_refused(lookup: str) -> None:
    with pytest.raises(FieldError, match="expires_at is a moment in UTC and has no lookup"):
        ConnectionTokens.objects.filter(**{f"expires_at__{lookup}": 1})


def test_it_deconstructs_to_itself() -> None:
    assert FIELD.deconstruct()[1] == "thanksio_connect.fields.utc_datetime.UTCDateTimeField"
    assert isinstance(FIELD, UTCDateTimeField)


def test_now_is_aware() -> None:
    assert utc_now().tzinfo is UTC
