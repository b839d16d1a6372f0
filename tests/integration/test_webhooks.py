"""Webhooks end to end: registered through the API, sent over HTTP by the fake, received by a running site."""

from __future__ import annotations

import json
import logging
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest
from asgiref.sync import async_to_sync
from cryptography.fernet import Fernet
from django.db import connection as database
from django.db import connections, transaction
from django.test import AsyncClient
from django.views.debug import ExceptionReporter

from tests.settings import DATABASE
from thanksio_connect import signals
from thanksio_connect.exceptions import (
    Forbidden,
    NotFound,
    ReconnectRequired,
    ThanksIOConfigurationError,
    Unauthorized,
)
from thanksio_connect.fields import utc_now
from thanksio_connect.flows import webhooks as flow
from thanksio_connect.flows.disconnect import disconnect
from thanksio_connect.flows.old_events import WEBHOOKS_KEPT_FOR, delete_old_events
from thanksio_connect.flows.reencrypt import reencrypt_all
from thanksio_connect.models import ConnectionTokens, ReceivedWebhook, ThanksIOConnection
from thanksio_connect.testing import FakeThanksIO
from thanksio_connect.views.webhooks import MAX_BYTES
from thanksio_connect.webhooks import OrderItemStatusUpdate, OrderStatusUpdate, ScanUpdate, WebhookEvent

pytestmark = pytest.mark.django_db(transaction=True)
several_sessions = pytest.mark.skipif(DATABASE == "sqlite", reason="SQLite in memory is one session for all threads")
TYPES = ["order.status_update", "scans.scan_update"]


@pytest.fixture
def site(live_server, settings):
    """A running site with the place for webhooks."""
    settings.ROOT_URLCONF = "tests.webhook_project_urls"
    settings.THANKSIO_WEBHOOKS_URL = f"{live_server.url}/thanksio/webhooks/"
    return live_server.url


@pytest.fixture
def thanksio(site):
    with FakeThanksIO() as server, server.override_settings():
        yield server


@pytest.fixture
def connection(thanksio, django_user_model):
    return thanksio.connect(django_user_model.objects.create_user("ann"))


@pytest.fixture
def heard():
    """What the project is told."""
    events = []

    def hear(sender, connection, event, **kwargs):
        events.append((sender, connection, event))

    signals.webhook_received.connect(hear)
    yield events
    signals.webhook_received.disconnect(hear)


def registered(thanksio, *, of=None):
    rows = thanksio.api.account.rows["webhooks"]
    return [row for row in rows if of is None or str(row["user_id"]) == str(of)]


def changes(thanksio):
    return [(record.method, record.path.rpartition("/")[2]) for record in thanksio.requests if record.method != "GET"]


def post(url, body, **headers):
    """Return the answer's status, as any client sees it."""
    parts = urlsplit(url)
    client = HTTPConnection(parts.netloc, timeout=10)
    try:
        client.request("POST", parts.path, body, {"Content-Type": "application/json", **headers})
        return client.getresponse().status
    finally:
        client.close()


def arrived(events, count):
    """Wait: the project is told after the answer. What the fake sends has been told when it returns."""
    deadline = time.monotonic() + 10
    while len(events) < count and time.monotonic() < deadline:
        time.sleep(0.01)
    return len(events) == count


