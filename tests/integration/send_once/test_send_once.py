"""A key stands for one order: sent, repeated, refused, looked for, sent again after ten minutes."""

from __future__ import annotations

import json
import logging
import os
import signal
import threading
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.db import connections, transaction

from tests.integration.refresh import databases
from tests.integration.refresh.databases import KIND
from tests.integration.send_once.letters import ANN, FIELDS, HOUR, SEARCH, entry, is_recent, later, sends
from thanksio_connect.client import order_search
from thanksio_connect.client import send_once as rule
from thanksio_connect.exceptions import (
    Conflict,
    InvalidRequest,
    NotConnected,
    NotSent,
    OutcomeUnknown,
    PaymentRequired,
    RateLimited,
    ReconnectRequired,
    SendOnceRefused,
    ServerError,
    UnsendableValue,
)
from thanksio_connect.models import SentOrder, ThanksIOConnection

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def connection(connected):
    return connected(user_id=7)


def test_the_same_key_again_gives_the_same_order_and_sends_nothing(connection, thanksio):
    first = connection.send_once("invoice-17").postcard(**FIELDS, metadata={"invoice": 17})
    asked = len(thanksio.requests)
    again = connection.send_once("invoice-17").postcard(**FIELDS, metadata={"invoice": 17})
    assert len(thanksio.requests) == asked
    [order] = thanksio.api.orders
    assert first["id"] == again["id"] == order["id"]
    assert again["authorization_total"] == first["authorization_total"]
    assert first["metadata"] == again["metadata"] == order["metadata"]
    assert order["metadata"] == {"invoice": 17, "send_once_key": "invoice-17", "send_once_id": entry().pk}


def test_the_entry_has_no_message_and_no_recipient(connection):
    connection.send_once("invoice-17").postcard(**FIELDS)
    row = entry()
    assert (row.user_id, row.connection_id, row.key) == (connection.user_id, str(connection.pk), "invoice-17")
    assert (row.operation, row.state, row.attempts) == ("postcard", "sent", 1)
    assert row.order_id == json.loads(row.answer)["id"]
    assert is_recent(row.created_at)
    assert is_recent(row.sent_at)
    assert not [text for text in ("Thank", "Ann", "Main", "shop.example") if text in str(vars(row))]


def test_keys_are_told_apart_as_they_are_written(connection, thanksio):
    for key in ("invoice-17", "Invoice-17", "invoice-17.", "invoice 17"):
        connection.send_once(key).postcard(**FIELDS)
    assert len(thanksio.api.orders) == 4


def test_each_user_has_keys_of_its_own(connected, thanksio):
    first, second = connected(user_id=7), connected(user_id=7)
    assert first.send_once("welcome").postcard(**FIELDS)["id"] != second.send_once("welcome").postcard(**FIELDS)["id"]


@pytest.mark.parametrize(
    "call",
    [
        lambda once: once.postcard(**FIELDS | {"message": "Other"}),
        lambda once: once.notecard(**FIELDS),
        lambda once: once.replay(42665),
        lambda once: once.buy_radius_search(**SEARCH),
    ],
    ids=range(4),
)
def test_other_fields_under_the_key_are_an_error_of_ours(connection, thanksio, call):
    connection.send_once("invoice-17").postcard(**FIELDS)
    asked = len(thanksio.requests)
    with pytest.raises(SendOnceRefused) as caught:
        call(connection.send_once("invoice-17"))
    assert (caught.value.code, caught.value.retryable) == ("other_fields", False)
    assert len(thanksio.requests) == asked


def test_fields_are_compared_as_they_are_sent(connection, thanksio):
    fields = FIELDS | {"metadata": {"id": UUID(int=1), "due": date(2026, 12, 1)}}
    same = {**FIELDS, "metadata": {"due": "2026-12-01", "id": str(UUID(int=1))}}
    first = connection.send_once("a").postcard(**fields)
    assert connection.send_once("a").postcard(**same)["id"] == first["id"]


