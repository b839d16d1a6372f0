"""What surrounds a call: reads that are tried again, the log record, the pace, and a client without a connection."""

import contextlib
import json
import logging
from datetime import UTC, date, datetime

import pytest
from django.utils.functional import lazystr

from tests.integration.client_server import ScriptedServer, answering, assert_hides, closing, free_port, reply
from tests.integration.test_client_api import UNAUTHENTICATED, Tokens
from thanksio_connect.client.api import RateLimit, RetryPolicy, ThanksIOClient
from thanksio_connect.client.transport import Transport, TransportConfig
from thanksio_connect.exceptions import (
    InvalidRequest,
    NotSent,
    OutcomeUnknown,
    RateLimited,
    ServerError,
    ThanksIOConfigurationError,
    Unauthorized,
    UnsendableValue,
)

OK = reply(200, {"data": []})


def client(server_url, slept=None, **options):
    return ThanksIOClient(
        api_url=f"{server_url}/api/v2",
        transport=Transport(TransportConfig(0.4, 0.6)),
        tokens=options.pop("tokens", Tokens("TOKENONE")),
        sleep=[].append if slept is None else slept.append,
        **options,
    )


def one_after_another(*answers):
    """A script that gives each answer once, and the last for ever."""
    left = list(answers)
    return lambda connection, request: connection.sendall(left.pop(0) if len(left) > 1 else left[0])


class TestRetries:
    @pytest.mark.parametrize("status", [502, 503, 504])
    def test_a_read_is_tried_again(self, status):
        slept = []
        with ScriptedServer(one_after_another(reply(status), reply(status), OK)) as server:
            assert client(server.url, slept).get("/orders/list") == {"data": []}
        assert len(server.requests) == 3
        assert 0.125 <= slept[0] <= 0.25 <= slept[1] <= 0.5

    def test_the_attempts_are_bounded(self):
        with ScriptedServer(answering(503)) as server, pytest.raises(ServerError):
            client(server.url).orders.track(5)
        assert len(server.requests) == 3

    def test_they_can_be_switched_off(self):
        with ScriptedServer(answering(503)) as server, pytest.raises(ServerError):
            client(server.url, retries=RetryPolicy(attempts=1)).orders.track(5)
        assert len(server.requests) == 1

    def test_a_429_is_waited_out_if_it_says_how_long(self):
        slept = []
        with ScriptedServer(one_after_another(reply(429, headers={"Retry-After": "2"}), OK)) as server:
            client(server.url, slept).get("/orders/list")
        assert 2 < slept[0] < 2.5

    @pytest.mark.parametrize("headers", [{}, {"Retry-After": "30"}])
    def test_and_left_to_the_caller_otherwise(self, headers):
        with ScriptedServer(answering(429, headers=headers)) as server, pytest.raises(RateLimited):
            client(server.url).get("/orders/list")
        assert len(server.requests) == 1

    def test_nothing_was_sent(self):
        slept = []
        with pytest.raises(NotSent) as caught:
            client(f"http://127.0.0.1:{free_port()}", slept).get("/orders/list")
        assert len(slept) == 2
        assert_hides(caught, "TOKENONE")

    def test_a_lost_answer_is_no_reason(self):
        with ScriptedServer(closing()) as server, pytest.raises(OutcomeUnknown):
            client(server.url).get("/orders/list")
        assert len(server.requests) == 1

    @pytest.mark.parametrize(
        "call",
        [
            lambda api: api.send.postcard(message="Hi", mailing_list_ids=[1]),
            lambda api: api.send.postcard(message="Hi", mailing_list_ids=[1], preview=True),
            lambda api: api.send.giftcard(message="Hi", mailing_list_ids=[1]),
            lambda api: api.orders.replay(5),
            lambda api: api.orders.cancel(5),
            lambda api: api.mailing_lists.buy_radius_search(address="1 Main St", postal_code="12345", record_count=1),
            lambda api: api.recipients.create(mailing_list_id=1, email="ann@example.com"),
            lambda api: api.recipients.create_multiple([{"mailing_list_id": 1, "email": "ann@example.com"}]),
            lambda api: api.recipients.delete(5),
            lambda api: api.post("/estimate/postcard", json={}),
        ],
        ids=range(10),
    )
    @pytest.mark.parametrize("answer", [reply(503), reply(429, headers={"Retry-After": "0"})], ids=["503", "429"])
    def test_what_charges_or_changes_is_sent_once(self, call, answer):
        with ScriptedServer(one_after_another(answer)) as server, pytest.raises((ServerError, RateLimited)):
            call(client(server.url))
        assert len(server.requests) == 1

    @pytest.mark.parametrize(
        "call",
        [
            lambda api: api.estimate.postcard(message="Hi", mailing_list_ids=[1]),
            lambda api: api.mailing_lists.count_radius_search(address="1 Main St", postal_code="12345", record_count=1),
        ],
        ids=["estimate", "count"],
    )
    def test_a_post_that_only_reads_is_tried_again(self, call):
        with ScriptedServer(one_after_another(reply(503), OK)) as server:
            call(client(server.url))
        assert len(server.requests) == 2


