"""The API client against a real server: paths, answers, errors, and the one renewal after a 401."""

import json

import pytest

from tests.integration.client_server import (
    ScriptedServer,
    answering,
    assert_hides,
    closing,
    free_port,
    reply,
    resetting,
)
from thanksio_connect.client.api import ThanksIOClient
from thanksio_connect.client.transport import MIB, Transport, TransportConfig
from thanksio_connect.exceptions import (
    APIError,
    NotFound,
    NotSent,
    OutcomeUnknown,
    PaymentRequired,
    RateLimited,
    ReconnectRequired,
    ServerError,
    Unauthorized,
)

UNAUTHENTICATED = reply(401, {"message": "Unauthenticated."})
OWNERSHIP = reply(401, {"status": "failed", "errors": ["Unauthorized"]})


class Tokens:
    """A token source of the tests: each renewal gives the next token."""

    def __init__(self, *tokens, error=None):
        self.tokens = list(tokens)
        self.error = error
        self.rejected = []

    def get_access_token(self):
        return self.tokens[0]

    def renew(self, rejected_access_token):
        self.rejected.append(rejected_access_token.reveal())
        if self.error:
            raise self.error
        if len(self.tokens) > 1:
            self.tokens.pop(0)


@pytest.fixture(autouse=True)
def _netrc(monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("default login me password netrcsecret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))


def client(server_url, tokens=None):
    return ThanksIOClient(
        api_url=f"{server_url}/api/v2",
        transport=Transport(TransportConfig(0.4, 0.6)),
        tokens=tokens or Tokens("TOKENONE", "TOKENTWO"),
    )


def by_token(**answers):
    """A script that answers by the bearer token."""

    def script(connection, request):
        connection.sendall(answers[request.headers["authorization"].removeprefix("Bearer ")])

    return script


class TestRequests:
    @pytest.mark.parametrize("method", ["get", "post", "put", "patch", "delete"])
    def test_methods_paths_and_bodies(self, method):
        with ScriptedServer(answering(200, {"ok": True})) as server:
            call = getattr(client(server.url), method)
            assert call("/mailing-lists/", params={"page": 2}, json={"a": 1}) == {"ok": True}
        (request,) = server.requests
        assert request.line == f"{method.upper()} /api/v2/mailing-lists/?page=2 HTTP/1.1"
        assert json.loads(request.body) == {"a": 1}
        assert request.headers["authorization"] == "Bearer TOKENONE"
        assert request.headers["accept"] == "application/json"

    def test_a_pagination_link_of_the_api_is_followed_and_no_other(self):
        with ScriptedServer(answering(200, {})) as server:
            api = client(server.url)
            api.get(f"{server.url}/api/v2/orders/list?page=2")
            assert server.requests[0].line == "GET /api/v2/orders/list?page=2 HTTP/1.1"
            with pytest.raises(ValueError, match="not below"):
                api.get("https://evil.example/api/v2/orders/list?page=2")
            with pytest.raises(ValueError, match="not below"):
                api.get(f"{server.url}/oauth/token")
            assert len(server.requests) == 1

    @pytest.mark.parametrize("family", ["send", "estimate"])
    @pytest.mark.parametrize(
        "piece", ["postcard", "windowedletter", "windowlessletter", "notecard", "magnacard", "giftcard"]
    )
    def test_mail_pieces(self, family, piece):
        with ScriptedServer(answering(200, {"id": 5})) as server:
            mail = getattr(getattr(client(server.url), family), piece)
            assert mail(message="Hi", recipients=[{"name": "A"}], sub_account=None) == {"id": 5}
            with pytest.raises(TypeError, match=piece):
                mail()
            with pytest.raises(TypeError, match=rf"{piece}\(\) has no field 'mesage'. Did you mean 'message'"):
                mail(mesage="Hi")
        (request,) = server.requests
        assert request.line == f"POST /api/v2/{family}/{piece} HTTP/1.1"
        assert json.loads(request.body) == {"message": "Hi", "recipients": [{"name": "A"}], "sub_account": None}


class TestAnswers:
    @pytest.mark.parametrize(
        ("script", "value"),
        [
            (answering(200, [1, {"a": None}]), [1, {"a": None}]),
            (answering(201, {"id": 1}), {"id": 1}),
            (answering(200, b"", {}), None),
            (closing(b"HTTP/1.1 204 No Content\r\n\r\n"), None),
            (answering(200, b"\x89PNG", {"Content-Type": "image/png"}), b"\x89PNG"),
            (answering(200, {"a": 1}, {"Content-Type": "text/html"}), {"a": 1}),
            (answering(200, ["x" * 3 * MIB]), ["x" * 3 * MIB]),
        ],
        ids=range(7),
    )
    def test_values(self, script, value):
        with ScriptedServer(script) as server:
            assert client(server.url).get("/x") == value

    @pytest.mark.parametrize("body", [b"<html>", b"{", b"\xff", b"[" * 200_000])
    def test_a_success_that_cannot_be_read(self, body):
        with ScriptedServer(answering(200, body)) as server, pytest.raises(ServerError) as caught:
            client(server.url).post("/x", json={})
        assert (caught.value.status_code, caught.value.code) == (200, "invalid_response")

    @pytest.mark.parametrize(
        ("script", "error", "code"),
        [
            (answering(402, {"message": "Pay.", "code": "api_disabled_payment_failures"}), PaymentRequired,
             "api_disabled_payment_failures"),
            (answering(404, {"message": "Not Found"}), NotFound, "not_found"),
            (answering(500, b"<html>"), ServerError, "server_error"),
            (answering(301, b"", {"Location": "/elsewhere"}), APIError, "redirect"),
            (closing(), OutcomeUnknown, "outcome_unknown"),
            (resetting(), OutcomeUnknown, "outcome_unknown"),
        ],
        ids=range(6),
    )  # fmt: skip
    def test_errors(self, script, error, code):
        with ScriptedServer(script) as server:
            with pytest.raises(error) as caught:
                client(server.url).post("/x", json={})
            assert len(server.requests) == 1
        assert (type(caught.value), caught.value.code) == (error, code)
        assert_hides(caught, "TOKENONE")

    def test_rate_limit(self):
        with ScriptedServer(answering(429, b"", {"Retry-After": "7"})) as server, pytest.raises(RateLimited) as caught:
            client(server.url).get("/x")
        assert caught.value.retry_after == 7

    def test_not_sent(self):
        with pytest.raises(NotSent) as caught:
            client(f"http://127.0.0.1:{free_port()}").post("/send/postcard", json={"message": "x"})
        assert_hides(caught, "TOKENONE")


class TestRenewal:
    @pytest.mark.parametrize("method", ["get", "post"])
    def test_one_renewal_and_one_replay(self, method):
        tokens = Tokens("TOKENONE", "TOKENTWO")
        with ScriptedServer(by_token(TOKENONE=UNAUTHENTICATED, TOKENTWO=reply(200, {"ok": 1}))) as server:
            assert getattr(client(server.url, tokens), method)("/x", json={"a": 1}) == {"ok": 1}
        assert tokens.rejected == ["TOKENONE"]
        assert [request.body for request in server.requests] == [b'{"a": 1}'] * 2

    def test_a_second_refusal_ends_it(self):
        tokens = Tokens("TOKENONE", "TOKENTWO", "TOKENTHREE")
        with ScriptedServer(by_token(TOKENONE=UNAUTHENTICATED, TOKENTWO=UNAUTHENTICATED)) as server:
            with pytest.raises(Unauthorized) as caught:
                client(server.url, tokens).get("/x")
            assert len(server.requests) == 2
        assert tokens.rejected == ["TOKENONE"]
        assert caught.value.code == "unauthenticated"
        assert_hides(caught, "TOKENONE", "TOKENTWO")

    def test_the_same_token_is_not_sent_again(self):
        tokens = Tokens("TOKENONE")
        with ScriptedServer(by_token(TOKENONE=UNAUTHENTICATED)) as server:
            with pytest.raises(Unauthorized):
                client(server.url, tokens).get("/x")
            assert len(server.requests) == 1

    @pytest.mark.parametrize("answer", [OWNERSHIP, reply(401, {"message": "Unauthorized"}), reply(401, b"<html>")])
    def test_an_ownership_401_spends_nothing(self, answer):
        tokens = Tokens("TOKENONE", "TOKENTWO")
        with ScriptedServer(by_token(TOKENONE=answer)) as server:
            with pytest.raises(Unauthorized) as caught:
                client(server.url, tokens).get("/order-items/5")
            assert len(server.requests) == 1
        assert tokens.rejected == []
        assert caught.value.code == "unauthorized"

    def test_the_token_sources_error_comes_through(self):
        tokens = Tokens("TOKENONE", error=ReconnectRequired())
        with ScriptedServer(by_token(TOKENONE=UNAUTHENTICATED)) as server, pytest.raises(ReconnectRequired) as caught:
            client(server.url, tokens).get("/x")
        assert caught.value.__context__ is None

    def test_a_token_that_no_header_can_carry_is_not_shown(self):
        with ScriptedServer(answering(200)) as server:
            with pytest.raises(ValueError, match="access token") as caught:
                client(server.url, Tokens("BAD\r\nTOKEN")).get("/x")
            assert server.connections == 0
        assert_hides(caught, "BAD", "TOKEN")