@pytest.mark.parametrize(
    "piece", ["postcard", "windowedletter", "windowlessletter", "notecard", "magnacard", "giftcard"]
)
def test_each_piece(connection, thanksio, piece):
    ids = {getattr(connection.send_once("a"), piece)(**FIELDS)["id"] for _time in range(2)}
    assert len(ids) == len(thanksio.api.orders) == 1
    assert entry().operation == piece


class TestBadInput:
    @pytest.mark.parametrize("key", ["", " ", "a" * 201, "line\nbreak", "naïve", "\ud800", " edge", "edge "])
    def test_a_key_that_is_none(self, connection, key):
        with pytest.raises(ValueError, match="key must be 1 to 200 printable ASCII"):
            connection.send_once(key)

    @pytest.mark.parametrize("key", [None, 17, b"invoice"])
    def test_a_key_that_is_no_text(self, connection, key):
        with pytest.raises(TypeError, match="key must be a str"):
            connection.send_once(key)

    def test_the_longest_key(self, connection):
        connection.send_once("k" * 200).postcard(**FIELDS)
        assert entry().key == "k" * 200

    @pytest.mark.parametrize(
        ("fields", "field"),
        [
            ({"message": object()}, "message"),
            ({"metadata": {"when": b"x"}}, "metadata.when"),
            ({"metadata": ["a list"]}, "metadata"),
            ({"metadata": {"half a character \ud83d": 1}}, "metadata"),
            ({"recipients": [{**ANN, "dob": {1}}]}, "recipients[0].dob"),
        ],
    )
    def test_a_field_that_is_no_json_is_named(self, connection, thanksio, fields, field):
        with pytest.raises(UnsendableValue) as caught:
            connection.send_once("a").postcard(**FIELDS | fields)
        assert caught.value.field == field
        assert not SentOrder.objects.exists()
        assert thanksio.requests == []

    def test_metadata_that_has_no_room_for_the_key(self, connection, thanksio):
        with pytest.raises(UnsendableValue, match="more than 8192 bytes"):
            connection.send_once("a").postcard(**FIELDS, metadata={"text": "x" * 8150})
        assert not SentOrder.objects.exists()
        assert thanksio.requests == []

    def test_a_misspelt_field(self, connection):
        with pytest.raises(TypeError, match="Did you mean 'message'"):
            connection.send_once("a").postcard(mesage="Hi")

    @pytest.mark.parametrize("fields", [{"preview": True}, {"radius_search": {**SEARCH, "preview": True}}])
    def test_a_preview(self, connection, thanksio, fields):
        with pytest.raises(SendOnceRefused) as caught:
            connection.send_once("a").postcard(**FIELDS | fields)
        assert caught.value.code == "preview"
        assert thanksio.requests == []


class TestRefusals:
    """A definite no leaves the key free: correct the fields, and send under the same key."""

    @pytest.mark.parametrize(
        ("fault", "error"),
        [
            ({"status": 400, "body": {"message": "Sub Account ID does not exist"}}, InvalidRequest),
            ({"status": 402, "body": {"code": "api_disabled_payment_failures"}}, PaymentRequired),
            ({"status": 422}, InvalidRequest),
            ({"retry_after": 30}, RateLimited),
        ],
    )
    def test_the_key_is_free(self, connection, thanksio, fault, error):
        thanksio.next_api("/send", **fault)
        with pytest.raises(error):
            connection.send_once("a").postcard(**FIELDS)
        assert not SentOrder.objects.exists()
        connection.send_once("a").postcard(**FIELDS | {"message": "Corrected"})
        assert len(thanksio.api.orders) == 1

    def test_thanksio_is_down(self, connection, thanksio):
        with thanksio.down(), pytest.raises(NotSent):
            connection.send_once("a").postcard(**FIELDS)
        connection.send_once("a").postcard(**FIELDS)
        assert len(thanksio.api.orders) == 1

    def test_no_token_can_be_had(self, connection, thanksio):
        thanksio.revoke(connection)
        thanksio.expire_access_token(connection)
        with pytest.raises(ReconnectRequired):
            connection.send_once("a").postcard(**FIELDS)
        assert not SentOrder.objects.exists()
        assert thanksio.api.orders == []

    def test_the_token_is_renewed_after_a_401_and_the_letter_sent_once(self, connection, thanksio):
        thanksio.expire_access_token(connection)
        connection.send_once("a").postcard(**FIELDS)
        assert (sends(thanksio), len(thanksio.api.orders)) == (2, 1)

    def test_a_process_that_was_stopped_for_long_sends_nothing(self, connection, thanksio, monkeypatch):
        monkeypatch.setattr(rule, "LATEST_START_SECONDS", -1)
        with pytest.raises(NotSent, match="too late"):
            connection.send_once("a").postcard(**FIELDS)
        assert thanksio.requests == []
        assert not SentOrder.objects.exists()