class TestLog:
    def record(self, caplog, call, level=logging.DEBUG):
        caplog.clear()
        with caplog.at_level(level, "thanksio_connect.api"):
            call()
        (record,) = [item for item in caplog.records if item.name == "thanksio_connect.api"]
        return record

    def test_one_record_a_call(self, caplog):
        with ScriptedServer(one_after_another(reply(503), OK)) as server:
            api = client(server.url, connection_id=17)
            record = self.record(caplog, lambda: api.orders.track(42665))
        assert record.levelno == logging.DEBUG
        assert (record.thanksio_method, record.thanksio_path) == ("GET", "/orders/{order_id}/track")
        assert (record.thanksio_status, record.thanksio_attempts, record.thanksio_connection_id) == (200, 2, 17)
        assert (record.thanksio_event, record.thanksio_outcome) == ("api.call", "ok")
        assert 0 <= record.thanksio_milliseconds < 5000
        assert record.getMessage().startswith("GET /orders/{order_id}/track: 200 in ")

    def test_nothing_of_anybodys_stands_in_it(self, caplog):
        with ScriptedServer(answering(422, {"message": "Ann's address"})) as server:
            api = client(server.url)
            with pytest.raises(Exception, match="422"):
                record = self.record(
                    caplog,
                    lambda: api.post("/recipients/Ann%20Smith?email=ann@example.com", json={"name": "Ann"}),
                )
            record = caplog.records[-1]
        shown = record.getMessage() + str(vars(record))
        assert record.levelno == logging.INFO
        assert record.thanksio_path == "/recipients/{}"
        for secret in ("Ann", "ann@", "TOKENONE"):
            assert secret not in shown

    @pytest.mark.parametrize(
        ("script", "call", "level", "said"),
        [
            (answering(200, {}), lambda api: api.send.postcard(message="Hi"), logging.INFO, "200"),
            (answering(404, {}), lambda api: api.orders.track(1), logging.INFO, "404"),
            (closing(), lambda api: api.orders.track(1), logging.INFO, "outcome_unknown"),
        ],
        ids=range(3),
    )
    def test_a_write_and_a_failure_stand_out_and_none_is_a_warning(self, caplog, script, call, level, said):
        def quietly(api):
            with contextlib.suppress(Exception):
                call(api)

        with ScriptedServer(script) as server:
            record = self.record(caplog, lambda: quietly(client(server.url)))
        assert record.levelno == level
        assert f": {said} in " in record.getMessage()
        assert record.thanksio_outcome == {"200": "ok", "404": "refused"}.get(said, said)

    def test_a_replay_after_a_renewal_is_the_same_call(self, caplog):
        with ScriptedServer(one_after_another(UNAUTHENTICATED, OK)) as server:
            api = client(server.url, tokens=Tokens("TOKENONE", "TOKENTWO"))
            record = self.record(caplog, lambda: api.orders.track(1))
        assert (record.thanksio_attempts, record.thanksio_status) == (2, 200)

    def test_nothing_sent_nothing_logged(self, caplog):
        with pytest.raises(ValueError, match="order_id"), caplog.at_level(logging.DEBUG, "thanksio_connect.api"):
            client("http://127.0.0.1:1").orders.track("../x")
        assert caplog.records == []