class TestRegistration:
    def test_each_type_is_registered_at_the_connections_own_address(self, thanksio, connection, site):
        connection.receive_webhooks(TYPES)
        rows = registered(thanksio)
        assert [(row["type"], row["verb"]) for row in rows] == [(kind, "post") for kind in TYPES]
        [url] = {row["url"] for row in rows}
        token = re.fullmatch(rf"{site}/thanksio/webhooks/([\w-]{{43}})/", url)[1]
        assert len(token) * 6 >= 256
        tokens = ConnectionTokens.objects.get()
        assert token not in f"{tokens.webhook_digest} {tokens.webhook_token} {vars(tokens)}"
        assert tokens.webhook_token.reveal() == token

    def test_the_same_again_changes_nothing(self, thanksio, connection):
        connection.receive_webhooks(TYPES)
        before = changes(thanksio)
        connection.receive_webhooks(TYPES)
        ThanksIOConnection.objects.get().receive_webhooks(reversed(TYPES))
        assert changes(thanksio) == before

    def test_what_is_no_longer_wanted_goes_and_others_stay(self, thanksio, connection):
        theirs = connection.api.webhooks.create(url="https://crm.example/in/", type="scans.scan_update", verb="get")
        connection.receive_webhooks(TYPES)
        connection.receive_webhooks(["order_item.delivered", TYPES[0]])
        assert {row["type"] for row in registered(thanksio) if row["id"] != theirs["id"]} == {
            "order_item.delivered",
            TYPES[0],
        }
        connection.receive_webhooks([])
        assert [row["id"] for row in registered(thanksio)] == [theirs["id"]]

    def test_a_site_that_has_moved_keeps_its_webhooks(self, thanksio, connection, site):
        connection.receive_webhooks(TYPES, url="https://old.example/hooks")
        ids = [row["id"] for row in registered(thanksio)]
        connection.receive_webhooks(TYPES)
        assert [row["id"] for row in registered(thanksio)] == ids
        assert all(row["url"].startswith(site) for row in registered(thanksio))

    def test_doubles_and_webhooks_of_one_mailing_list_are_put_right(self, thanksio, connection):
        connection.receive_webhooks(TYPES[:1])
        [right] = registered(thanksio)
        connection.api.webhooks.create(url=right["url"], type=TYPES[0], verb="post")
        connection.api.webhooks.create(url=right["url"], type=TYPES[1], verb="post", mailing_list_id=3)
        connection.receive_webhooks(TYPES)
        rows = registered(thanksio)
        assert sorted((row["type"], row["mailing_list_id"]) for row in rows) == [(kind, None) for kind in TYPES]
        assert right in rows

    def test_a_webhook_that_is_deleted_meanwhile_is_made_anew(self, thanksio, connection):
        connection.receive_webhooks(TYPES[:1], url="https://old.example/hooks")
        thanksio.next_api("/webhooks/", status=404, body={"message": "Not Found"})
        connection.receive_webhooks(TYPES[:1])
        assert changes(thanksio)[-1] == ("POST", "webhooks")

    def test_two_users_of_one_account_do_not_touch_each_others(self, thanksio, django_user_model):
        users = [django_user_model.objects.create_user(name) for name in ("bob", "eve")]
        both = [thanksio.connect(user, user_id=7) for user in users]
        for each in both:
            each.receive_webhooks(TYPES[:1])
        assert len({row["url"] for row in registered(thanksio)}) == 2
        both[0].receive_webhooks([])
        assert len(registered(thanksio)) == 1

    @several_sessions
    def test_two_workers_at_once_use_one_address(self, thanksio, connection):
        barrier = threading.Barrier(4)

        def register():
            mine = ThanksIOConnection.objects.get()
            barrier.wait()
            try:
                mine.receive_webhooks(TYPES)
            finally:
                connections.close_all()

        with ThreadPoolExecutor(4) as workers:
            [each.result() for each in [workers.submit(register) for _ in range(4)]]
        assert len({row["url"] for row in registered(thanksio)}) == 1
        connection.receive_webhooks(TYPES)
        assert len(registered(thanksio)) == len(TYPES)

    def test_the_address_outlives_the_callers_rollback(self, thanksio, connection, heard):
        if database.vendor == "sqlite":
            pytest.skip("SQLite has one writer: there the rollback takes the address back, and the next call makes one")
        with transaction.atomic():
            connection.receive_webhooks(TYPES)
            transaction.set_rollback(True)
        assert thanksio.send_webhook() == [200]
        assert len(heard) == 1

    def test_in_a_transaction_that_has_made_the_connection(self, thanksio, django_user_model):
        with transaction.atomic():
            connection = thanksio.connect(django_user_model.objects.create_user("bob"))
            connection.receive_webhooks(TYPES[:1])
        assert thanksio.send_webhook() == [200]

    def test_a_lost_key_costs_the_address_only(self, thanksio, connection, settings):
        connection.receive_webhooks(TYPES)
        ids, urls = ([row[name] for row in registered(thanksio)] for name in ("id", "url"))
        connection.tokens  # noqa: B018 - loaded: its token lives on in memory
        settings.FIELD_ENCRYPTION_KEY = Fernet.generate_key().decode()
        thanksio.connect(connection.user)
        ThanksIOConnection.objects.get().receive_webhooks(TYPES)
        assert [row["id"] for row in registered(thanksio)] == ids
        assert not {row["url"] for row in registered(thanksio)} & set(urls)
        assert thanksio.send_webhook() == [200]

    def test_a_new_key_takes_the_address_along(self, thanksio, connection, settings):
        connection.receive_webhooks(TYPES)
        rows, new = [dict(row) for row in registered(thanksio)], Fernet.generate_key().decode()
        settings.FIELD_ENCRYPTION_KEY = [new, settings.FIELD_ENCRYPTION_KEY]
        assert reencrypt_all().reencrypted == 1
        settings.FIELD_ENCRYPTION_KEY = new
        ThanksIOConnection.objects.get().receive_webhooks(TYPES)
        assert registered(thanksio) == rows

    def test_what_can_not_be_registered_is_said(self, thanksio, connection, settings):
        with pytest.raises(ValueError, match=r"no webhook of the type 'order\.paused'"):
            connection.receive_webhooks(["order.paused"])
        for url in ("http://shop.example/hooks/", "shop.example/hooks/"):
            with pytest.raises(ValueError, match="url must be an absolute https"):
                connection.receive_webhooks(TYPES, url=url)
        thanksio.next_api("/webhooks", status=403, body={"message": "Unauthorized"})
        with pytest.raises(Forbidden):
            connection.receive_webhooks(TYPES)
        del settings.THANKSIO_WEBHOOKS_URL
        with pytest.raises(ThanksIOConfigurationError, match="THANKSIO_WEBHOOKS_URL is not set"):
            connection.receive_webhooks(TYPES)
        ConnectionTokens.objects.all().delete()
        with pytest.raises(ReconnectRequired):
            ThanksIOConnection.objects.get().receive_webhooks(TYPES, url="https://shop.example/")
        assert registered(thanksio) == []