LOST = [
    ({"lose_reply": "after"}, OutcomeUnknown, 1),
    ({"lose_reply": "midway"}, OutcomeUnknown, 1),
    ({"lose_reply": "before"}, OutcomeUnknown, 0),
    ({"status": 500, "processed": True}, ServerError, 1),
    ({"status": 502}, ServerError, 0),
    ({"status": 200, "body": "<html>", "processed": True}, ServerError, 1),
    ({"status": 200, "body": {"success": True}, "processed": True}, OutcomeUnknown, 1),
    ({"status": 408}, Exception, 0),
    ({"status": 302, "processed": True}, Exception, 1),
]


class TestUnknownOutcomes:
    @pytest.mark.parametrize(("fault", "error", "made"), LOST, ids=range(len(LOST)))
    def test_what_was_sent_is_found_and_what_was_not_is_sent_again_after_ten_minutes(
        self, connection, thanksio, fault, error, made
    ):
        thanksio.next_api("/send", **fault)
        with pytest.raises(error):
            connection.send_once("a").postcard(**FIELDS)
        assert len(thanksio.api.orders) == made
        if not made:
            with pytest.raises(OutcomeUnknown) as caught:
                connection.send_once("a").postcard(**FIELDS)
            assert (caught.value.code, caught.value.retryable) == ("unsettled", True)
            later(590)
            with pytest.raises(OutcomeUnknown):
                connection.send_once("a").postcard(**FIELDS)
            assert sends(thanksio) == 1
            later(11)
        order = connection.send_once("a").postcard(**FIELDS)
        assert [order["id"]] == [each["id"] for each in thanksio.api.orders]
        assert connection.send_once("a").postcard(**FIELDS)["id"] == order["id"]
        assert sends(thanksio) == 2 - made
        assert (entry().state, entry().order_id) == ("sent", order["id"])

    def test_other_fields_can_not_be_sent_meanwhile(self, connection, thanksio):
        thanksio.next_api("/send", lose_reply="before")
        with pytest.raises(OutcomeUnknown):
            connection.send_once("a").postcard(**FIELDS)
        later()
        with pytest.raises(SendOnceRefused):
            connection.send_once("a").postcard(**FIELDS | {"message": "Other"})
        assert sends(thanksio) == 1

    def test_a_time_limit_leaves_the_key_open(self, connection, thanksio):
        class TimeLimit(Exception):
            pass

        def ring(number, frame):
            raise TimeLimit

        fault = thanksio.next_api("/send", hold="before")
        before = signal.signal(signal.SIGALRM, ring)
        thread = threading.Thread(target=lambda: (fault.wait_reached(), os.kill(os.getpid(), signal.SIGALRM)))
        thread.start()
        try:
            with pytest.raises(TimeLimit):
                connection.send_once("a").postcard(**FIELDS)
        finally:
            thread.join()
            signal.signal(signal.SIGALRM, before)
        fault.release()
        thanksio.log.wait(lambda records: all(record.reply != "pending" for record in records), timeout_seconds=10)
        assert connection.send_once("a").postcard(**FIELDS)["id"] == thanksio.api.orders[0]["id"]
        assert sends(thanksio) == 1

    def test_another_installations_order_under_the_same_key_is_not_taken_for_it(self, connection, thanksio):
        connection.api.send.postcard(**FIELDS, metadata={"send_once_key": "a", "send_once_id": "of another"})
        thanksio.next_api("/send", lose_reply="before")
        with pytest.raises(OutcomeUnknown):
            connection.send_once("a").postcard(**FIELDS)
        later()
        assert connection.send_once("a").postcard(**FIELDS)["id"] == thanksio.api.orders[1]["id"]

    def test_the_look_goes_back_to_the_attempt_over_pages_and_no_further(self, connection, thanksio, monkeypatch):
        template = connection.api.send.postcard(**FIELDS)
        old = {"created_at": "2020-01-01 00:00:00", "metadata": None}
        thanksio.api.orders[:] = [template | old | {"id": number} for number in range(1, 301)]
        thanksio.next_api("/send", lose_reply="after")
        with pytest.raises(OutcomeUnknown):
            connection.send_once("a").postcard(**FIELDS)
        mine = thanksio.api.orders[-1]
        thanksio.api.orders += [mine | {"id": number, "metadata": {}} for number in range(50_000, 50_250)]
        asked = len(thanksio.requests)
        assert connection.send_once("a").postcard(**FIELDS)["id"] == mine["id"]
        assert len(thanksio.requests) - asked == 3

        connection.find_order("a")
        thanksio.api.orders.remove(mine)
        asked = len(thanksio.requests)
        assert connection.find_order("a") is None
        assert len(thanksio.requests) - asked == 4  # the page that is all of 2020 is the last

    def test_a_clock_that_is_half_a_day_ahead_sends_no_second_letter(self, connection, thanksio):
        """Ours, so that all orders since the attempt seem to be from before it."""
        thanksio.next_api("/send", lose_reply="after")
        with pytest.raises(OutcomeUnknown):
            connection.send_once("a").postcard(**FIELDS)
        mine = thanksio.api.orders[-1]
        made_at = f"{datetime.now(UTC) - timedelta(hours=13):%Y-%m-%d %H:%M:%S}"
        newer = [mine | {"id": number, "metadata": {}} for number in range(50_000, 50_250)]
        thanksio.api.orders[:] = [order | {"created_at": made_at} for order in (mine, *newer)]
        later()
        assert connection.send_once("a").postcard(**FIELDS)["id"] == mine["id"]
        assert sends(thanksio) == 1

    def test_a_list_that_is_longer_than_the_rate_limit_is_read_to_its_end(self, connection, thanksio, monkeypatch):
        from thanksio_connect.testing import Fault

        def limited(record):
            asked = [each.query.get("page") for each in thanksio.api_requests("/orders/list")]
            if "/orders/list" in record.path and asked.count(record.query.get("page")) <= 3 and "page" in record.query:
                return Fault(status=429, retry_after=0)
            return None

        monkeypatch.setattr(order_search, "PAGE_SIZE", 1)
        for _ in range(2):
            connection.api.send.postcard(**FIELDS)
        thanksio.next_api("/send", lose_reply="after")
        with pytest.raises(OutcomeUnknown):
            connection.send_once("a").postcard(**FIELDS)
        thanksio.api.orders.reverse()
        thanksio.on_api(limited)
        assert connection.send_once("a").postcard(**FIELDS)["id"] == thanksio.api.orders[0]["id"]
        SentOrder.objects.all().delete()
        assert connection.find_order("a")["id"] == thanksio.api.orders[0]["id"]

    def test_thanksio_takes_no_large_pages(self, connection, thanksio):
        thanksio.next_api("/send", lose_reply="after")
        with pytest.raises(OutcomeUnknown):
            connection.send_once("a").postcard(**FIELDS)
        thanksio.next_api("/orders/list", status=422)
        assert connection.send_once("a").postcard(**FIELDS)["id"] == thanksio.api.orders[0]["id"]

    def test_a_list_in_another_order_is_read_to_its_end(self, connection, thanksio, monkeypatch):
        template = connection.api.send.postcard(**FIELDS)
        thanksio.next_api("/send", lose_reply="after")
        with pytest.raises(OutcomeUnknown):
            connection.send_once("a").postcard(**FIELDS)
        mine = thanksio.api.orders[-1]
        years = [template | {"id": 9000 - year, "created_at": f"{year}-01-01 00:00:00"} for year in range(1825, 2025)]
        thanksio.api.orders[:] = [mine, *reversed(years)]  # the fake lists them from the last: the oldest come first
        assert connection.send_once("a").postcard(**FIELDS)["id"] == mine["id"]

    def test_while_the_list_can_not_be_read_nothing_is_sent(self, connection, thanksio):
        thanksio.next_api("/send", lose_reply="before")
        with pytest.raises(OutcomeUnknown):
            connection.send_once("a").postcard(**FIELDS)
        later()
        thanksio.next_api("/orders/list", times=3, status=503)
        with pytest.raises(ServerError):
            connection.send_once("a").postcard(**FIELDS)
        assert sends(thanksio) == 1
        assert entry().attempts == 1

    def test_the_order_of_a_sub_account_is_looked_for_there(self, connection, thanksio):
        def only_of_the_sub_account(record):
            if record.path.endswith("/orders/list") and "sub_account_id" not in record.query:
                from thanksio_connect.testing import Fault

                return Fault(body={"data": [], "links": {}, "meta": {"current_page": 1, "last_page": 1}})
            return None

        thanksio.on_api(only_of_the_sub_account)
        thanksio.next_api("/send", lose_reply="after")
        with pytest.raises(OutcomeUnknown):
            connection.send_once("a").postcard(**FIELDS, sub_account=3)
        later()
        assert connection.send_once("a").postcard(**FIELDS, sub_account=3)["id"] == thanksio.api.orders[0]["id"]


