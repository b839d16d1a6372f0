"""The fake as a process of its own, and the hand that steers it. Only the standard library."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection
from typing import Any, Self
from urllib.parse import urlsplit


class RemoteError(Exception):
    """The fake refused an order."""


class RemoteThanksIO:
    """Steers a fake by its address and control key. Pickles, so that worker processes may be handed one.

    >>> with RemoteThanksIO.launch("--dialect", "league8") as thanksio:         # doctest: +SKIP
    ...     thanksio.call("next_token", lose_reply="after")
    """

    def __init__(self, address: Mapping[str, Any]) -> None:
        self.url: str = address["url"]
        self.settings: dict[str, str] = dict(address["settings"])
        self._key: str = address["control_key"]

    @classmethod
    @contextmanager
    def launch(cls, *arguments: str) -> Iterator[Self]:
        """Start ``python -m thanksio_connect.testing`` on a free port; it ends with the block.

        Everybody is allowed to connect, unless an order says otherwise. ``arguments`` are the command's.
        """
        for_programs = ("--json", "--until-stdin-closes", "--auto-allow", "--port", "0")
        command = [sys.executable, "-m", "thanksio_connect.testing", *for_programs, *arguments]
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        with process:
            try:
                line = process.stdout.readline() if process.stdout else ""
                if not line:
                    raise RemoteError(f"The fake did not start; it ended with status {process.wait(10)}")
                yield cls(json.loads(line))
            finally:
                if process.stdin:
                    process.stdin.close()

    def call(self, name: str, **arguments: Any) -> Any:
        """Give an order (a method of the server) and return its result. Raises :class:`RemoteError`."""
        connection = HTTPConnection(urlsplit(self.url).netloc, timeout=30)
        try:
            headers = {"Content-Type": "application/json", "X-Control-Key": self._key}
            connection.request("POST", f"/_control/{name}", json.dumps(arguments), headers)
            response = connection.getresponse()
            answer = json.loads(response.read())
        finally:
            connection.close()
        if response.status != 200:
            raise RemoteError(answer["error"])
        return answer["result"]
