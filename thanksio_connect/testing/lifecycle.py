"""Starting and stopping the server, and its addresses."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from thanksio_connect.testing.dispatch import Dispatcher
from thanksio_connect.testing.wire import FakeHTTPServer


class LocalServer:
    """An HTTP server on 127.0.0.1 in a daemon thread. Port 0 takes a free one, kept over a restart."""

    def __init__(self, dispatcher: Dispatcher, port: int = 0) -> None:
        self.dispatcher = dispatcher
        self.faults = dispatcher.faults
        self._port = port
        self._http: FakeHTTPServer | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> Self:
        """Listen. After a stop, listens on the same port again."""
        if self._http is None:
            self._http = FakeHTTPServer(self._port, self.dispatcher.respond)
            self._port = self._http.server_address[1]
            self._thread = threading.Thread(
                target=self._http.serve_forever,
                kwargs={"poll_interval": 0.01},
                name="fake-thanksio",
                daemon=True,
            )
            self._thread.start()
        return self

    def stop(self) -> None:
        """Close the port and every connection. Grants, orders and the log stay."""
        http, thread = self._http, self._thread
        self._http = self._thread = None
        if http is not None and thread is not None:
            http.shutdown()
            thread.join()
            http.server_close()
            http.close_all()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self.faults.clear()
        self.stop()
        errors = self.dispatcher.errors
        if kind is None and errors:
            raise RuntimeError("A callable given to the fake, or the fake, failed") from errors[0]

    @contextmanager
    def down(self) -> Iterator[None]:
        """Refuse connections inside the block; listen on the same port again after it."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    @property
    def url(self) -> str:
        """Root URL, without a slash at the end."""
        if not self._port:
            raise RuntimeError("Start the fake first: with FakeThanksIO() as thanksio: …")
        return f"http://127.0.0.1:{self._port}"
