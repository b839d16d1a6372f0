"""The HTTP server itself: reads requests, and sends replies as well or as badly as a fault orders."""

from __future__ import annotations

import json
import socket
import socketserver
import struct
import threading
import time
from collections.abc import Callable
from email.message import Message
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from thanksio_connect.testing.faults import Fault
from thanksio_connect.testing.replies import Reply

_FAREWELL_SECONDS = 2.0
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER with a zero timeout: close() sends RST


class ConnectionDropped(Exception):
    """The connection was closed on purpose or by the client; nothing more can be sent."""


class Handler(BaseHTTPRequestHandler):
    """One connection. Keeps it alive between requests, as real servers do; says nothing on stderr."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: FakeHTTPServer

    def setup(self) -> None:
        self.server.connections.add(self.request)
        super().setup()

    def finish(self) -> None:
        try:
            super().finish()
        except (OSError, ValueError):
            pass
        finally:
            self.server.connections.discard(self.request)

    def handle(self) -> None:
        try:
            super().handle()
        except (ConnectionDropped, OSError):
            self.close_connection = True

    def do_GET(self) -> None:
        self.server.respond(self)

    do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        """Silence: the request log is :attr:`ThanksIOServer.requests`."""

    def read_facts(self) -> dict[str, Any]:
        """Read the request and return it as the facts of a record."""
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length) if length else b""
        parts = urlsplit(self.path)
        return {
            "method": self.command,
            "path": parts.path,
            "query": dict(parse_qsl(parts.query, keep_blank_values=True)),
            "headers": {name.lower(): value for name, value in self.headers.items()},
            "body": body,
            **_decode(self.headers, body),
        }

    def send(self, reply: Reply, fault: Fault | None) -> None:
        """Send a reply, or raise :class:`ConnectionDropped` (with a cause if the client went away)."""
        head, body = reply.encode_head(), b"" if self.command == "HEAD" else reply.body
        try:
            if fault is not None and fault.lose_reply in ("after", "midway"):
                if fault.lose_reply == "midway":
                    self.wfile.write(head + body[: len(body) // 2])
                self.drop(reset=fault.reset)
            if fault is not None and fault.drip is not None:
                if fault.drip == "body":
                    self.wfile.write(head)
                    head = b""
                self._drip(head + body, fault.drip_seconds)
            else:
                self.wfile.write(head + body)
        except OSError as error:
            raise ConnectionDropped from error

    def drop(self, *, reset: bool) -> None:
        """Close the connection without (the rest of) a reply."""
        self.close_connection = True
        if reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        raise ConnectionDropped

    def _drip(self, data: bytes, seconds: float) -> None:
        for index in range(len(data)):
            self.wfile.write(data[index : index + 1])
            if self.server.stopping.wait(seconds):
                raise ConnectionDropped


class FakeHTTPServer(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """Threads are daemons; :meth:`close_all` ends them with their connections."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 256

    def __init__(self, port: int, respond: Callable[[Handler], None]) -> None:
        self.connections: set[socket.socket] = set()
        self.stopping = threading.Event()
        self.respond = respond
        super().__init__(("127.0.0.1", port), Handler)

    def shutdown_request(self, request: Any) -> None:
        """Close without a polite shutdown where a reset was ordered (SO_LINGER decides)."""
        if request.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8) == _RESET_ON_CLOSE:
            request.close()
        else:
            super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Broken connections are part of the game; errors of the fake itself are kept by its owner."""

    def close_all(self) -> None:
        """End every open connection at once, and wait a little for their entries in the log."""
        self.stopping.set()
        for connection in list(self.connections):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        deadline = time.monotonic() + _FAREWELL_SECONDS
        while self.connections and time.monotonic() < deadline:
            time.sleep(0.002)


def _decode(headers: Message, body: bytes) -> dict[str, Any]:
    content_type = (headers.get("Content-Type") or "").partition(";")[0].strip().lower()
    if content_type == "application/x-www-form-urlencoded":
        return {"form": dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))}
    if content_type == "application/json":
        try:
            return {"json": json.loads(body)}
        except ValueError:
            return {}
    return {}
