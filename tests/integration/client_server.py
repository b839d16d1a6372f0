"""A local HTTP server that answers byte for byte what a test wants, and secrets that may show up nowhere."""

from __future__ import annotations

import contextlib
import json
import socket
import socketserver
import ssl
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import pytest


@dataclass
class Received:
    """One request as it came."""

    line: str
    headers: dict[str, str]
    body: bytes

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True))


Script = Callable[[socket.socket, Received], None]


@dataclass
class ScriptedServer:
    """Runs ``script(connection, request)`` for each request; one connection carries one request."""

    script: Script
    tls: ssl.SSLContext | None = None
    requests: list[Received] = field(default_factory=list)
    connections: int = 0
    port: int = 0
    stopping: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        scheme, host = ("https", "localhost") if self.tls else ("http", "127.0.0.1")
        return f"{scheme}://{host}:{self.port}"

    def handle(self, connection: socket.socket) -> None:
        self.connections += 1
        with contextlib.suppress(OSError):
            if self.tls is not None:
                connection = self.tls.wrap_socket(connection, server_side=True)
            with connection:
                request = read_request(connection)
                if request is not None:
                    self.requests.append(request)
                    self.script(connection, request)

    def __enter__(self) -> ScriptedServer:
        scripted = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                scripted.handle(self.request)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = False
            block_on_close = True

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def read_request(connection: socket.socket) -> Received | None:
    """Read head and body from the connection; None if it closes before."""
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = connection.recv(65536)
        if not chunk:
            return None
        data += chunk
    head, body = data.split(b"\r\n\r\n", 1)
    line, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, value in (item.split(": ", 1) for item in lines)}
    whole = bytearray(body)
    while len(whole) < int(headers.get("content-length", 0)):
        chunk = connection.recv(65536)
        if not chunk:
            return None
        whole += chunk
    return Received(line, headers, bytes(whole))


def reply(status: int = 200, body: Any = b"", headers: dict[str, str] | None = None, reason: str = "X") -> bytes:
    """A whole HTTP/1.1 answer."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    all_headers = {"Content-Type": "application/json", "Content-Length": str(len(raw)), **(headers or {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in all_headers.items())
    return f"HTTP/1.1 {status} {reason}\r\n{head}\r\n".encode() + raw


def answering(*args: Any, **kwargs: Any) -> Script:
    """A script that sends one :func:`reply`."""
    data = reply(*args, **kwargs)
    return lambda connection, request: connection.sendall(data)


def dripping(start: bytes, drop: bytes, every_seconds: float = 0.05, for_seconds: float = 20) -> Script:
    """A script that sends ``start`` and then ``drop`` again and again, until nobody listens or the time is over."""

    def script(connection: socket.socket, request: Received) -> None:
        connection.sendall(start)
        for _drop in range(int(for_seconds / max(every_seconds, 0.00001))):  # a test may have stopped the clock
            connection.sendall(drop)
            time.sleep(every_seconds)

    return script


def resetting(start: bytes = b"") -> Script:
    """A script that sends ``start`` and then resets the connection (RST)."""

    def script(connection: socket.socket, request: Received) -> None:
        connection.sendall(start)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()

    return script


def closing(start: bytes = b"") -> Script:
    """A script that sends ``start`` and closes."""
    return lambda connection, request: connection.sendall(start)


def silent(seconds: float = 20) -> Script:
    """A script that says nothing until the client hangs up."""

    def script(connection: socket.socket, request: Received) -> None:
        connection.settimeout(seconds)
        connection.recv(1)

    return script


def free_port() -> int:
    """A port of this host that refuses connections."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def assert_hides(caught: pytest.ExceptionInfo[BaseException], *secrets: str) -> None:
    """Assert that neither the exception nor a local variable in its traceback shows any of the secrets.

    The frames of the tests themselves are left out: they hold the secrets to look for them.
    """
    error = caught.value
    assert error.__cause__ is None
    assert error.__context__ is None
    shown = [str(error), repr(error), repr(error.args), repr(vars(error))]
    frames = [entry.frame for entry in caught.traceback if "thanksio_connect/client" in str(entry.path)]
    assert frames
    for frame in frames:
        for name, value in frame.f_locals.items():
            shown += [f"{name}={value!r}", str(value)]
            if type(value).__module__.startswith("thanksio_connect"):
                shown += [repr(item) for item in getattr(value, "__dict__", {}).values()]
    for secret in secrets:
        assert secret not in "\n".join(shown)