class TestReceiving:
    def test_an_event_reaches_the_project(self, thanksio, connection, heard):
        connection.receive_webhooks(TYPES)
        assert thanksio.send_webhook("order.status_update", {"order.id": 17}) == [200]
        [(sender, told, event)] = heard
        assert (sender, told) == (ThanksIOConnection, connection)
        assert isinstance(event, OrderStatusUpdate)
        assert (event.order_id, event.connection) == (17, connection)
        assert registered(thanksio)[0]["invoke_count"] == 1

    def test_only_the_users_own_events(self, thanksio, connection, heard, django_user_model):
        other = thanksio.connect(django_user_model.objects.create_user("bob"))
        for each in (connection, other):
            each.receive_webhooks(TYPES)
        assert thanksio.send_webhook(user_id=other.user_id) == [200]
        assert [told for _sender, told, _event in heard] == [other]
        assert thanksio.send_webhook("order_item.delivered") == []

    def test_the_same_event_again_is_told_once(self, thanksio, connection, heard):
        connection.receive_webhooks(TYPES)
        assert [thanksio.send_webhook(event_id="one") for _ in range(3)] == [[200]] * 3
        assert thanksio.send_webhook(event_id="ONE") == [200]
        assert [event.event_id for *_, event in heard] == ["one", "ONE"]

    def test_the_same_event_at_two_connections_is_two(self, thanksio, connection, heard, django_user_model):
        other = thanksio.connect(django_user_model.objects.create_user("bob"))
        for each in (connection, other):
            each.receive_webhooks(TYPES)
        assert thanksio.send_webhook(event_id="one") == [200, 200]
        assert {told.pk for _sender, told, _event in heard} == {connection.pk, other.pk}

    @several_sessions
    def test_the_same_event_at_once_is_told_once(self, thanksio, connection, heard):
        connection.receive_webhooks(TYPES)
        with ThreadPoolExecutor(8) as workers:
            sent = [workers.submit(thanksio.send_webhook, event_id="one") for _ in range(8)]
            statuses = [status for each in sent for status in each.result()]
        assert statuses == [200] * 8
        assert len(heard) == 1

    def test_the_answer_does_not_wait_for_the_project(self, thanksio, connection):
        connection.receive_webhooks(TYPES)
        url, told = registered(thanksio)[0]["url"], threading.Event()

        def be_slow(**kwargs):
            time.sleep(1.5)
            told.set()

        signals.webhook_received.connect(be_slow)
        try:
            began = time.monotonic()
            assert post(url, b'{"event_type": "test", "event_id": "1"}') == 200
            assert time.monotonic() - began < 1
            assert not told.is_set()
            assert told.wait(10)
            time.sleep(0.1)  # the site closes its connection
        finally:
            signals.webhook_received.disconnect(be_slow)

    @several_sessions
    def test_a_lock_on_the_connection_does_not_keep_thanksio_waiting(self, thanksio, connection):
        connection.receive_webhooks(TYPES)
        with transaction.atomic():
            ThanksIOConnection.objects.select_for_update().get()
            ConnectionTokens.objects.select_for_update().get()
            began = time.monotonic()
            assert thanksio.send_webhook() == [200]
            assert time.monotonic() - began < 2

    def test_a_receiver_that_raises_harms_nobody(self, thanksio, connection, heard, caplog):
        def fail(**kwargs):
            raise RuntimeError("of the project")

        signals.webhook_received.connect(fail)
        try:
            connection.receive_webhooks(TYPES)
            assert thanksio.send_webhook() == [200]
        finally:
            signals.webhook_received.disconnect(fail)
        assert len(heard) == 1

    def test_unknown_types_and_the_older_scans(self, thanksio, connection, heard):
        connection.receive_webhooks([*TYPES, "order_item.status_update"])
        url = registered(thanksio)[0]["url"]
        scan = {"order_item.id": 1, "order.id": 2, "qrcode.url": "https://shop.example/"}
        assert thanksio.send_webhook("order_item.status_update", scan) == [200]
        assert post(url, b'{"event_type": "order.paused", "event_id": "1", "data": {"order.id": 3}}') == 200
        assert arrived(heard, 2)
        assert [type(event) for *_, event in heard] == [ScanUpdate, WebhookEvent]

    def test_a_reconnect_keeps_the_address_and_a_disconnect_ends_it(self, thanksio, connection, heard):
        connection.receive_webhooks(TYPES)
        again = thanksio.connect(connection.user)
        assert again.tokens.pk != connection.tokens.pk
        assert thanksio.send_webhook() == [200]
        again.disconnect()
        assert thanksio.send_webhook() == [404]
        assert len(heard) == 1
        assert ReceivedWebhook.objects.count() == 0


