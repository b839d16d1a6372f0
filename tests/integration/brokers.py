"""Brokers for the Celery tests: a folder, or a server of this machine behind a door that can be slammed."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

FOLDERS = {"data_folder_in": "queue", "data_folder_out": "queue", "control_folder": "control"}
SERVERS = {"redis": ("127.0.0.1", 6379, "redis://127.0.0.1:{}/5"), "amqp": ("127.0.0.1", 5672, "amqp://127.0.0.1:{}")}


class Door:
    """Forwards a port, until the connections through it are cut."""

    def __init__(self, host: str, port: int) -> None:
        if os.environ.get("THANKSIO_TEST_BROKERS") != "1":
            pytest.skip("needs Redis and RabbitMQ: THANKSIO_TEST_BROKERS=1")
        try:
            socket.create_connection((host, port), 2).close()
        except OSError:
            pytest.skip(f"nobody listens on port {port}")
        self._to = (host, port)
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                inner, _address = self._listener.accept()
                outer = socket.create_connection(self._to)
                self._open += [inner, outer]
                for one, other in ((inner, outer), (outer, inner)):
                    threading.Thread(target=self._pump, args=(one, other), daemon=True).start()

    def _pump(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                other.sendall(data)
        for each in (one, other):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        """End every connection. New ones are let in."""
        for each in self._open:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self._open = []

    def close(self) -> None:
        self._listener.close()
        self.cut()


class Broker:
    """``settings``: what Celery needs to use it, with a queue of this test's own."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.door: Door | None = None
        self.settings: dict[str, Any] = {"CELERY_TASK_DEFAULT_QUEUE": f"thanksio-{os.getpid()}-{folder.name}"[:100]}
        if kind == "folder":
            places = {name: str(folder / where) for name, where in FOLDERS.items()}
            for where in places.values():
                Path(where).mkdir(exist_ok=True)
            options: dict[str, Any] = {**places, "polling_interval": 0.05}
            self.settings |= {"CELERY_BROKER_URL": "folder://", "CELERY_BROKER_TRANSPORT_OPTIONS": options}
            return
        host, port, url = SERVERS[kind]
        self.door = Door(host, port)
        self.settings |= {
            "CELERY_BROKER_URL": url.format(self.door.port),
            "CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP": True,
            "CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS": False,
        }
        if kind == "redis":  # what a dead worker had is given out again after so long
            self.settings["CELERY_BROKER_TRANSPORT_OPTIONS"] = {
                "visibility_timeout": 5,
                "unacked_restore_interval": 1,
                "unacked_restore_throttle": 1,
            }
