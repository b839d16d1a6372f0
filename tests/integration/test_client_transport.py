"""The transport against real servers that misbehave."""

import _thread
import gzip
import socket
import threading
import time
import zlib
from http.client import HTTPResponse

import pytest
import urllib3

from tests.integration.client_server import (
    ScriptedServer,
    answering,
    closing,
    dripping,
    free_port,
    reply,
    resetting,
    silent,
)
from thanksio_connect.client.auth import BearerAuth
from thanksio_connect.client.tokens import Secret
from thanksio_connect.client.transport import MIB, USER_AGENT, Transport, TransportConfig
from thanksio_connect.exceptions import NotSent, OutcomeUnknown, ThanksIOConfigurationError

QUICK = TransportConfig(connect_timeout_seconds=0.4, read_timeout_seconds=0.6)
BUSY_SECONDS = 5  # what a busy machine may add; without the deadline these calls would last for ever


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def send(script, method="POST", config=QUICK, **arguments):
    with ScriptedServer(script) as server:
        arguments.setdefault("form", {"a": "b"} if method == "POST" and "json" not in arguments else None)
        try:
            return Transport(config).send(method, server.url + arguments.pop("path", "/x/"), **arguments), server
        finally:
            assert server.connections <= 1


class TestWhatIsSent:
    def test_a_form(self):
        response, server = send(answering(200, {"a": 1}), form={"code": Secret("se cret&"), "id": "x"})
        (request,) = server.requests
        assert request.line == "POST /x/ HTTP/1.1"
        assert request.form == {"code": "se cret&", "id": "x"}
        assert request.headers["content-type"] == "application/x-www-form-urlencoded"
        assert request.headers["accept"] == "application/json"
        assert request.headers["user-agent"] == USER_AGENT
        assert USER_AGENT.startswith("thanksio_connect/")
        assert "authorization" not in request.headers
        assert (response.status, response.body) == (200, b'{"a": 1}')

    def test_the_product_stands_first_in_the_user_agent(self):
        _, server = send(answering(200), config=TransportConfig(product_name="shop/2.1"))
        assert server.requests[0].headers["user-agent"] == f"shop/2.1 {USER_AGENT}"

    def test_json_parameters_and_authorization(self):
        _, server = send(
            answering(200),
            method="PUT",
            json={"a": "é"},
            params={"page": 2, "none": None},
            headers={"X-Y": "z"},
            auth=BearerAuth(Secret("TOKEN")),
        )
        (request,) = server.requests
        assert request.line == "PUT /x/?page=2 HTTP/1.1"
        assert request.body == b'{"a": "\\u00e9"}'
        assert request.headers["content-type"] == "application/json"
        assert request.headers["authorization"] == "Bearer TOKEN"
        assert request.headers["x-y"] == "z"

    @pytest.mark.parametrize("json", [[], {}, 0, False, ""])
    def test_empty_json_is_a_body_too(self, json):
        _, server = send(answering(200), json=json)
        assert server.requests[0].headers["content-type"] == "application/json"
        assert server.requests[0].body

    def test_a_body_larger_than_the_sockets_buffers(self):
        _, server = send(answering(200), json=["x" * 8 * MIB], config=TransportConfig())
        assert len(server.requests[0].body) == 8 * MIB + 4