class TestPace:
    HEADERS = {"X-RateLimit-Limit": "120", "X-RateLimit-Remaining": "119"}

    def test_the_rate_limit_is_known_after_an_answer(self):
        with ScriptedServer(answering(200, {}, self.HEADERS)) as server:
            api = client(server.url)
            assert api.rate_limit is None
            api.orders.track(1)
            assert api.rate_limit == RateLimit(120, 119)

    @pytest.mark.parametrize("headers", [{}, {"Retry-After": "1.5"}, {"Retry-After": "soon"}])
    def test_a_sweep_waits_out_a_429_that_does_not_say_how_long(self, headers):
        slept = []
        with ScriptedServer(one_after_another(*[reply(429, b"", headers)] * 4, OK)) as server:
            assert list(client(server.url, slept).paced(per_minute=60_000).orders.list()) == []
        assert len(server.requests) == 5
        assert 60 <= sum(slept) <= 65

    def test_a_sweep_is_spread_and_waits_out_a_429(self):
        slept = []
        busy = reply(429, headers={"Retry-After": "1"})
        with ScriptedServer(one_after_another(OK, busy, OK)) as server:
            api = client(server.url, slept).paced(per_minute=600)
            api.orders.track(1)
            api.orders.track(2)
        assert len(server.requests) == 3
        assert any(1 < seconds < 1.5 for seconds in slept)


class TestBearerToken:
    def test_the_same_client_without_a_connection(self):
        with ScriptedServer(answering(200, {"id": 5})) as server:
            api = ThanksIOClient.with_bearer_token("OWNTOKEN", api_url=f"{server.url}/api/v2")
            assert api.send.postcard(message="Hi", mailing_list_ids=[1])["id"] == 5
        assert server.requests[0].headers["authorization"] == "Bearer OWNTOKEN"
        assert "OWNTOKEN" not in repr(vars(api))

    def test_nothing_is_renewed(self):
        with ScriptedServer(one_after_another(UNAUTHENTICATED)) as server, pytest.raises(Unauthorized) as caught:
            ThanksIOClient.with_bearer_token("OWNTOKEN", api_url=f"{server.url}/api/v2").orders.track(1)
        assert len(server.requests) == 1
        assert caught.value.code == "unauthenticated"
        assert_hides(caught, "OWNTOKEN")

    def test_without_a_token_it_is_the_sites(self, settings):
        with ScriptedServer(answering(200, {"id": 5})) as server:
            settings.THANKSIO_BEARER_TOKEN = "OWNTOKEN"
            settings.THANKSIO_API_URL = f"{server.url}/api/v2/"
            settings.THANKSIO_PRODUCT_NAME = "shop/2.1"
            assert ThanksIOClient.with_bearer_token().orders.track(1) == {"id": 5}
            ThanksIOClient.with_bearer_token("OTHERTOKEN").orders.track(1)
        first, second = server.requests
        assert first.line.startswith("GET /api/v2/orders/1/track ")
        assert first.headers["authorization"] == "Bearer OWNTOKEN"
        assert first.headers["user-agent"].startswith("shop/2.1 thanksio_connect/")
        assert second.headers["authorization"] == "Bearer OTHERTOKEN"

    def test_a_token_of_ones_own_needs_no_good_setting(self, settings):
        settings.THANKSIO_BEARER_TOKEN = "two words"
        ThanksIOClient.with_bearer_token("OWNTOKEN")
        with pytest.raises(ThanksIOConfigurationError, match="THANKSIO_BEARER_TOKEN"):
            ThanksIOClient.with_bearer_token()

    def test_no_token_at_all(self):
        with pytest.raises(ThanksIOConfigurationError, match="set THANKSIO_BEARER_TOKEN") as caught:
            ThanksIOClient.with_bearer_token()
        assert caught.value.code == "not_configured"

    @pytest.mark.parametrize("token", ["", "two words", "line\nbreak"])
    def test_a_token_that_no_header_can_carry(self, token):
        with pytest.raises((ValueError, ThanksIOConfigurationError)) as caught:
            ThanksIOClient.with_bearer_token(token)
        assert not token or token not in str(caught.value)


