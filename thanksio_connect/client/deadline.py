"""One exchange's wall-clock deadline, size limit and "was anything sent?", below requests.

requests' read timeout is per ``recv``: a server that drips a byte a second never hits it. Here every ``recv``
(of headers, body, or a proxy's answer to CONNECT) gets only the time that is left. That is done in extension
points of ``http.client`` and urllib3: ``response_class``, ``connect``, ``send``, ``pool_classes_by_scheme``.

urllib3.future (which niquests installs in urllib3's place) and vcrpy do not speak through ``http.client``, and pass by
some of these points: :func:`holds` is false. Then the transport waits in another thread, and no longer than the
deadline; "sent" is assumed as soon as a connection stands, with vcrpy from the start.

What no timeout of Python bounds is the name look-up. A look-up that outlives the deadline ends in "not sent".
"""

from __future__ import annotations

import contextlib
import functools
import http
import http.client
import io
import socket
import time
from contextvars import ContextVar
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3 import PoolManager
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

LATE_READS, LATE_READ_SECONDS = 8, 0.01
_READS, _BYTES_A_READ = 10_000, 64  # so many reads, and one more for each so many bytes


def now() -> float:
    """Return seconds of the monotonic clock. A test that stops ``time.monotonic`` does not stop this one."""
    if hasattr(time, "clock_gettime"):
        return time.clock_gettime(time.CLOCK_MONOTONIC)
    return time.monotonic()


class TooLarge(Exception):
    """The answer exceeds the limit."""


class Exchange:
    """The state of one request and its answer. Times are seconds of the monotonic clock.

    The reads are counted as well: a clock that stands still makes no exchange endless.
    """

    def __init__(self, *, total_seconds: float, read_timeout_seconds: float, max_bytes: int) -> None:
        self.has_begun = False  # to connect; stays so if a mock answers
        self.sent = False
        self.is_too_large = False
        self.is_answered = False
        self._is_on_a_new_connection = False
        self._ends_at = now() + total_seconds
        self._read_timeout_seconds = read_timeout_seconds
        self._bytes_left = max_bytes
        self._reads_left = _READS + max_bytes // _BYTES_A_READ
        self._late_reads_left = LATE_READS
        self._late_chunks_left = LATE_READS
        self._sock: Any = None

    @property
    def remaining_seconds(self) -> float:
        """Time left until the deadline; not positive after it."""
        return self._ends_at - now() if self._reads_left > 0 else 0.0

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
        self._reads_left -= 1
        if self.is_over and self._late_reads_left:
            self._late_reads_left -= 1
            sock.settimeout(LATE_READ_SECONDS)
        else:
            self.allow(sock, self._read_timeout_seconds)

    @property
    def met_a_dead_connection(self) -> bool:
        """Whether the request went over a kept connection, and not a byte came back."""
        return self.sent and self.has_begun and not self._is_on_a_new_connection and not self.is_answered

    def before_sending(self, sock: Any) -> None:
        """From here on thanks.io may have acted on the request."""
        self._sock = sock
        self.allow(sock)
        self.has_begun = self.sent = True

    def connected(self, sock: Any, *, is_watched: bool) -> None:
        """Note the socket. Where the request itself passes unseen, it counts as sent from here on."""
        self._sock = sock
        self._is_on_a_new_connection = True
        if self.is_over:
            raise TimeoutError("deadline")
        self.sent = self.sent or not is_watched

    def received(self, count: int) -> None:
        """Count bytes as they came from the network; raises TooLarge."""
        self._bytes_left -= count
        self.is_answered = self.is_answered or count > 0
        if self._bytes_left < 0:
            self.too_large()

    def after_chunk(self) -> None:
        """Raise TimeoutError if chunks of the body go on coming after the deadline."""
        if self.is_over:
            self._late_chunks_left -= 1
            if self._late_chunks_left < 0:
                raise TimeoutError("deadline")

    def too_large(self) -> None:
        """Note that the answer is too large, and raise TooLarge."""
        self.is_too_large = True
        raise TooLarge

    def cut(self) -> None:
        """Shut the connection down, from another thread: whatever waits for it wakes up."""
        with contextlib.suppress(OSError, TypeError):
            socket.socket.shutdown(self._sock, socket.SHUT_RDWR)


current_exchange: ContextVar[Exchange] = ContextVar("thanksio_connect_exchange")


