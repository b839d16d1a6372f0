"""One exchange's wall-clock deadline, size limit and "was anything sent?", below requests.

requests' read timeout is per ``recv``: a server that drips a byte a second never hits it. Here every ``recv``
(of headers, body, or a proxy's answer to CONNECT) gets only the time that is left. That is done in extension
points of ``http.client`` and urllib3: ``response_class``, ``connect``, ``send``, ``pool_classes_by_scheme``.

What no timeout of Python bounds is the name look-up. A look-up that outlives the deadline ends in "not sent".
"""

from __future__ import annotations

import functools
import io
import socket
import time
from contextvars import ContextVar
from http.client import HTTPResponse
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3 import PoolManager
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool

LATE_READS, LATE_READ_SECONDS = 8, 0.01


class TooLarge(Exception):
    """The answer exceeds the limit."""


class Exchange:
    """The state of one request and its answer. Times are seconds of the monotonic clock."""

    def __init__(self, *, total_seconds: float, read_timeout_seconds: float, max_bytes: int) -> None:
        self.sent = False
        self.is_too_large = False
        self._ends_at = time.monotonic() + total_seconds
        self._read_timeout_seconds = read_timeout_seconds
        self._bytes_left = max_bytes
        self._late_reads_left = LATE_READS

    @property
    def remaining_seconds(self) -> float:
        """Time left until the deadline; not positive after it."""
        return self._ends_at - time.monotonic()

    @property
    def is_over(self) -> bool:
        """Whether the deadline has passed."""
        return self.remaining_seconds <= 0

    def allow(self, sock: Any, limit_seconds: float | None = None) -> None:
        """Give the socket's next call the time that is left; raises TimeoutError if none is."""
        seconds = self.remaining_seconds
        if seconds <= 0:
            raise TimeoutError("deadline")
        sock.settimeout(seconds if limit_seconds is None else min(seconds, limit_seconds))

    def before_receiving(self, sock: Any) -> None:
        """A single ``recv`` may last the read timeout, all together the deadline.

        Then a few more, in passing: what came while this process slept may be the only good pair of tokens.
        """
        if self.is_over and self._late_reads_left:
            self._late_reads_left -= 1
            sock.settimeout(LATE_READ_SECONDS)
        else:
            self.allow(sock, self._read_timeout_seconds)

    def before_sending(self, sock: Any) -> None:
        """From here on thanks.io may have acted on the request."""
        self.allow(sock)
        self.sent = True

    def received(self, count: int) -> None:
        """Count bytes as they came from the network; raises TooLarge."""
        self._bytes_left -= count
        if self._bytes_left < 0:
            self.too_large()

    def too_large(self) -> None:
        """Note that the answer is too large, and raise TooLarge."""
        self.is_too_large = True
        raise TooLarge


current_exchange: ContextVar[Exchange] = ContextVar("thanksio_connect_exchange")


class _Reader(io.RawIOBase):
    """The socket's own reader, with the exchange asked before each ``recv``."""

    def __init__(self, raw: Any, sock: Any) -> None:
        self._raw = raw
        self._sock = sock
        self._exchange = current_exchange.get()

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        return int(self._raw.fileno())

    def readinto(self, buffer: Any) -> int | None:
        self._exchange.before_receiving(self._sock)
        count: int | None = self._raw.readinto(buffer)
        self._exchange.received(count or 0)
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_Reader(self.fp.detach(), sock))


class _Connection(HTTPConnection):
    """Mixed into whatever connection class the pool has (http, https, SOCKS)."""

    response_class = _Response
    _is_connecting = False

    def connect(self) -> None:
        self._is_connecting = True
        try:
            super().connect()
        finally:
            self._is_connecting = False

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        if not self._is_connecting:  # else it is the CONNECT line to a proxy
            current_exchange.get().before_sending(self.sock)
        super().send(data)


@functools.cache
def _with_deadline(pool_class: type[HTTPConnectionPool]) -> type[HTTPConnectionPool]:
    connection_class = type("DeadlineConnection", (_Connection, pool_class.ConnectionCls), {})
    return type("DeadlinePool", (pool_class,), {"ConnectionCls": connection_class})


def _guard(manager: PoolManager) -> PoolManager:
    classes: dict[str, Any] = manager.pool_classes_by_scheme
    if not getattr(manager, "_is_guarded", False):
        manager.pool_classes_by_scheme = {scheme: _with_deadline(pool) for scheme, pool in classes.items()}
        manager._is_guarded = True  # type: ignore[attr-defined]
    return manager


class DeadlineAdapter(HTTPAdapter):
    """requests' adapter over connections that obey :data:`current_exchange`. Never sends anything twice."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        _guard(self.poolmanager)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        return _guard(super().proxy_manager_for(*args, **kwargs))