class TestReplay:
    @pytest.fixture
    def original(self, connection, thanksio):
        order = connection.api.send.postcard(**FIELDS, metadata={"invoice": "17"})
        thanksio.api.orders[0]["status"] = "processing"
        return order["id"]

    def test_the_metadata_of_the_original_is_kept(self, connection, thanksio, original):
        first = connection.send_once("a").replay(original)
        assert connection.send_once("a").replay(original)["id"] == first["id"]
        assert first["metadata"] == {"invoice": "17", "send_once_key": "a", "send_once_id": entry().pk}
        assert len(thanksio.api.orders) == 2

    def test_its_own_metadata_wins(self, connection, original):
        assert "invoice" not in connection.send_once("a").replay(original, metadata={})["metadata"]

    def test_the_original_can_not_be_read(self, connection, thanksio, original):
        thanksio.next_api("/orders", times=3, status=503)
        with pytest.raises(ServerError):
            connection.send_once("a").replay(original)
        assert not SentOrder.objects.exists()

    def test_a_lost_answer(self, connection, thanksio, original):
        thanksio.next_api(f"/orders/{original}/replay", lose_reply="after")
        with pytest.raises(OutcomeUnknown):
            connection.send_once("a").replay(original)
        assert connection.send_once("a").replay(original)["id"] == thanksio.api.orders[1]["id"]
        assert len(thanksio.api.orders) == 2

    @pytest.mark.parametrize("order_id", ["../..", True, ""])
    def test_an_id_that_is_none(self, connection, order_id):
        with pytest.raises((TypeError, ValueError)):
            connection.send_once("a").replay(order_id)
        assert not SentOrder.objects.exists()


