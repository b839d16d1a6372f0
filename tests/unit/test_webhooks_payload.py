"""What a webhook's body means: the documented events, the older shape of scans, and whatever else may come."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.integration.openapi import DOCUMENT, document
from thanksio_connect.testing.webhooks import DATA
from thanksio_connect.webhooks import (
    OrderItemDelivered,
    OrderItemEvent,
    OrderItemStatusUpdate,
    OrderStatusUpdate,
    ScanUpdate,
    WebhookEvent,
)
from thanksio_connect.webhooks.payload import KNOWN_TYPES, MalformedPayload, parse

CLASSES = {
    "order.status_update": OrderStatusUpdate,
    "order_item.status_update": OrderItemStatusUpdate,
    "order_item.delivered": OrderItemDelivered,
    "scans.scan_update": ScanUpdate,
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=20), inner, max_size=4),
    max_leaves=12,
)
NAMES = st.sampled_from(sorted({name for data in DATA.values() for name in data}))


def body_of(event_type, data, **more):
    envelope = {"event_type": event_type, "event_id": "7199e4e0", "data": data, "timestamp": 1750818235, **more}
    return json.dumps(envelope).encode()


@pytest.mark.parametrize("event_type", KNOWN_TYPES)
def test_a_documented_event_is_of_its_class(event_type):
    event = parse(body_of(event_type, DATA[event_type]))
    assert type(event) is CLASSES[event_type]
    assert event.event_id == "7199e4e0"
    assert event.sent_at == datetime(2025, 6, 25, 2, 23, 55, tzinfo=UTC)
    assert event.data == DATA[event_type]


def test_the_fields_of_an_orders_event():
    data = DATA["order.status_update"] | {"order.metadata": {"invoice": "17"}}
    event = parse(body_of("order.status_update", data))
    assert (event.order_id, event.previous_status, event.current_status) == (42399, "reviewing", "processing")
    assert (event.display_status, event.metadata) == ("Printing", {"invoice": "17"})


def test_the_fields_of_a_pieces_event():
    data = DATA["order_item.delivered"] | {"order_item.failure": "moved", "order.sub_account_id": "5"}
    event = parse(body_of("order_item.delivered", data))
    assert isinstance(event, OrderItemEvent)
    assert (event.order_item_id, event.order_id, event.sub_account_id, event.scans) == (2668662, 42399, 5, None)
    assert (event.previous_status, event.current_status, event.order_status) == ("Shipped", "Delivered", "Printing")
    assert (event.delivery_date, event.failure) == ("2025-07-05", "moved")
    assert event.recipient["name"] == "John Doe"
    assert event.recipient["custom_10"] == "Example Custom 10"


def test_the_older_shape_of_a_scan_is_a_scan():
    event = parse(body_of("order_item.status_update", DATA["scans.scan_update"]))
    assert type(event) is ScanUpdate
    assert (event.event_type, event.scans) == ("order_item.status_update", 1)
    assert event.qrcode_url == "https://www.google.com"


@pytest.mark.parametrize("url", [None, ""])
def test_a_status_update_without_a_scanned_url_is_none(url):
    event = parse(body_of("order_item.status_update", DATA["order_item.status_update"] | {"qrcode.url": url}))
    assert type(event) is OrderItemStatusUpdate


@pytest.mark.parametrize(
    ("event_type", "data"),
    [
        ("order.paused", {"order.id": 7}),
        ("order.status_update", {}),
        ("order.status_update", {"order.id": None}),
        ("order.status_update", {"order.id": True}),
        ("order.status_update", {"order.id": -1}),
        ("order.status_update", {"order.id": "1/../2"}),
        ("order.status_update", {"order.id": "9" * 5000}),
        ("order_item.delivered", {"order.id": 7}),
        ("scans.scan_update", [1]),
        ("test", None),
    ],
)
def test_what_is_not_known_here_is_a_plain_event(event_type, data):
    event = parse(body_of(event_type, data))
    assert type(event) is WebhookEvent
    assert event.event_type == event_type
    assert event.data == (data if isinstance(data, dict) else {})
    with pytest.raises(LookupError):
        event.fetch()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b'"text"',
        b"{",
        b"\xff\xfe\x00",
        b"{}",
        b'{"event_type": ""}',
        b'{"event_type": 5}',
        b'{"event_type": "%s"}' % (b"x" * 201),
        b'{"event_type": "test", "n": %s}' % (b"9" * 5000),
        b'{"event_type": "test", "data": %s' % (b"[" * 100_000),
    ],
    ids=range(12),
)
def test_what_is_no_event_is_refused_and_not_repeated(body):
    with pytest.raises(MalformedPayload) as caught:
        parse(body)
    assert caught.value.__cause__ is caught.value.__context__ is None


def test_an_event_without_an_id_is_known_by_its_body():
    first, again, other = (parse(b'{"event_type": "test"%s}' % more) for more in (b"", b"", b', "a": 1'))
    assert first.event_id == again.event_id != other.event_id
    assert first.event_id.startswith("sha256:")


def test_ids_that_begin_alike_are_not_the_same():
    first, other = (parse(body_of("test", {}, event_id="x" * 5000 + end)) for end in "ab")
    assert first.event_id != other.event_id


def test_an_event_shows_no_personal_data():
    data = DATA["order_item.delivered"] | {"order_item.failure": "gone", "order.metadata": {"who": "Secret"}}
    shown = repr(parse(body_of("order_item.delivered", data)))
    assert "order_item_id=2668662" in shown
    for word in ("John", "Fake", "12345", "Custom", "gone", "Secret"):
        assert word not in shown


@pytest.mark.parametrize("item_id", [2668662, "2668662"])
def test_a_piece_is_found_whether_its_id_is_a_number_or_text(item_id):
    orders = SimpleNamespace(items=lambda order_id, per_page: [{"id": 1}, {"id": item_id}])
    connection = SimpleNamespace(api=SimpleNamespace(orders=orders))
    event = parse(body_of("order_item.delivered", DATA["order_item.delivered"]), connection)
    assert event.fetch() == {"id": item_id}


def test_events_are_values():
    body = body_of("order_item.delivered", DATA["order_item.delivered"])
    assert parse(body, "one connection") == parse(body, "another")
    assert len({parse(body), parse(body)}) == 1


@given(st.binary(max_size=200))
def test_no_body_makes_it_fail_otherwise(body):
    with contextlib.suppress(MalformedPayload):
        assert isinstance(parse(body), WebhookEvent)


@given(st.sampled_from([*KNOWN_TYPES, "other"]), st.dictionaries(NAMES | st.text(max_size=9), JSON), JSON, JSON)
def test_whatever_is_in_an_event_the_fields_have_their_types(event_type, data, event_id, timestamp):
    body = body_of(event_type, data, event_id=event_id, timestamp=timestamp)
    event = parse(body)
    assert event == parse(body) or "NaN" in body.decode()
    assert isinstance(event.event_id, str)
    assert event.event_id
    assert event.sent_at is None or event.sent_at.tzinfo is not None
    repr(event)
    hash(event)
    if isinstance(event, OrderItemEvent | OrderStatusUpdate):
        assert 0 <= event.order_id < 10**18
        assert isinstance(event.current_status, str)
        assert event.metadata is None or isinstance(event.metadata, dict)


@pytest.mark.skipif(not DOCUMENT.exists(), reason="thanks.io's OpenAPI document is not here")
def test_the_fakes_events_have_the_documents_names():
    for each in document()["webhooks"].values():
        example = each["post"]["requestBody"]["content"]["application/json"]["example"]
        assert set(DATA[example["event_type"]]) == set(example["data"])
        assert type(parse(json.dumps(example).encode())) is CLASSES[example["event_type"]]