class TestTheEnd:
    def test_disconnecting_deletes_them_at_thanksio(self, thanksio, connection):
        theirs = connection.api.webhooks.create(url="https://crm.example/in/", type="scans.scan_update", verb="get")
        connection.receive_webhooks(TYPES)
        disconnect(ThanksIOConnection.objects.get())
        assert registered(thanksio) == [theirs]
        assert not ThanksIOConnection.objects.exists()

    def test_a_rollback_deletes_none(self, thanksio, connection):
        connection.receive_webhooks(TYPES)
        with transaction.atomic():
            disconnect(ThanksIOConnection.objects.get())
            transaction.set_rollback(True)
        assert len(registered(thanksio)) == len(TYPES)

    def test_thanksio_is_not_asked_without_webhooks(self, thanksio, connection):
        disconnect(connection)
        assert thanksio.api_requests() == []

    @pytest.mark.parametrize("fault", [{"status": 503}, {"status": 401, "body": {"message": "Unauthenticated."}}])
    def test_a_failure_is_logged_and_harms_nothing(self, thanksio, connection, caplog, fault):
        connection.receive_webhooks(TYPES)
        before = len(thanksio.requests)
        thanksio.next_api("/webhooks", **fault)
        disconnect(connection)
        assert not ThanksIOConnection.objects.exists()
        assert len(thanksio.requests) == before + 1
        events = [each.thanksio_event for each in caplog.records if each.name == "thanksio_connect"]
        assert events == ["webhooks.not_deleted"]


class TestFetch:
    @pytest.fixture
    def order(self, connection):
        people = [{"name": name, "address": "1 Main Street", "postal_code": "12345"} for name in ("Ann", "Bob")]
        return connection.api.send.postcard(message="Hi", recipients=people)

    def test_an_order_is_read_again(self, thanksio, connection, heard, order):
        connection.receive_webhooks(TYPES)
        thanksio.send_webhook("order.status_update", {"order.id": order["id"], "order.current_status": "delivered"})
        [(*_, event)] = heard
        assert event.current_status == "delivered"
        assert event.fetch()["order"]["status"] == "Reviewing"

    def test_a_piece_is_read_again(self, thanksio, connection, heard, order):
        connection.receive_webhooks(["order_item.status_update"])
        item = list(connection.api.orders.items(order["id"]))[1]
        data = {"order.id": order["id"], "order_item.id": item["id"]}
        thanksio.send_webhook("order_item.status_update", data)
        thanksio.send_webhook("order_item.status_update", data | {"order_item.id": 5})
        (*_, event), (*_, false) = heard
        assert isinstance(event, OrderItemStatusUpdate)
        assert event.fetch() == item
        with pytest.raises(NotFound):
            false.fetch()

    def test_a_hint_at_another_accounts_order_opens_nothing(self, thanksio, heard, order, django_user_model):
        other = thanksio.connect(django_user_model.objects.create_user("bob"))
        other.receive_webhooks(TYPES)
        thanksio.send_webhook("order.status_update", {"order.id": order["id"]})
        [(*_, event)] = heard
        with pytest.raises(Unauthorized):
            event.fetch()
        assert other.is_connected


