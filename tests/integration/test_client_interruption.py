"""What something raises into the thread of a request is no network outcome, and comes out as it is."""

import contextlib
import ctypes
import signal
import threading
import time

import pytest

from tests.integration.client_server import ScriptedServer, answering, assert_hides, dripping, silent
from thanksio_connect.client.api import ThanksIOClient
from thanksio_connect.client.tokens import Secret
from thanksio_connect.client.transport import Transport, TransportConfig
from thanksio_connect.exceptions import NotSent, OutcomeUnknown

CONFIG = TransportConfig(connect_timeout_seconds=3, read_timeout_seconds=3)
SCRIPTS = [
    pytest.param(silent(5), id="silent"),
    pytest.param(dripping(b"HTTP/1.1 200 OK\r\nX: ", b"x", for_seconds=5), id="headers"),
    pytest.param(dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n", b"x", for_seconds=5), id="body"),
]


class Limit(Exception):
    """Somebody's time limit, such as Celery's."""


class TimeoutLimit(TimeoutError):
    """Somebody's time limit that is a TimeoutError."""


@contextlib.contextmanager
def alarm(error, seconds=0.3):
    def handler(number, frame):
        raise error

    before = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def send(url):
    return Transport(CONFIG).send("POST", url, form={"refresh_token": Secret("REFRESHSECRET")})


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize(
    "error", [TimeoutError("mine"), Limit("mine"), ConnectionResetError("mine"), KeyboardInterrupt(), SystemExit(3)]
)
def test_an_alarm_reaches_its_owner(script, error):
    began = time.monotonic()
    with ScriptedServer(script) as server:
        with alarm(error), pytest.raises(type(error)) as caught:
            send(server.url)
        assert len(server.requests) == server.connections == 1
    assert time.monotonic() - began < 3
    assert caught.value is error
    assert_hides(caught, "REFRESHSECRET")
    assert {entry.name for entry in caught.traceback if "thanksio_connect/client" in str(entry.path)} == {"send"}


def test_an_alarm_while_connecting_reaches_its_owner(monkeypatch):
    def connect(*args):
        time.sleep(5)

    monkeypatch.setattr("socket.socket.connect", connect)
    error = TimeoutError("mine")
    with alarm(error), pytest.raises(TimeoutError) as caught:
        send("http://127.0.0.1:9")
    assert caught.value is error


def test_an_order_is_not_reported_as_of_unknown_outcome():
    class Tokens:
        def get_access_token(self):
            return "ACCESSSECRET"

    error = TimeoutError("mine")
    with ScriptedServer(silent(5)) as server:
        client = ThanksIOClient(api_url=server.url, transport=Transport(CONFIG), tokens=Tokens())
        with alarm(error), pytest.raises(TimeoutError) as caught:
            client.post("/send/postcard", json={"message": "hello"})
    assert caught.value is error
    assert_hides(caught, "ACCESSSECRET")


@pytest.mark.parametrize("error_class", [Limit, TimeoutLimit, SystemExit, KeyboardInterrupt])
def test_what_another_thread_raises_reaches_its_owner(error_class):
    """RQ's timer does so, and Celery's in a pool of threads."""
    results = []

    def work(url):
        try:
            results.append(send(url))
        except BaseException as error:
            results.append(error)

    # The exception is delivered between two reads: this server drips.
    with ScriptedServer(dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n", b"x", for_seconds=5)) as server:
        thread = threading.Thread(target=work, args=(server.url,))
        thread.start()
        time.sleep(0.3)
        raised = ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(error_class))
        assert raised == 1
        thread.join(5)
        assert not thread.is_alive()
    (error,) = results
    assert type(error) is error_class
    assert error.__cause__ is error.__context__ is None


def test_the_networks_own_timeout_stays_one_while_an_alarm_is_set():
    with (
        alarm(TimeoutError("mine"), seconds=30),
        ScriptedServer(silent(5)) as server,
        pytest.raises(OutcomeUnknown) as caught,
    ):
        Transport(TransportConfig(0.3, 0.3)).send("GET", server.url)
    assert caught.value.code == "timeout"


@pytest.mark.parametrize("error_class", [AttributeError, ValueError, AssertionError, UnicodeError])
@pytest.mark.parametrize(("place", "outcome"), [("connect", NotSent), ("getresponse", OutcomeUnknown)])
def test_a_fault_of_the_http_stack_is_a_network_outcome(monkeypatch, error_class, place, outcome):
    """urllib3 is known to stumble over a socket that is gone (``'NoneType' object has no attribute …``)."""
    namespace: dict = {"__name__": "urllib3.connection", "error": error_class}
    exec("def fault(*args, **kwargs):\n    raise error", namespace)
    monkeypatch.setattr(f"urllib3.connection.HTTPConnection.{place}", namespace["fault"])
    with ScriptedServer(answering(200)) as server, pytest.raises(outcome) as caught:
        send(server.url)
    assert caught.value.cause_name == error_class.__name__


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9/\udcff", "https://é\u2488.invalid/", f"https://{'a' * 70}.invalid/"]
)
def test_a_url_that_cannot_be_built_is_not_sent(url):
    with pytest.raises(NotSent):
        send(url)