class TestWhatIsRead:
    def test_headers_whatever_their_case(self):
        response, _ = send(answering(418, b"teapot", {"X-Thing": "1"}))
        assert (response.status, response.body, response.headers["x-thing"]) == (418, b"teapot", "1")

    @pytest.mark.parametrize("body", [b"", b"x", b"y" * MIB])
    def test_a_chunked_body(self, body):
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:500], body[500:]) if part)
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        response, _ = send(closing(head + chunks + b"0\r\n\r\n"))
        assert response.body == body

    def test_a_body_that_ends_with_the_connection(self):
        response, _ = send(closing(b"HTTP/1.0 200 OK\r\n\r\nbody"))
        assert response.body == b"body"

    def test_a_gzipped_body(self):
        body = gzip.compress(b"x" * MIB)
        response, _ = send(answering(200, body, {"Content-Encoding": "gzip"}))
        assert response.body == b"x" * MIB

    @pytest.mark.parametrize("status", [100, 102, 103, 199])
    @pytest.mark.compliance("RFC 9110", "15.2")
    def test_interim_answers_are_passed_by(self, status):
        interim = f"HTTP/1.1 {status} X\r\nLink: </a>\r\n\r\n".encode()
        response, _server = send(closing(2 * interim + reply(201, {"id": 1})))
        assert (response.status, response.body) == (201, b'{"id": 1}')

    def test_no_redirect_is_followed(self):
        with ScriptedServer(answering(200, b"secret place")) as other:
            response, _ = send(answering(307, b"moved", {"Location": other.url}))
            assert (response.status, response.body) == (307, b"moved")
            assert other.connections == 0

    def test_no_cookie_is_kept(self):
        with ScriptedServer(answering(200, b"", {"Set-Cookie": "a=b"})) as server:
            transport = Transport(QUICK)
            for _ in range(2):
                transport.send("GET", server.url)
            assert all("cookie" not in request.headers for request in server.requests)
            assert server.connections == 2


class TestSizeLimit:
    @pytest.mark.parametrize("extra", [0, 1])
    def test_a_mebibyte_and_no_more(self, extra):
        if not extra:
            response, _ = send(answering(200, b"x" * MIB))
            assert len(response.body) == MIB
            return
        with pytest.raises(OutcomeUnknown) as caught:
            send(answering(200, b"x" * (MIB + extra)))
        assert caught.value.code == "too_large"

    def test_holds_for_what_a_bomb_unpacks_to(self):
        compressor = zlib.compressobj(9, wbits=31)
        bomb = b"".join(compressor.compress(bytes(MIB)) for _ in range(300)) + compressor.flush()
        assert len(bomb) < MIB
        with pytest.raises(OutcomeUnknown) as caught:
            send(answering(200, bomb, {"Content-Encoding": "gzip"}))
        assert caught.value.code == "too_large"

    @pytest.mark.parametrize("status", [200, 302, 400, 500])
    def test_holds_for_endless_bodies_of_any_status(self, status):
        head = b"HTTP/1.1 %d X\r\nLocation: /y\r\n\r\n" % status
        with pytest.raises(OutcomeUnknown) as caught:
            send(dripping(head, b"x" * 65536, every_seconds=0))
        assert caught.value.code == "too_large"

    @pytest.mark.parametrize(
        "head",
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"HTTP/1.1 200 OK\r\n"],
        ids=["chunk size", "header lines"],
    )
    def test_holds_for_endless_lines(self, head):
        with pytest.raises(OutcomeUnknown):
            send(dripping(head, b"0" * 65536, every_seconds=0))

    def test_can_be_raised_for_one_request(self):
        response, _ = send(answering(200, b"x" * (2 * MIB)), max_body_bytes=2 * MIB)
        assert len(response.body) == 2 * MIB