class TestRefusals:
    @pytest.fixture
    def url(self, thanksio, connection):
        connection.receive_webhooks(TYPES)
        return registered(thanksio)[0]["url"]

    @pytest.mark.parametrize(
        ("body", "headers", "status"),
        [
            (b"[]", {}, 400),
            (b"{", {}, 400),
            (b"{}", {}, 400),
            (b'{"event_type": "test"}', {"Content-Type": "text/plain"}, 415),
            (b"event_type=test", {"Content-Type": "application/x-www-form-urlencoded"}, 415),
            (b'{"event_type": "test", "a": "%s"}' % (b"x" * MAX_BYTES), {}, 413),
            (b'{"event_type": "test"}', {"Content-Type": "application/json; charset=utf-8"}, 200),
        ],
        ids=range(7),
    )
    def test_only_json_within_its_size(self, url, heard, body, headers, status):
        assert post(url, body, **headers) == status
        assert arrived(heard, int(status == 200))
        assert ReceivedWebhook.objects.count() == len(heard)

    @pytest.mark.parametrize("method", ["get", "head", "put", "delete", "options"])
    def test_only_post(self, client, url, method):
        response = getattr(client, method)(urlsplit(url).path, secure=False)
        assert (response.status_code, response["Allow"]) == (405, "POST")

    @pytest.mark.parametrize("change", [lambda path: path[:-2] + "/", lambda path: path[:-2] + "./", str.lower])
    def test_any_other_address_is_unknown(self, client, url, change, django_assert_max_num_queries):
        with django_assert_max_num_queries(1):
            response = client.post(change(urlsplit(url).path), {"event_type": "test"}, "application/json")
        assert response.status_code == 404

    def test_an_address_of_nobody_is_not_found_by_rows_without_one(self, client, thanksio, django_user_model):
        thanksio.connect(django_user_model.objects.create_user("bob"))
        assert client.post("/thanksio/webhooks/None/", {"event_type": "test"}, "application/json").status_code == 404

    def test_no_login_no_csrf_no_session(self, url, settings, heard):
        settings.MIDDLEWARE = [*settings.MIDDLEWARE, "django.contrib.auth.middleware.LoginRequiredMiddleware"]
        assert post(url, b'{"event_type": "test"}') == 200
        assert arrived(heard, 1)

    def test_it_takes_two_queries_and_is_off_transactions(self, client, url, settings, django_assert_num_queries):
        settings.DATABASES["default"]["ATOMIC_REQUESTS"] = True
        try:
            with django_assert_num_queries(4):  # find, BEGIN, insert, COMMIT
                response = client.post(urlsplit(url).path, {"event_type": "test"}, "application/json")
        finally:
            settings.DATABASES["default"]["ATOMIC_REQUESTS"] = False
        assert (response.status_code, response["Cache-Control"]) == (200, "no-store")
        assert response.cookies == {}

    def test_a_database_that_fails_is_said_to_thanksio(self, url, heard, caplog):
        with database.schema_editor() as editor:
            editor.delete_model(ReceivedWebhook)
        try:
            assert post(url, b'{"event_type": "test"}') == 503
        finally:
            with database.schema_editor() as editor:
                editor.create_model(ReceivedWebhook)
        [record] = [each for each in caplog.records if each.name == "thanksio_connect" and each.levelname == "ERROR"]
        assert record.thanksio_event == "webhook.not_noted"
        assert heard == []