class TestRadiusSearch:
    """It has no metadata. What thanks.io refuses as a duplicate was bought."""

    PATH = "/mailing-lists-utils/buy-radius-search"

    def purchases(self, thanksio):
        return [row for row in thanksio.api.mailing_lists if row["type"] == "radius"]

    def test_once(self, connection, thanksio):
        first = connection.send_once("a").buy_radius_search(**SEARCH)
        assert connection.send_once("a").buy_radius_search(**SEARCH) == {
            name: first[name] for name in ("mailing_list_id", "failure")
        }
        assert len(thanksio.api_requests(self.PATH)) == 1

    def test_a_duplicate_at_once_is_an_error(self, connection):
        connection.api.mailing_lists.buy_radius_search(**SEARCH)
        with pytest.raises(Conflict):
            connection.send_once("a").buy_radius_search(**SEARCH)
        assert not SentOrder.objects.exists()

    @pytest.mark.parametrize("lost", ["before", "after"])
    def test_a_lost_answer(self, connection, thanksio, lost):
        thanksio.next_api(self.PATH, lose_reply=lost)
        with pytest.raises(OutcomeUnknown):
            connection.send_once("a").buy_radius_search(**SEARCH)
        with pytest.raises(OutcomeUnknown, match="ten minutes"):
            connection.send_once("a").buy_radius_search(**SEARCH)
        later()
        bought = connection.send_once("a").buy_radius_search(**SEARCH)["mailing_list_id"]
        assert [row["id"] for row in self.purchases(thanksio)] == [bought] == [entry().order_id]

    def test_after_a_day_nobody_can_tell_any_more(self, connection, thanksio):
        thanksio.next_api(self.PATH, lose_reply="after")
        with pytest.raises(OutcomeUnknown):
            connection.send_once("a").buy_radius_search(**SEARCH)
        later()
        with thanksio.down(), pytest.raises(NotSent):
            connection.send_once("a").buy_radius_search(**SEARCH)
        later(23 * HOUR)
        with pytest.raises(OutcomeUnknown) as caught:
            connection.send_once("a").buy_radius_search(**SEARCH)
        assert (caught.value.code, caught.value.retryable) == ("too_old", False)
        assert len(thanksio.api_requests(self.PATH)) == 1