class TestDeadline:
    DRIPS = [
        pytest.param(b"", b"x", id="status line"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX-A: ", b"x", id="header"),
        pytest.param(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n", id="header lines"),
        pytest.param(b"", b"HTTP/1.1 100 Continue\r\n\r\n", id="interim answers"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b"x", id="body"),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\n", b"x", id="body until the end"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n", id="chunks"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"0", id="chunk size"),
        pytest.param(b"HTTP/1.1 302 X\r\nLocation: /y\r\nContent-Length: 100000\r\n\r\n", b"x", id="redirect"),
    ]

    @pytest.mark.parametrize(("start", "drop"), DRIPS)
    def test_a_drip_is_cut(self, start, drop):
        config = TransportConfig(connect_timeout_seconds=0.2, read_timeout_seconds=0.3)
        began = time.monotonic()
        with pytest.raises(OutcomeUnknown) as caught:
            send(dripping(start, drop), config=config)
        took = time.monotonic() - began
        assert 0.4 <= took < config.total_deadline_seconds + BUSY_SECONDS
        assert caught.value.code == "timeout"

    def test_a_silence_is_cut_by_the_read_timeout(self):
        began = time.monotonic()
        with pytest.raises(OutcomeUnknown) as caught:
            send(silent())
        assert 0.5 <= time.monotonic() - began < QUICK.total_deadline_seconds
        assert caught.value.code == "timeout"

    def test_a_slow_but_timely_answer_is_read(self):
        def script(connection, request):
            for byte in reply(200, b"slow"):
                connection.sendall(bytes([byte]))
                time.sleep(0.002)

        assert send(script)[0].body == b"slow"

    def test_a_server_that_does_not_read_is_cut_too(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            began = time.monotonic()
            with pytest.raises(OutcomeUnknown) as caught:
                Transport(QUICK).send("POST", f"http://127.0.0.1:{listener.getsockname()[1]}/", json=["x" * 20 * MIB])
            assert time.monotonic() - began < QUICK.total_deadline_seconds + BUSY_SECONDS
            assert caught.value.code == "timeout"

    def test_each_thread_has_its_own(self):
        errors = []

        def run():
            try:
                send(dripping(b"", b"x"))
            except OutcomeUnknown as error:
                errors.append(error.code)

        threads = [threading.Thread(target=run) for _ in range(8)]
        began = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == ["timeout"] * 8
        assert time.monotonic() - began < QUICK.total_deadline_seconds + BUSY_SECONDS


class TestAnotherStackBelow:
    """urllib3.future has urllib3's names, and does not ask before each ``recv``. A connection like this stands in."""

    @pytest.fixture(autouse=True)
    def _foreign(self, monkeypatch):
        class Foreign(urllib3.connection.HTTPConnection):
            __module__ = "urllib3.connection"

            def __init__(self, *args, **kwargs):
                super().__init__(*args, **kwargs)
                self.response_class = HTTPResponse

            def send(self, data):
                super().send(data)

        monkeypatch.setattr(urllib3.connectionpool.HTTPConnectionPool, "ConnectionCls", Foreign)

    @pytest.mark.parametrize(("start", "drop"), TestDeadline.DRIPS)
    def test_a_drip_is_cut_and_its_thread_ends(self, start, drop):
        began = time.monotonic()
        with ScriptedServer(dripping(start, drop)) as server:
            running = _thread._count()
            with pytest.raises(OutcomeUnknown) as caught:
                Transport(QUICK).send("POST", server.url, form={"a": "b"})
            assert 0.5 <= time.monotonic() - began < QUICK.total_deadline_seconds + 1
            assert caught.value.code == "timeout"
            until = time.monotonic() + 2
            while _thread._count() > running and time.monotonic() < until:
                time.sleep(0.01)
            assert _thread._count() <= running

    def test_a_good_answer_is_read(self):
        assert send(answering(200, b"ok"))[0].body == b"ok"

    def test_what_did_not_connect_is_not_sent(self):
        with pytest.raises(NotSent):
            Transport(QUICK).send("POST", f"http://127.0.0.1:{free_port()}/", form={"a": "b"})

    def test_what_connected_counts_as_sent(self):
        with pytest.raises(OutcomeUnknown):
            send(closing())


class TestNotSent:
    def test_connection_refused(self):
        with pytest.raises(NotSent) as caught:
            Transport(QUICK).send("POST", f"http://127.0.0.1:{free_port()}/", form={"a": "b"})
        assert (caught.value.code, caught.value.cause_name) == ("not_sent", "ConnectionError")
        assert caught.value.retryable

    def test_unknown_host(self):
        with pytest.raises(NotSent):
            Transport(QUICK).send("POST", "https://thanks-io.invalid/", form={"a": "b"})

    def test_connect_timeout(self):
        # The backlog of a listener that accepts nobody is full after two: further SYNs are dropped.
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(0)
            address = listener.getsockname()
            fillers = [socket.socket() for _ in range(4)]
            try:
                for filler in fillers:
                    filler.setblocking(False)
                    filler.connect_ex(address)
                began = time.monotonic()
                with pytest.raises(NotSent) as caught:
                    Transport(QUICK).send("POST", f"http://127.0.0.1:{address[1]}/", form={"a": "b"})
                assert time.monotonic() - began < 1.5
                assert caught.value.cause_name == "ConnectTimeout"
            finally:
                for filler in fillers:
                    filler.close()

    def test_a_name_lookup_that_outlives_the_deadline_sends_nothing(self, monkeypatch):
        look_up = socket.getaddrinfo

        def slow(*args, **kwargs):
            time.sleep(0.3)
            return look_up(*args, **kwargs)

        monkeypatch.setattr(socket, "getaddrinfo", slow)
        with ScriptedServer(answering(200)) as server:
            with pytest.raises(NotSent):
                Transport(TransportConfig(0.1, 0.1)).send("POST", server.url, form={"a": "b"})
            assert server.requests == []

    @pytest.mark.parametrize("headers", [{"X-A": "b\r\nX-B: c"}, {"X-A\n": "b"}])
    def test_headers_that_cannot_be_sent(self, headers):
        with pytest.raises(NotSent):
            send(answering(200), headers=headers)


class TestOutcomeUnknown:
    @pytest.mark.parametrize(
        "script",
        [
            resetting(),
            resetting(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"),
            closing(),
            closing(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"),
            closing(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"),
            closing(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n"),
            closing(b"nonsense\r\n\r\n"),
            closing(b"\x00\xff" * 100),
            closing(b"HTTP/1.1 abc\r\n\r\n"),
            closing(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n"),
            closing(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n"),
            answering(200, b"not gzip", {"Content-Encoding": "gzip"}),
            closing(b"HTTP/1.1 200 OK\r\nContent-Ty"),
            closing(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"),
            closing(b"HTTP/1.1 103 Early Hints\r\n\r\n"),
            closing(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n"),
        ],
        ids=range(16),
    )
    def test_a_broken_answer(self, script):
        with pytest.raises(OutcomeUnknown) as caught:
            send(script)
        assert caught.value.code == "outcome_unknown"
        assert caught.value.cause_name
        assert caught.value.retryable

    @pytest.mark.parametrize("script", [resetting(), closing()])
    @pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
    def test_nothing_is_sent_twice(self, script, method):
        with ScriptedServer(script) as server:
            with pytest.raises(OutcomeUnknown):
                Transport(QUICK).send(method, server.url, json={})
            assert len(server.requests) == server.connections == 1


class TestEnvironment:
    def test_netrc_is_not_used(self, monkeypatch, tmp_path):
        netrc = tmp_path / "netrc"
        netrc.write_text("machine 127.0.0.1 login me password netrcsecret\ndefault login me password netrcsecret\n")
        netrc.chmod(0o600)
        monkeypatch.setenv("NETRC", str(netrc))
        _, server = send(answering(200))
        assert "authorization" not in server.requests[0].headers
        _, server = send(answering(200), auth=BearerAuth(Secret("TOKEN")))
        assert server.requests[0].headers["authorization"] == "Bearer TOKEN"

    def test_plain_http_goes_past_proxies(self, monkeypatch):
        with ScriptedServer(answering(502)) as proxy:
            monkeypatch.setenv("HTTP_PROXY", proxy.url)
            monkeypatch.setenv("http_proxy", proxy.url)
            monkeypatch.setenv("ALL_PROXY", proxy.url)
            response, _ = send(answering(200))
            assert response.status == 200
            assert proxy.connections == 0

    @pytest.mark.parametrize("proxy", ["http://", "http://:80:90/", "nonsense://127.0.0.1:1/", "socks5h://127.0.0.1:1"])
    def test_an_unusable_proxy_is_configuration(self, monkeypatch, proxy):
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        with pytest.raises((ThanksIOConfigurationError, NotSent)) as caught:
            Transport(QUICK).send("POST", "https://thanks-io.invalid/", form={"a": "b"})
        assert proxy not in str(caught.value)

    def test_a_missing_ca_bundle_is_configuration(self, monkeypatch):
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/no/such/bundle.pem")
        with pytest.raises(ThanksIOConfigurationError, match="REQUESTS_CA_BUNDLE") as caught:
            Transport(QUICK).send("POST", "https://thanks-io.invalid/", form={"a": "b"})
        assert caught.value.code == "ca_bundle"