def test_the_log_has_neither_the_address_nor_personal_data(thanksio, connection, client, caplog, settings):
    caplog.set_level(logging.DEBUG)
    connection.receive_webhooks([*TYPES, "order_item.delivered"])
    path = urlsplit(registered(thanksio)[0]["url"]).path
    caplog.clear()
    thanksio.send_webhook("order_item.delivered", {"order.metadata": {"who": "Secret"}})
    secret = {"event_type": "of Secret", "event_id": "Secret", "data": {"recipient.name": "Secret"}}
    client.post(path, secret, "application/json")
    client.post(path, "{Secret", "application/json")
    client.post(path, {"Secret": "Secret"})
    client.get(path)
    ours = [each for each in caplog.records if hasattr(each, "thanksio_event")]
    assert [(each.thanksio_event, each.levelname) for each in ours] == [
        ("webhook.received", "DEBUG"),
        ("webhook.received", "DEBUG"),
        ("webhook.refused", "WARNING"),
        ("webhook.refused", "WARNING"),
        ("webhook.refused", "INFO"),
    ]
    assert [each.thanksio_type for each in ours[:2]] == ["order_item.delivered", "other"]
    of_the_server = {"django.server", "django.db.backends", "asyncio"}
    text = "\n".join(f"{each.getMessage()} {vars(each)}" for each in caplog.records if each.name not in of_the_server)
    assert "John Doe" not in text
    assert "Secret" not in text
    assert path.split("/")[-2] not in text


async def _posted(path):
    client = AsyncClient()
    answers = [await client.post(path, {"event_type": "test"}, "application/json") for _ in range(2)]
    return [answer.status_code for answer in answers] + [(await client.post(path, "{", "application/json")).status_code]


def test_under_asgi(thanksio, connection, heard, caplog):
    connection.receive_webhooks(TYPES)
    path = urlsplit(registered(thanksio)[0]["url"]).path
    caplog.clear()
    assert async_to_sync(_posted)(path) == [200, 200, 400]
    assert len(heard) == 1
    assert path not in caplog.text
    assert "/thanksio/webhooks/***/" in caplog.text


def test_a_failure_of_ours_reports_no_address(thanksio, connection, client, monkeypatch, caplog):
    connection.receive_webhooks(TYPES)
    path = urlsplit(registered(thanksio)[0]["url"]).path
    monkeypatch.setattr(ReceivedWebhook, "save", lambda *args, **kwargs: 1 / 0)
    body = {"event_type": "test", "data": {"recipient.name": "Secret"}}
    assert client.post(path, body, "application/json").status_code == 503
    [ours] = [each for each in caplog.records if each.name == "thanksio_connect" and each.levelname == "ERROR"]
    assert (ours.thanksio_event, ours.thanksio_code) == ("webhook.not_noted", "ZeroDivisionError")
    [logged] = [each for each in caplog.records if each.name == "django.request"]
    report = ExceptionReporter(logged.request, *(logged.exc_info or (None, None, None)))
    for text in (report.get_traceback_html(), report.get_traceback_text()):
        assert "/thanksio/webhooks/***/" in text
        assert path.split("/")[-2] not in text
        assert "Secret" not in text


def test_a_webhook_that_thanksio_can_not_deliver_is_told_to_the_test(thanksio, connection):
    connection.receive_webhooks(TYPES[:1], url="http://127.0.0.1:9/")
    with pytest.raises(ConnectionRefusedError):
        thanksio.send_webhook()


class TestRetention:
    def test_old_rows_go_with_the_sweep(self, connection):
        old = ReceivedWebhook(connection=connection, event_digest="a", at=utc_now() - WEBHOOKS_KEPT_FOR)
        new = ReceivedWebhook(connection=connection, event_digest="b")
        ReceivedWebhook.objects.bulk_create([old, new])
        delete_old_events()
        assert [row.event_digest for row in ReceivedWebhook.objects.all()] == ["b"]

    def test_a_connections_rows_are_bounded(self, thanksio, connection, monkeypatch):
        monkeypatch.setattr(flow, "EVERY", 1)
        monkeypatch.setattr(flow, "KEPT", 3)
        connection.receive_webhooks(TYPES)
        for number in range(6):
            assert thanksio.send_webhook(event_id=str(number)) == [200]
        assert ReceivedWebhook.objects.count() == 3
        assert thanksio.send_webhook(event_id="5") == [200]
        assert ReceivedWebhook.objects.count() == 3


def test_the_stored_body_of_a_row_says_nothing(thanksio, connection):
    connection.receive_webhooks(TYPES)
    thanksio.send_webhook(event_id="one", data={"order.metadata": {"who": "Secret"}})
    row = ReceivedWebhook.objects.values().get()
    assert set(row) == {"id", "connection_id", "event_digest", "at"}
    assert "Secret" not in json.dumps(row, default=str)