class TestAnswersOfAnotherKind:
    @pytest.mark.parametrize("answer", [b"", b"null", b"[]", b'"OK"', b"17"])
    @pytest.mark.parametrize(
        "call",
        [
            lambda api: api.send.postcard(message="Hello"),
            lambda api: api.orders.cancel(17),
            lambda api: api.estimate.giftcard(message="Hello"),
            lambda api: api.giftcard_brands.grouped(),
        ],
    )
    def test_no_object(self, call, answer):
        """An order may have been taken, so the answer is none that the caller would stumble over."""
        with ScriptedServer(answering(200, answer)) as server, pytest.raises(ServerError) as caught:
            call(client(server.url))
        assert (caught.value.code, len(server.requests)) == ("invalid_response", 1)

    def test_a_deletion_may_be_answered_by_nothing(self):
        with ScriptedServer(answering(200)) as server:
            assert client(server.url).webhooks.delete(17) is None

    @pytest.mark.parametrize("answer", [b"null", b"4000000000", b'{"a": 1}', b"[1]"])
    def test_no_image(self, answer):
        with ScriptedServer(answering(200, answer)) as server, pytest.raises(ServerError) as caught:
            client(server.url).build_image_template(id=1)
        assert caught.value.code == "invalid_response"

    @pytest.mark.parametrize("row", [None, "x", []])
    def test_rows_that_are_none(self, row):
        with ScriptedServer(answering(200, [row])) as server, pytest.raises(ServerError) as caught:
            client(server.url).recipients.create_multiple([{"mailing_list_id": 1, "email": "ann@example.com"}])
        assert caught.value.code == "invalid_response"

    @pytest.mark.parametrize(
        ("error", "texts"),
        [
            ("No.", ["No."]),
            (["No.", "Never."], ["No.", "Never."]),
            ({"address": ["Missing."], "email": "Missing."}, ["Missing.", "Missing."]),
            (True, ["True"]),
        ],
    )
    def test_a_recipients_error_is_text(self, error, texts):
        with ScriptedServer(answering(200, [{"id": 1}, {"error": error}])) as server:
            made = client(server.url).recipients.create_multiple([{"mailing_list_id": 1, "email": "ann@example.com"}])
        assert (len(made.created), len(made.failed)) == (1, 1)
        with pytest.raises(InvalidRequest) as caught:
            made.raise_for_errors()
        assert caught.value.errors == {"1": texts}


class TestArguments:
    def test_values_that_json_does_not_know(self):
        with ScriptedServer(answering(200, {})) as server:
            api = client(server.url)
            api.recipients.create(mailing_list_id=1, email=lazystr("ann@example.com"), dob=date(1990, 2, 3))
            with pytest.raises(UnsendableValue) as caught:
                api.send.postcard(recipients=[{"name": b"Ann"}])
            assert caught.value.field == "recipients[0].name"
        (request,) = server.requests
        assert json.loads(request.body) == {"mailing_list_id": 1, "email": "ann@example.com", "dob": "1990-02-03"}

    def test_what_a_query_can_have(self):
        with ScriptedServer(answering(200, {})) as server:
            api = client(server.url)
            api.get("/x", params={"a": True, "b": [False, date(2026, 2, 3)], "c": None, "d": lazystr("e f")})
            for value in ({"e": 1}, [[{"e": 1}]]):
                with pytest.raises(UnsendableValue, match="object"):
                    api.get("/x", params={"d": value})
        assert [item.line for item in server.requests] == ["GET /api/v2/x?a=1&b=0&b=2026-02-03&d=e+f HTTP/1.1"]

    def test_a_moment_is_written_as_thanksio_reads_it(self):
        with ScriptedServer(answering(200, {"data": []})) as server:
            since = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)
            assert list(client(server.url).mailing_lists.recipients(5, updated_since=since, page=3)) == []
        assert (
            server.requests[0]
            .line.split()[1]
            .endswith("/mailing-lists-utils/recipients/5?updated_since=2026-02-03+04%3A05%3A06&page=3")
        )

    @pytest.mark.parametrize(
        ("call", "message"),
        [
            (lambda api: api.recipients.create(mailing_list_id=1), "address or an email"),
            (lambda api: api.recipients.create(address="1 Main St"), "mailing_list_id"),
            (lambda api: api.recipients.delete_by_address(mailing_list_id=1, address="1 Main St"), "postal_code"),
            (lambda api: api.orders.list(per_page=5), "per_page"),
            (lambda api: api.message_templates.update(5, titel="x"), "titel"),
        ],
        ids=range(5),
    )
    def test_a_mistake_is_a_type_error_before_anything_is_sent(self, call, message):
        with ScriptedServer(answering(200, {})) as server, pytest.raises(TypeError, match=message):
            call(client(server.url))
        assert server.connections == 0

    def test_a_path_with_a_users_text_goes_through_ids(self):
        with ScriptedServer(answering(200, {})) as server:
            api = client(server.url)
            api.get("/orders/{order_id}/track", ids={"order_id": "42"})
            with pytest.raises(ValueError, match="order_id"):
                api.get("/orders/{order_id}/track", ids={"order_id": "42/cancel?x="})
        assert [item.line for item in server.requests] == ["GET /api/v2/orders/42/track HTTP/1.1"]