class _Reader(io.RawIOBase):
    """The socket's own reader, with the exchange asked before each ``recv``."""

    def __init__(self, raw: Any, sock: Any) -> None:
        self.has_ended = False  # the server has closed
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
        self.has_ended = count == 0
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        if isinstance(self.fp, io.BufferedReader):  # else a mocked socket's
            self.fp = io.BufferedReader(_Reader(self.fp.detach(), sock))

    def begin(self, **options: Any) -> None:
        """Read the head of the final answer (RFC 9110 15.2), whole (RFC 9112 8).

        ``http.client`` takes an interim answer other than 100 for the final one, and a head that breaks off for whole.
        """
        super().begin(**options)
        while http.HTTPStatus.SWITCHING_PROTOCOLS < self.status < http.HTTPStatus.OK:
            self.headers = None  # type: ignore[assignment]
            super().begin(**options)
        is_cut = getattr(getattr(self.fp, "raw", None), "has_ended", False)
        if is_cut or self.status == http.HTTPStatus.SWITCHING_PROTOCOLS:
            raise http.client.HTTPException("no final answer")


class _Connection(HTTPConnection):
    """Mixed into whatever connection class the pool has (http, https, SOCKS)."""

    response_class = _Response
    _is_connecting = False
    _is_watched = True

    def connect(self) -> None:
        exchange = current_exchange.get()
        exchange.has_begun = self._is_connecting = True
        try:
            super().connect()
        finally:
            self._is_connecting = False
        exchange.connected(self.sock, is_watched=self._is_watched)

    def send(self, data: Any, *args: Any, **kwargs: Any) -> Any:
        if self.sock is None:
            self.connect()
        if not self._is_connecting:  # else it is the CONNECT line to a proxy
            current_exchange.get().before_sending(self.sock)
        return super().send(data, *args, **kwargs)


def _is_watched(connection_class: type) -> bool:
    """Whether the class sends by ``http.client``'s own ``send``, as urllib3 does."""
    definer = next((each for each in connection_class.__mro__ if "send" in vars(each)), None)
    return definer is http.client.HTTPConnection


def holds() -> bool:
    """Return whether the deadline holds in every ``recv``. It does not if urllib3 is another, or was patched."""
    return _is_watched(HTTPConnectionPool.ConnectionCls) and _is_watched(HTTPSConnectionPool.ConnectionCls)


@functools.lru_cache(maxsize=32)
def _with_deadline(pool_class: Any, connection_class: Any) -> type[HTTPConnectionPool]:
    names = {"_is_watched": _is_watched(connection_class)}
    mixed = type("DeadlineConnection", (_Connection, connection_class), names)
    return type("DeadlinePool", (pool_class,), {"ConnectionCls": mixed})


def _guarded(pool_class: Any) -> Any:
    """The pool over guarded connections. A class that somebody put in place of urllib3's is left as it is."""
    connection_class = pool_class.ConnectionCls
    if _is_watched(connection_class) or connection_class.__module__.startswith("urllib3."):
        return _with_deadline(pool_class, connection_class)
    current_exchange.get().sent = True
    return pool_class


def _guard(manager: PoolManager) -> PoolManager:
    classes: dict[str, Any] = manager.pool_classes_by_scheme
    if not getattr(manager, "_is_guarded", False):
        manager.pool_classes_by_scheme = {scheme: _guarded(pool) for scheme, pool in classes.items()}
        manager._is_guarded = True  # type: ignore[attr-defined]
    return manager


class DeadlineAdapter(HTTPAdapter):
    """requests' adapter over connections that obey :data:`current_exchange`. Never sends anything twice.

    It is for one origin, one proxy and one CA bundle: the pool is looked up once, and its CA bundle looked for once.
    """

    def __init__(self) -> None:
        super().__init__(pool_connections=1, pool_maxsize=1)
        self._pool: Any = None
        self._verified: Any = None

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        _guard(self.poolmanager)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        return _guard(super().proxy_manager_for(*args, **kwargs))

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        if self._pool is None:
            self._pool = super().get_connection_with_tls_context(*args, **kwargs)
        return self._pool

    def close(self) -> None:
        """Close the connections. urllib3's own manager only lets go of a pool, which somebody may still hold."""
        super().close()
        if self._pool is not None:
            self._pool.close()
            self._pool = None

    def cert_verify(self, conn: Any, *args: Any, **kwargs: Any) -> None:
        if conn is not self._verified:
            super().cert_verify(conn, *args, **kwargs)  # type: ignore[no-untyped-call]
            self._verified = conn
