"""Worker processes: each a Django of its own on the same database, steered by JSON lines."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from django.conf import settings

ROOT = Path(__file__).parents[3]
SHARED_SETTINGS = (
    "FIELD_ENCRYPTION_KEY THANKSIO_CLIENT_ID THANKSIO_CLIENT_SECRET THANKSIO_AUTHORIZE_URL THANKSIO_TOKEN_URL "
    "THANKSIO_API_URL THANKSIO_CONNECT_TIMEOUT_SECONDS THANKSIO_READ_TIMEOUT_SECONDS USE_TZ TIME_ZONE"
).split()


def _settings(database: dict[str, Any], overrides: dict[str, Any]) -> dict[str, Any]:
    names = {name: getattr(settings, name) for name in SHARED_SETTINGS if hasattr(settings, name)}
    return {**names, "DATABASES": {"default": database}, **overrides}


class Failed(Exception):
    """The order raised in the worker: ``kind`` is the exception's class name, ``code`` its code."""

    def __init__(self, kind: str, code: str, text: str) -> None:
        self.kind = kind
        self.code = code
        super().__init__(f"{kind}[{code}]: {text}")


class Worker:
    """One process. ``call`` waits for the answer; ``begin`` and ``end`` let the test do something meanwhile."""

    def __init__(
        self,
        database: dict[str, Any],
        *,
        pymysql: bool = False,
        orders: str = "tests.integration.refresh.orders",
        **overrides: Any,
    ) -> None:
        self.is_reusable = not pymysql and not overrides
        self.unanswered = 0
        self.errors = tempfile.TemporaryFile(mode="w+")  # noqa: SIM115 - lives as long as the worker
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "tests.integration.refresh.worker"],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            bufsize=1,
        )
        self.write({"settings": _settings(database, overrides), "pymysql": pymysql, "orders": orders})

    def take_up(self, database: dict[str, Any]) -> None:
        """Work for another test: its settings and its database."""
        self.write({"settings": _settings(database, {})})

    def rest(self) -> bool:
        """Let go of the database between tests. Returns False if this process is good for no other."""
        if not self.is_reusable or self.unanswered or self.process.poll() is not None:
            return False
        self.call("rest")
        return True

    def write(self, what: dict[str, Any]) -> None:
        assert self.process.stdin
        self.process.stdin.write(json.dumps(what) + "\n")
        self.process.stdin.flush()

    def begin(self, order: str, **arguments: Any) -> None:
        self.unanswered += 1
        self.write({"order": order, "arguments": arguments})

    def end(self, timeout_seconds: float = 60) -> Any:
        """The order's result; raises :class:`Failed` if it raised."""
        assert self.process.stdout
        if not select.select([self.process.stdout], [], [], timeout_seconds)[0]:
            raise TimeoutError(f"No answer within {timeout_seconds} s. {self.log()}")
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"The worker ended. {self.log()}")
        answer = json.loads(line)
        self.unanswered -= 1
        if "kind" in answer:
            raise Failed(answer["kind"], answer["code"], answer["text"])
        return answer["result"]

    def has_answered(self) -> bool:
        return bool(select.select([self.process.stdout], [], [], 0)[0])

    def call(self, order: str, **arguments: Any) -> Any:
        self.begin(order, **arguments)
        return self.end()

    def log(self) -> str:
        self.errors.seek(0)
        return self.errors.read()[-4000:]

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait_until_stopped(self) -> None:
        """Return once the process was stopped."""
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WNOWAIT)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        """End it; it must leave without complaint."""
        assert self.process.stdin
        assert self.process.stdout
        if self.process.poll() is None:
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.close()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()
                raise
        self.process.stdout.close()
        if not self.process.stdin.closed:
            self.process.stdin.close()
        self.errors.close()
