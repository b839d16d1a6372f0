import socket
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime

import pytest

from thanksio_connect.client.deadline import LATE_READS, Exchange
from thanksio_connect.client.transport import Response, Transport, TransportConfig, load_json, parse_retry_after
from thanksio_connect.exceptions import ThanksIOConfigurationError

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.compliance("RFC 9110", "10.2.3")
@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("17", 17),
        (" 17 ", 17),
        ("3600", 3600),
        ("3601", 3600),
        ("9" * 5000, 3600),
        ("0" * 20 + "5", 5),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90),
        (format_datetime(NOW - timedelta(seconds=90), usegmt=True), 0),
        (format_datetime(NOW + timedelta(days=9), usegmt=True), 3600),
        (format_datetime((NOW + timedelta(seconds=90)).astimezone(timezone(timedelta(hours=5)))), 90),
        ("Sun, 01 Mar 2026 12:01:30 -0000", 90),
        ("Sunday, 01-Mar-26 12:01:30 GMT", 90),
        ("Sun Mar  1 12:01:30 2026", 90),
    ],
)
def test_retry_after(value, seconds):
    assert parse_retry_after(value, now=NOW) == seconds


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        " ",
        "soon",
        "-5",
        "1.5",
        "5, 10",
        "٣",
        "1e3",
        "Sun, 99 Mar 2026 12:01:30 GMT",
        "nan",
        "inf",
        "\x00",
        "Sun, 01 Mar 99999 12:00:00 GMT",
        "Sun, 01 Mar 2026 12:01:30 +99999999999",
    ],
)
def test_retry_after_without_sense_is_none(value):
    assert parse_retry_after(value, now=NOW) is None


def test_response_is_masked():
    response = Response(200, {"Set-Cookie": "topsecret"}, b"topsecret")
    assert "topsecret" not in f"{response!r} {response}"


@pytest.mark.parametrize("body", [b"", b"topsecret", b"\xff", b"\xef\xbb\xbf", b"[" * 200_000, b"1" * 5000])
def test_what_is_no_json_raises_nothing(body):
    assert load_json(body) == (None, False)


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_json_is_utf_8_with_or_without_a_byte_order_mark(mark):
    assert load_json(f'{mark}{{"a": "é"}}'.encode()) == ({"a": "é"}, True)


def test_total_deadline_is_both_timeouts():
    assert TransportConfig(connect_timeout_seconds=5, read_timeout_seconds=30).total_deadline_seconds == 35
    assert TransportConfig().max_body_bytes == 1024 * 1024


def test_after_the_deadline_only_what_has_come_is_read():
    """A process that slept finds the answer in its socket; a server that goes on dripping is cut all the same."""
    exchange = Exchange(total_seconds=-1, read_timeout_seconds=30, max_bytes=100)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.send(b"x" * 100)
        for _read in range(LATE_READS):
            exchange.before_receiving(ours)
            assert ours.recv(1) == b"x"
        with pytest.raises(TimeoutError):
            exchange.before_receiving(ours)
        exchange = Exchange(total_seconds=-1, read_timeout_seconds=30, max_bytes=100)
        ours.recv(1000)
        exchange.before_receiving(ours)
        with pytest.raises(TimeoutError):
            ours.recv(1)


@pytest.mark.parametrize("url", ["http://dashboard.thanks.io/x", "ftp://localhost/x", "/x", "https://a:b@thanks.io/"])
def test_insecure_url_is_refused(url):
    with pytest.raises(ThanksIOConfigurationError, match="https") as caught:
        Transport().send("POST", url, form={"a": "b"})
    assert caught.value.code == "insecure_url"


@pytest.mark.parametrize(("json", "error"), [({"a": object()}, TypeError), ([float("nan")], ValueError)])
def test_what_is_no_json_is_the_callers_mistake(json, error):
    with pytest.raises(error):
        Transport().send("POST", "https://thanks.invalid/", json=json)
