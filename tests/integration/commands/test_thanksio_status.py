"""``thanksio_status``: for a person, as JSON, and as OpenMetrics that the real parser reads."""

import io
import json
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.test.utils import CaptureQueriesContext

from tests.integration.browsing import make_user
from thanksio_connect.client.tokens import TokenSet
from thanksio_connect.fields import utc_now
from thanksio_connect.flows.census import take_census
from thanksio_connect.models import ConnectionTokens, Sweep, ThanksIOConnection

pytestmark = pytest.mark.django_db
CODE = 'odd "code"\\'


def status(*args):
    out = io.StringIO()
    call_command("thanksio_status", *args, stdout=out)
    return out.getvalue()


def connect(name, **values):
    tokens = ThanksIOConnection.objects.connect(make_user(name), TokenSet("a", "r", expires_in=3600)).tokens
    ConnectionTokens._base_manager.filter(pk=tokens.pk).update(**values)


@pytest.fixture
def fleet():
    now = utc_now()
    connect("fine")
    connect("due", next_refresh_at=now - timedelta(minutes=5))
    connect("overdue", next_refresh_at=now - timedelta(hours=2), expires_at=now - timedelta(hours=1))
    connect("failing", last_error_code="timeout", failure_count=2)
    connect("odd", last_error_code=CODE, failure_count=2)
    connect("dead", status="reconnect_required", last_error_code="invalid_grant")
    ThanksIOConnection.objects.create(user=make_user("bare"))
    Sweep.objects.create(
        started_at=now - timedelta(minutes=9), finished_at=now, counts=json.dumps({"refreshed": 3, "stopped_by": ""})
    )


def test_the_counts(fleet):
    census = take_census()
    counts = (census.connections, census.connected, census.reconnect_required, census.due, census.overdue)
    assert (*counts, census.failing, census.expired) == (7, 5, 2, 2, 1, 2, 1)
    assert dict(census.errors) == {"invalid_grant": 1, CODE: 1, "no_tokens": 1, "timeout": 1}
    assert census.seconds_since_sweep() < 60


def test_the_text(fleet):
    text = status()
    assert "connections: 7\nconnected: 5\nneed their owner: 2\ndue: 2\ndue for more than an hour: 1\n" in text
    assert "last sweep: 20" in text


def test_json(fleet):
    told = json.loads(status("--json"))
    assert told["connections"] == 7
    assert told["sweep"]["counts"]["refreshed"] == 3


def test_openmetrics_is_what_the_real_parser_reads(fleet):
    parser = pytest.importorskip("prometheus_client.openmetrics.parser")
    text = status("--openmetrics")
    assert text.endswith("# EOF\n")
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in parser.text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples["thanksio_connections", "connected"] == 5
    assert samples["thanksio_connections_overdue",] == 1
    assert samples["thanksio_connections_last_error", CODE] == 1
    assert samples["thanksio_sweep_connections", "refreshed"] == 3
    assert ("thanksio_sweep_connections", "stopped_by") not in samples
    assert samples["thanksio_sweep_finished_timestamp_seconds",] == pytest.approx(utc_now().timestamp(), abs=60)
    from prometheus_client.parser import text_string_to_metric_families  # what a textfile collector reads

    assert {family.name for family in text_string_to_metric_families(text)} >= {"thanksio_connections"}


@pytest.mark.parametrize("form", [(), ("--json",), ("--openmetrics",)])
def test_an_empty_table(form):
    assert status(*form)


def test_the_number_of_queries_is_constant(django_assert_num_queries, fleet):
    from django.db import connection

    with CaptureQueriesContext(connection) as few:
        status()
    for number in range(20):
        connect(f"more{number}", last_error_code=f"code{number}")
    with CaptureQueriesContext(connection) as many:
        status("--openmetrics")
    assert len(many) == len(few)
    assert sum("SELECT" in query["sql"] for query in many) == 4


def test_a_sweep_that_runs_and_a_wait(fleet):
    now = utc_now()
    Sweep.objects.update(
        lease_id="x",
        lease_expires_at=now + timedelta(seconds=30),
        holder="web-1:42",
        wait_until=now + timedelta(hours=1),
    )
    text = status()
    assert "(web-1:42)" in text
    assert "thanks.io asked to wait until: 20" in text