class TestConnections:
    def lose(self, connection, thanksio, how="before"):
        thanksio.next_api("/send", lose_reply=how)
        with pytest.raises(OutcomeUnknown):
            connection.send_once("a").postcard(**FIELDS)
        later()

    def test_the_book_outlives_a_disconnect(self, connection, thanksio):
        order = connection.send_once("a").postcard(**FIELDS)
        user = connection.user
        connection.disconnect()
        again = thanksio.connect(user, user_id=8)
        assert again.send_once("a").postcard(**FIELDS)["id"] == order["id"]
        assert len(thanksio.api.orders) == 1

    def test_an_open_key_after_a_reconnect_to_the_same_account(self, connection, thanksio):
        self.lose(connection, thanksio)
        connection.disconnect()
        thanksio.connect(connection.user, user_id=7).send_once("a").postcard(**FIELDS)
        assert len(thanksio.api.orders) == 1

    @pytest.mark.parametrize("known", [True, False])
    def test_an_open_key_after_a_reconnect_to_another_account_stays_open(self, connection, thanksio, known):
        self.lose(connection, thanksio, "after")
        user = connection.user
        connection.disconnect()
        other = ThanksIOConnection.objects.connect(
            user, thanksio.issue(user_id=8), thanksio_user_id="8" if known else ""
        )
        with pytest.raises(OutcomeUnknown) as caught:
            other.send_once("a").postcard(**FIELDS)
        assert (caught.value.code, caught.value.retryable) == ("other_account", False)
        assert len(thanksio.api.orders) == 1

    def test_an_instance_that_was_loaded_before_the_reconnect_follows_to_the_other_account(self, connection, thanksio):
        self.lose(connection, thanksio, "after")
        held = ThanksIOConnection.objects.select_related("tokens").get()
        ThanksIOConnection.objects.connect(connection.user, thanksio.issue(user_id=8), thanksio_user_id="8")
        with pytest.raises(OutcomeUnknown) as caught:
            held.send_once("a").postcard(**FIELDS)
        assert caught.value.code == "other_account"
        held.send_once("b").postcard(**FIELDS)
        assert (thanksio.api.orders[1]["user_id"], SentOrder.objects.get(key="b").thanksio_user_id) == (8, "8")

    def test_it_is_gone_with_the_user(self, connection):
        connection.send_once("a").postcard(**FIELDS)
        User.objects.get(pk=connection.user_id).delete()
        assert not SentOrder.objects.exists()

    def test_a_connection_without_tokens_needs_its_owner(self, connection, thanksio):
        made = ThanksIOConnection.objects.create(user=User.objects.create(username="by-hand"))
        with pytest.raises(ReconnectRequired):
            made.send_once("a").postcard(**FIELDS)

    def test_a_connection_that_is_gone(self, connection, thanksio):
        connection.disconnect()
        with pytest.raises(NotConnected):
            connection.send_once("a").postcard(**FIELDS)
        assert thanksio.api.orders == []


