"""Moments in the database: the same with zones and without, in any zone, under any database's TIME_ZONE."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.models import F, Max, Min, Value
from django.db.models.functions import Coalesce
from django.test import override_settings

from tests.integration.stored import connect
from thanksio_connect.models import ConnectionTokens

pytestmark = pytest.mark.django_db
# New York has the hour from 1 to 2 twice on that day, and the one from 2 to 3 on 8 March 2026 never.
TWICE = [datetime(2026, 11, 1, hour, 30, 0, 123456, tzinfo=UTC) for hour in (4, 5, 6, 7)]
NEVER = datetime(2026, 3, 8, 7, 30, tzinfo=UTC)
MOMENTS = [*TWICE, NEVER, datetime(2026, 7, 1, 12, tzinfo=UTC)]
NEW_YORK = ZoneInfo("America/New_York")


@pytest.fixture(params=[True, False], ids=["USE_TZ", "no zones"])
def use_tz(request: pytest.FixtureRequest, settings: Any) -> Any:
    settings.USE_TZ = request.param
    return request.param


@pytest.fixture(params=["America/New_York", "UTC", "Pacific/Kiritimati"])
def zone(request: pytest.FixtureRequest) -> Any:
    with override_settings(TIME_ZONE=request.param):  # which also tells the database's session
        yield request.param


@pytest.fixture(params=[None, "Europe/Berlin"], ids=["", "TIME_ZONE of the database"])
def database_zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """PostgreSQL's session has that zone, and Django converts its own columns by it."""
    monkeypatch.setitem(connection.settings_dict, "TIME_ZONE", request.param)
    forget_zone()
    yield request.param
    monkeypatch.undo()
    forget_zone()


def forget_zone() -> None:
    for name in ("timezone", "timezone_name"):
        vars(connection).pop(name, None)
    if connection.vendor == "postgresql":
        connection.ensure_timezone()


def rows() -> Any:
    return ConnectionTokens.objects


def write(value: Any) -> None:
    rows().update(expires_at=value)


@pytest.mark.usefixtures("use_tz", "zone", "database_zone")
class TestRoundTrip:
    """What is written is read, by each way."""

    def test_by_each_way(self) -> None:
        tokens = connect().tokens
        for moment in MOMENTS:
            tokens.expires_at = moment.astimezone(NEW_YORK)
            tokens.save()
            assert rows().get().expires_at == moment
            assert rows().get().expires_at.tzinfo is UTC
            write(None)
            write(moment)
            assert rows().values_list("expires_at", flat=True).get() == moment
            tokens.expires_at = moment + timedelta(microseconds=1)
            rows().bulk_update([tokens], ["expires_at"])
            assert rows().get().expires_at == moment + timedelta(microseconds=1)
            assert rows().aggregate(a=Max("expires_at"), b=Min("expires_at")) == dict.fromkeys("ab", tokens.expires_at)
            assert rows().annotate(x=Coalesce("last_failed_at", "expires_at")).get().x == tokens.expires_at
            rows().update(
                last_failed_at=F("expires_at"), expires_at=Value(moment, rows().model._meta.get_field("expires_at"))
            )
            assert rows().values_list("last_failed_at", "expires_at").get() == (
                moment + timedelta(microseconds=1),
                moment,
            )

    def test_the_hour_that_comes_twice_is_two_hours(self) -> None:
        for number, moment in enumerate(TWICE):
            connect(f"user-{number}")
            rows().filter(connection__user__username=f"user-{number}").update(expires_at=moment)
        for number, moment in enumerate(TWICE):
            for form in (moment, moment.astimezone(NEW_YORK), moment.isoformat()):
                assert rows().filter(expires_at=form).count() == 1
                assert rows().filter(expires_at__lt=form).count() == number
                assert rows().filter(expires_at__lte=form).count() == number + 1
                assert rows().filter(expires_at__in=[form]).count() == 1
                assert rows().filter(expires_at__range=(form, TWICE[-1])).count() == 4 - number
        assert list(rows().order_by("-expires_at").values_list("expires_at", flat=True)) == TWICE[::-1]
        assert rows().filter(expires_at__gt=F("expires_at")).count() == 0

    def test_a_naive_value_is_the_projects(self, zone: str) -> None:
        connect()
        naive = datetime(2026, 7, 1, 12)
        write(naive)
        moment = naive.replace(tzinfo=ZoneInfo(zone))
        assert rows().get().expires_at == moment
        assert rows().filter(expires_at=naive, expires_at__lte=moment).count() == 1
        assert rows().filter(expires_at__lt=naive).count() == 0

    @pytest.mark.parametrize("form", ["json", "xml", "yaml"])
    def test_a_dump(self, tmp_path: Any, form: str) -> None:
        connect()
        moment = TWICE[1].replace(microsecond=123000)
        write(moment)
        fixture = tmp_path / f"dump.{form}"
        call_command("dumpdata", "thanksio_connect.ConnectionTokens", output=str(fixture), format=form, verbosity=0)
        write(None)
        call_command("loaddata", str(fixture), verbosity=0)
        assert rows().get().expires_at == moment


def test_what_one_project_wrote_another_reads(settings: Any) -> None:
    """``USE_TZ`` and ``TIME_ZONE`` may change while the rows stay."""
    connect()
    write(TWICE[1])
    for use_tz in (True, False):
        for zone in ("America/New_York", "Pacific/Kiritimati"):
            with override_settings(USE_TZ=use_tz, TIME_ZONE=zone):
                assert rows().get().expires_at == TWICE[1]
                assert rows().filter(expires_at=TWICE[1]).count() == 1


def test_the_column_has_no_zone() -> None:
    connect()
    write(TWICE[1])
    with connection.cursor() as cursor:
        cursor.execute("SELECT expires_at FROM thanksio_connect_connectiontokens")
        [stored] = cursor.fetchone()
    assert str(stored) == "2026-11-01 05:30:00.123456"
