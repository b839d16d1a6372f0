"""Kept connections: which request goes over one, and that none is lost, late or sent twice because of it.

Broken on purpose, these fail: a charge over a kept connection, one that idled for longer, one that a child process
inherited, one that goes past a mock, a read over a dead one that is not sent again, a time-out that is.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time

import pytest
import requests_mock

from tests.integration.client_server import ScriptedServer, read_request, reply
from thanksio_connect.client import kept
from thanksio_connect.client.auth import BearerAuth
from thanksio_connect.client.oauth import OAuthClient, OAuthConfig
from thanksio_connect.client.tokens import Secret
from thanksio_connect.client.transport import Reuse, Transport, TransportConfig
from thanksio_connect.exceptions import NotSent, OutcomeUnknown

QUICK = TransportConfig(connect_timeout_seconds=2, read_timeout_seconds=2)
PAIR = {"access_token": "a" * 20, "refresh_token": "r" * 20, "token_type": "Bearer", "expires_in": 60}


class KeepingServer(ScriptedServer):
    """A connection carries ``lasts`` requests, which ``script`` answers, and ends ``before_closing`` seconds later."""

    lasts = 1_000_000
    before_closing = 0.0

    def handle(self, connection: socket.socket) -> None:
        self.connections += 1
        if self.tls is not None:
            connection = self.tls.wrap_socket(connection, server_side=True)
        with contextlib.suppress(OSError), connection:
            connection.settimeout(30)
            for _ in range(self.lasts):
                request = read_request(connection)
                if request is None:
                    return
                self.requests.append(request)
                self.script(connection, request)
            time.sleep(self.before_closing)


def echo(connection, request):
    connection.sendall(reply(200, {"authorization": request.headers.get("authorization")}, {"Set-Cookie": "a=b"}))


@pytest.fixture(autouse=True)
def _nothing_idles():
    kept.close_all()
    yield
    kept.close_all()


@pytest.fixture
def server():
    with KeepingServer(echo) as running:
        yield running
        kept.close_all()


def get(server, **arguments):
    return Transport(QUICK).send("GET", server.url, reuse=Reuse.REPEATABLE, **arguments)


def charge(server):
    return Transport(QUICK).send("POST", server.url, json={})


def test_reads_go_over_one_connection_and_charges_over_one_each(server):
    for _ in range(5):
        get(server)
    assert server.connections == 1
    for _ in range(5):
        charge(server)
    assert server.connections == 6
    get(server)
    assert server.connections == 6
    assert {request.headers["connection"] for request in server.requests if "POST" in request.line} == {"close"}
    assert not any("cookie" in request.headers for request in server.requests)


def test_a_busy_token_endpoint_keeps_its_connection():
    with KeepingServer(lambda connection, request: connection.sendall(reply(200, PAIR))) as server:
        config = OAuthConfig(client_id="c", client_secret=Secret("s"), token_url=server.url)
        client = OAuthClient(config, Transport(QUICK))
        for _ in range(5):
            client.refresh(Secret("old"))
        assert server.connections == 1
        client.exchange_code(code=Secret("code"), redirect_uri=server.url, code_verifier=None)
        assert server.connections == 2
        kept.close_all()


@pytest.mark.parametrize(("reuse", "connections"), [(Reuse.LATELY, 2), (Reuse.REPEATABLE, 1)])
def test_what_idled_for_longer_is_closed(server, monkeypatch, reuse, connections):
    """A balancer that dropped the connection without a word would let the request wait for its whole time-out."""
    Transport(QUICK).send("GET", server.url, reuse=reuse)
    moment = kept.now()
    monkeypatch.setattr(kept, "now", lambda: moment + 1.5)
    Transport(QUICK).send("GET", server.url, reuse=reuse)
    assert server.connections == connections
    monkeypatch.setattr(kept, "now", lambda: moment + 10)
    Transport(QUICK).send("GET", server.url, reuse=reuse)
    assert server.connections == connections + 1


@pytest.mark.parametrize("before_closing", [0.0, 0.001])
def test_a_server_that_closes_without_a_word_costs_no_request(server, before_closing):
    server.lasts, server.before_closing = 1, before_closing
    for _ in range(100):
        assert get(server).status == 200
        assert charge(server).status == 200
    assert sum("POST" in request.line for request in server.requests) == 100


def test_a_read_over_a_connection_that_is_reset_is_sent_once_more(server):
    """The server had closed, and its word of it comes when the request is out."""
    answers = iter([True, False, True])

    def script(connection, request):
        if next(answers):
            echo(connection, request)
        else:
            connection.shutdown(socket.SHUT_RDWR)

    server.script = script
    assert get(server).status == get(server).status == 200
    assert (len(server.requests), server.connections) == (3, 2)


@pytest.mark.parametrize("reuse", [Reuse.REPEATABLE, Reuse.LATELY])
def test_a_request_that_timed_out_is_not_sent_again(server, reuse):
    transport = Transport(TransportConfig(connect_timeout_seconds=0.3, read_timeout_seconds=0.4))
    transport.send("GET", server.url, reuse=reuse)
    server.script = lambda connection, request: time.sleep(1)
    with pytest.raises(OutcomeUnknown) as caught:
        transport.send("GET", server.url, reuse=reuse)
    assert caught.value.code == "timeout"
    assert (len(server.requests), server.connections) == (2, 1)
    server.script = echo
    transport.send("GET", server.url, reuse=reuse)
    assert server.connections == 2


def test_an_answer_that_was_not_read_to_the_end_ends_its_connection(server):
    server.script = lambda connection, request: connection.sendall(reply(200, b"x" * 100_000))
    with pytest.raises(OutcomeUnknown):
        get(server, max_body_bytes=10)
    server.script = echo
    get(server)
    assert server.connections == 2


def test_an_interim_answer_does_not_leave_the_final_one_to_the_next_request(server):
    def script(connection, request):
        connection.sendall(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        time.sleep(0.1)
        echo(connection, request)

    server.script = script
    for token in ("anns", "bobs"):
        assert f"Bearer {token}".encode() in get(server, auth=BearerAuth(Secret(token))).body


def test_threads_never_mix_their_tokens(server):
    wrong, barrier = [], threading.Barrier(8)

    def run(number):
        barrier.wait(10)
        for call in range(40):
            token = f"token-{number}-{call}"
            answer = get(server, auth=BearerAuth(Secret(token)))
            if f"Bearer {token}".encode() not in answer.body:
                wrong.append(token)

    threads = [threading.Thread(target=run, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong == []
    assert server.connections <= 8
    assert len(server.requests) == 320


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork()")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_child_process_has_connections_of_its_own(server):
    get(server)
    child = os.fork()
    if not child:
        status = 1
        try:
            get(server)
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    get(server)
    assert server.connections == 2


def test_a_mock_is_asked_although_a_connection_is_kept(server):
    get(server)
    with requests_mock.Mocker() as mocker:
        mocker.get(server.url, json={"mocked": True})
        assert get(server).body == b'{"mocked": true}'
    assert len(server.requests) == 1


def test_what_is_closed_is_closed_at_once_whoever_still_holds_its_pool(server):
    """urllib3's manager leaves that to the garbage collector."""
    get(server)
    [idle] = kept._idle.values()
    pool = idle[0][2].get_adapter(server.url)._pool
    assert pool.pool is not None
    kept.close_all()
    assert pool.pool is None


def test_a_socket_class_that_was_replaced_is_used(server, monkeypatch):
    """As pytest-socket does, so that no test reaches the network."""
    get(server)

    class Guarded(socket.socket):
        def connect(self, address):
            raise OSError("no network here")

    monkeypatch.setattr(socket, "socket", Guarded)
    with pytest.raises(NotSent):
        get(server)


def test_what_is_replaced_while_an_answer_is_on_its_way_is_not_passed_by(server, monkeypatch):
    """The connection was made before: it must not count as one of the replacement's."""
    guarded = type("Guarded", (socket.socket,), {})

    def replace_and_answer(connection, request):
        monkeypatch.setattr(socket, "socket", guarded)
        echo(connection, request)

    server.script = replace_and_answer
    get(server)
    server.script = echo
    get(server)
    assert server.connections == 2