class TestTransactions:
    @pytest.mark.skipif(KIND == "sqlite", reason="SQLite has one writer")
    @pytest.mark.parametrize("variant", databases.VARIANTS, indirect=True)
    @pytest.mark.parametrize("state", ["nothing", "read", "locked", "updated"])
    def test_the_key_stands_after_a_rollback(self, connection, thanksio, state):
        mine = ThanksIOConnection.objects.select_related("tokens").get()
        with transaction.atomic():
            rows = User.objects.filter(pk=mine.user_id)
            if state == "read":
                list(rows)
            elif state == "locked":
                list(rows.select_for_update())
                list(ThanksIOConnection.objects.select_for_update())
            elif state == "updated":
                rows.update(first_name="Ann")
                ThanksIOConnection.objects.update(thanksio_user_id="7")
            order = mine.send_once("a").postcard(**FIELDS)
            assert rows.update(first_name="Bea")  # the caller's own transaction goes on
            transaction.set_rollback(True)
        assert User.objects.get().first_name == ""
        assert (entry().state, entry().order_id) == ("sent", order["id"])
        assert mine.send_once("a").postcard(**FIELDS)["id"] == order["id"]
        assert len(thanksio.api.orders) == 1

    @pytest.mark.skipif(KIND == "sqlite", reason="SQLite has one writer")
    def test_a_connection_that_was_made_in_the_transaction_is_refused(self, thanksio):
        with transaction.atomic():
            made = ThanksIOConnection.objects.connect(User.objects.create(username="new"), thanksio.issue(user_id=9))
            with pytest.raises(SendOnceRefused) as caught:
                made.send_once("a").postcard(**FIELDS)
        assert caught.value.code == "in_transaction"
        assert thanksio.requests == []
        made.send_once("a").postcard(**FIELDS)

    @pytest.mark.skipif(KIND != "sqlite", reason="SQLite has one writer")
    @pytest.mark.parametrize("variant", databases.VARIANTS, indirect=True)
    def test_on_sqlite_nothing_is_sent_inside_a_transaction(self, connection, thanksio):
        with transaction.atomic(), pytest.raises(SendOnceRefused, match="inside a transaction on SQLite") as caught:
            connection.send_once("a").postcard(**FIELDS)
        assert caught.value.code == "in_transaction"
        assert thanksio.requests == []
        connection.send_once("a").postcard(**FIELDS)

    def test_the_outcome_can_not_be_written(self, connection, thanksio, caplog, monkeypatch):
        """The order is told to the caller, and found later."""
        from thanksio_connect.models import order_book

        monkeypatch.setattr(order_book.sessions, "STORE_BUDGET_SECONDS", 0.05)

        def break_the_table(record):
            with connections["default"].schema_editor() as editor:
                editor.execute("ALTER TABLE thanksio_connect_sentorder RENAME TO hidden")

        def send_and_break():
            thread = threading.Thread(target=lambda: (break_the_table(None), connections.close_all()))
            thread.start()
            thread.join()

        thanksio.on_api(lambda record: send_and_break() if "/send/" in record.path else None)
        try:
            order = connection.send_once("a").postcard(**FIELDS)
        finally:
            with connections["default"].schema_editor() as editor:
                editor.execute("ALTER TABLE hidden RENAME TO thanksio_connect_sentorder")
        assert order["id"] == thanksio.api.orders[0]["id"]
        [record] = [item for item in caplog.records if getattr(item, "thanksio_event", "") == "send_once.not_marked"]
        assert (record.levelno, record.thanksio_order_id) == (logging.ERROR, order["id"])
        assert entry().state == "sending"
        assert connection.send_once("a").postcard(**FIELDS)["id"] == order["id"]
        assert sends(thanksio) == 1


