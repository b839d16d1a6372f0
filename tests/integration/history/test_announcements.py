"""A renewal for which thanks.io was asked ends in one signal with outcome and duration; the pages' receivers."""

import contextlib
import re
import textwrap
from pathlib import Path

import pytest
from django.db import OperationalError

from thanksio_connect import signals
from thanksio_connect.exceptions import ThanksIOConfigurationError, ThanksIOError
from thanksio_connect.models import ThanksIOConnection
from thanksio_connect.refresh import statements

pytestmark = pytest.mark.django_db(transaction=True)
PAGE = (Path(__file__).resolve().parents[3] / "docs" / "monitoring.md").read_text(encoding="utf-8")
NAMES = ("tokens_refreshed", "refresh_failed", "reconnect_required")


@pytest.fixture
def heard():
    """(signal, outcome) of each announcement."""
    found, receivers = [], []
    for name in NAMES:

        def receive(sender, connection, outcome, duration_seconds, signal, name=name, **kwargs):
            assert sender is ThanksIOConnection
            assert 0 <= duration_seconds < 10
            assert not kwargs
            found.append((name, outcome))

        receivers.append(receive)
        getattr(signals, name).connect(receive)
    yield found
    for name, receive in zip(NAMES, receivers, strict=True):
        getattr(signals, name).disconnect(receive)


@pytest.fixture
def connection(thanksio, transactional_db):
    from tests.integration.browsing import make_user

    return thanksio.connect(make_user(), expires_in=-1)


def renew(connection):
    with contextlib.suppress(ThanksIOError, ThanksIOConfigurationError, OperationalError):
        connection.refresh(force=True)


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ({}, ("tokens_refreshed", "refreshed")),
        ({"lose_reply": "before", "times": 1}, ("tokens_refreshed", "refreshed")),  # sent once more
        ({"status": 500}, ("refresh_failed", "server_error")),
        ({"status": 429, "retry_after": 9}, ("refresh_failed", "throttled")),
        ({"refuse": "invalid_client"}, ("refresh_failed", "invalid_client")),
        ({"refuse": "undecryptable"}, ("refresh_failed", "undecryptable")),
        ({"refuse": "client_mismatch"}, ("refresh_failed", "other_client")),
        ({"refuse": "invalid_grant"}, ("reconnect_required", "invalid_grant")),
    ],
    ids=str,
)
def test_one_signal_an_ended_renewal(thanksio, connection, heard, fault, expected):
    if fault:
        thanksio.next_token(**fault)
    renew(connection)
    assert heard == [expected]


def test_what_was_not_sent_for_want_of_a_key_is_no_renewal(connection, heard, settings):
    settings.FIELD_ENCRYPTION_KEY = "x"
    renew(connection)
    assert heard == []


def test_a_pair_that_could_not_be_stored(connection, heard, monkeypatch):
    def fail(*args, **kwargs):
        raise OperationalError

    monkeypatch.setattr(statements, "store", fail)
    monkeypatch.setattr("thanksio_connect.database.sessions.STORE_BUDGET_SECONDS", 0.1)
    renew(connection)
    assert heard == [("refresh_failed", "database")]


def block(word):
    [code] = [each for each in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if word in each]
    return textwrap.dedent(code)


@pytest.fixture
def receivers():
    """Runs a block of the page; its receivers are gone afterwards."""
    before = {name: getattr(signals, name).receivers[:] for name in NAMES}
    names = []

    def run(code, **given):
        namespace = dict(given)
        exec(compile(code, "docs/monitoring.md", "exec"), namespace)
        names.append(namespace)  # a receiver is held weakly
        return namespace

    yield run
    for name, held in before.items():
        getattr(signals, name).receivers[:] = held
        getattr(signals, name).sender_receivers_cache.clear()


def test_the_pages_receiver_for_prometheus(thanksio, connection, receivers):
    client = pytest.importorskip("prometheus_client")
    receivers(block("import Histogram"))
    renew(connection)
    thanksio.next_token(status=500)
    renew(connection)
    text = client.generate_latest().decode()
    assert 'thanksio_renewal_seconds_count{outcome="refreshed"} 1.0' in text
    assert 'thanksio_renewal_seconds_count{outcome="server_error"} 1.0' in text


def test_the_pages_receiver_for_opentelemetry(thanksio, connection, receivers):
    pytest.importorskip("opentelemetry.sdk")
    from opentelemetry import metrics
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader

    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    metrics.set_meter_provider(provider)
    try:
        receivers(block("opentelemetry"))
        renew(connection)
        [metric] = reader.get_metrics_data().resource_metrics[0].scope_metrics[0].metrics
        [point] = metric.data.data_points
        assert (metric.name, metric.unit, point.count) == ("thanksio.renewal.duration", "s", 1)
        assert point.attributes == {"outcome": "refreshed"}
    finally:
        provider.shutdown()