class TestTogether:
    def test_many_threads_with_one_key_send_one_letter(self, connection, thanksio):
        results = []
        barrier = threading.Barrier(8)

        def work():
            mine = ThanksIOConnection.objects.select_related("tokens").get()
            barrier.wait()
            try:
                results.append(mine.send_once("a").postcard(**FIELDS)["id"])
            except OutcomeUnknown as error:
                results.append(error.code)
            finally:
                connections.close_all()

        thanksio.next_api("/send", delay=0.3)
        threads = [threading.Thread(target=work) for _number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        [order] = thanksio.api.orders
        assert set(results) <= {order["id"], "unsettled"}
        assert order["id"] in results
        assert sends(thanksio) == 1

    def test_one_takes_over(self, connection, thanksio):
        thanksio.next_api("/send", lose_reply="before")
        with pytest.raises(OutcomeUnknown):
            connection.send_once("a").postcard(**FIELDS)
        later()
        self.test_many_threads_with_one_key_send_one_letter(connection, _Since(thanksio))

    def test_a_late_answer_of_an_attempt_that_was_taken_over_is_told(self, connection, thanksio, caplog):
        """Past the rule: the first request hangs for longer than ten minutes. Both orders are known to the operator."""
        fault = thanksio.next_api("/send", hold="before")
        late = []
        thread = threading.Thread(
            target=lambda: (
                late.append(ThanksIOConnection.objects.get().send_once("a").postcard(**FIELDS)),
                connections.close_all(),
            )
        )
        thread.start()
        fault.wait_reached()
        later()
        order = connection.send_once("a").postcard(**FIELDS)
        fault.release()
        thread.join()
        assert entry().order_id == order["id"] != late[0]["id"]
        [record] = [item for item in caplog.records if getattr(item, "thanksio_event", "") == "send_once.twice"]
        assert (record.levelno, record.thanksio_order_id) == (logging.CRITICAL, late[0]["id"])


class _Since:
    """The fake, whose requests until now are not counted."""

    def __init__(self, thanksio):
        self.thanksio = thanksio
        self.before = sends(thanksio)

    def __getattr__(self, name):
        return getattr(self.thanksio, name)

    def api_requests(self, path):
        return self.thanksio.api_requests(path)[self.before :]


class TestFindOrder:
    def test_by_the_entry_and_without_one_by_the_key(self, connection, thanksio):
        order = connection.send_once("a").postcard(**FIELDS)
        assert connection.find_order("a")["id"] == order["id"]
        SentOrder.objects.all().delete()
        assert connection.find_order("a")["id"] == order["id"]
        assert connection.find_order("b") is None

    def test_a_replay_of_it_is_not_taken_for_it(self, connection, thanksio):
        order = connection.send_once("a").postcard(**FIELDS)
        thanksio.api.orders[0]["status"] = "Fulfilled"
        replayed = connection.api.orders.replay(order["id"])
        assert replayed["metadata"] == order["metadata"]
        assert connection.find_order("a")["id"] == order["id"]

    def test_a_key_that_is_none(self, connection):
        with pytest.raises(ValueError, match="key must be"):
            connection.find_order("")


def test_the_log_names_key_and_order(connection, thanksio, caplog):
    caplog.set_level(logging.INFO, "thanksio_connect")
    connection.send_once("invoice-17").postcard(**FIELDS)
    connection.send_once("invoice-17").postcard(**FIELDS)
    records = [item for item in caplog.records if getattr(item, "thanksio_event", "").startswith("send_once")]
    assert [record.thanksio_event for record in records] == ["send_once.sent", "send_once.repeated"]
    assert {record.thanksio_key for record in records} == {"invoice-17"}
    assert {record.thanksio_connection_id for record in records} == {connection.pk}
    assert records[0].thanksio_order_id == thanksio.api.orders[0]["id"]
    assert "Ann" not in caplog.text
