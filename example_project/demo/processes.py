"""The demo's child processes: started together, stopped together, none left behind."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import requests

from example_project.demo import keys

START_TIMEOUT_SECONDS = 60
STOP_TIMEOUT_SECONDS = 5
POLL_SECONDS = 0.1
_interrupted = threading.Event()


class DemoError(Exception):
    """The demo can't run; the sentence says why and what to do."""


@dataclass(frozen=True)
class Address:
    host: str
    port: int

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def is_taken(self) -> bool:
        """Whether somebody listens there, on IPv4 or (a browser tries it first for localhost) IPv6."""
        families = [(socket.AF_INET, "127.0.0.1")]
        if self.host == "localhost" and socket.has_ipv6:
            families.append((socket.AF_INET6, "::1"))
        return any(_answers(family, host, self.port) for family, host in families)


@dataclass
class Children:
    """Every process that the demo started. A context manager: leaving it ends them all, also by a signal."""

    environment: Mapping[str, str]
    log_directory: Path
    _processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __enter__(self) -> Children:
        return self

    def __exit__(self, *exc_info: object) -> None:
        with _deaf_to_signals():
            self.stop()

    def start(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        """Run ``python <arguments>``, output into ``name.log``. Ctrl-C does not reach it."""
        with self.log_file(name).open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=keys.REPOSITORY,
                env=dict(self.environment),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            self._processes.append(process)
        return process

    def log_file(self, name: str) -> Path:
        return self.log_directory / f"{name}.log"

    def stop(self) -> None:
        """Ask all to end, wait, then insist."""
        for process in self._processes:
            if process.poll() is None:
                process.terminate()
        deadline = time.monotonic() + STOP_TIMEOUT_SECONDS
        for process in self._processes:
            try:
                process.wait(max(deadline - time.monotonic(), 0))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdin:
                process.stdin.close()
        self._processes.clear()


def prepare(children: Children) -> None:
    """Migrate and fill both databases, at the same time."""
    started = {
        part: children.start(part, "-m", "example_project.demo.prepare", part) for part in ("sandbox", "product")
    }
    for part, process in started.items():
        status = process.wait()
        raise_if_interrupted()
        if status != 0:
            raise DemoError(f"The {part}'s database could not be made ready:\n{tail(children.log_file(part))}")


def start_servers(children: Children, product: Address, sandbox: Address) -> dict[str, subprocess.Popen[bytes]]:
    """Start both servers and return when both answer."""
    check_ports(product, sandbox)
    servers = {
        part: children.start(part, "-m", "example_project.demo.serve", part, f"{address.host}:{address.port}")
        for part, address in (("product", product), ("sandbox", sandbox))
    }
    wait_until_ready(children, servers["product"], "product", f"{product.url}/login/")
    wait_until_ready(children, servers["sandbox"], "sandbox", f"{sandbox.url}/login")
    return servers


def wait_until_ready(children: Children, process: subprocess.Popen[bytes], part: str, url: str) -> None:
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while not _is_ready(url):
        raise_if_interrupted()
        if process.poll() is not None:
            raise DemoError(f"The {part} ended while it started:\n{tail(children.log_file(part))}")
        if time.monotonic() > deadline:
            raise DemoError(f"The {part} did not answer at {url}:\n{tail(children.log_file(part))}")
        time.sleep(POLL_SECONDS)


def check_ports(product: Address, sandbox: Address) -> None:
    """Raises DemoError, with the command that would work, if another program listens where ours are to."""
    parts = {"product": product, "sandbox": sandbox}
    taken = [part for part, address in parts.items() if address.is_taken]
    if not taken:
        return
    said = " ".join(
        f"Port {parts[part].port}, where the {part} is to answer, is taken by another program." for part in taken
    )
    ports = {part: _next_free(address) if part in taken else address.port for part, address in parts.items()}
    raise DemoError(
        f"{said} Stop that program, or choose another port: "
        f"python manage.py demo --port {ports['product']} --sandbox-port {ports['sandbox']}"
    )


def free_ports() -> tuple[int, int]:
    """Two ports that nobody listens on now. The kernel does not hand them out again soon."""
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


def _next_free(address: Address) -> int:
    for port in range(address.port + 10, 65536, 10):
        if not Address(address.host, port).is_taken:
            return port
    return free_ports()[0]


def tail(log_file: Path, lines: int = 25) -> str:
    try:
        return "\n".join(log_file.read_text(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return ""


def interrupt_on(*names: str) -> None:
    """Let the named signals, where this system has them, end the program as Ctrl-C does: tidily."""
    for name in names:
        if number := getattr(signal, name, None):
            signal.signal(number, _interrupt)


def _interrupt(*_: object) -> None:
    _interrupted.set()
    raise KeyboardInterrupt


def raise_if_interrupted() -> None:
    """For loops that wait: Python swallows the KeyboardInterrupt of a signal that comes while it runs a finalizer."""
    if _interrupted.is_set():
        raise KeyboardInterrupt


@contextlib.contextmanager
def _deaf_to_signals() -> Iterator[None]:
    """A second Ctrl-C while stopping must not leave half of the children behind."""
    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    handlers: dict[int, Callable[..., object] | int | None] = {
        number: signal.signal(number, signal.SIG_IGN) for number in numbers
    }
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler or signal.SIG_DFL)


def _answers(family: int, host: str, port: int) -> bool:
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.settimeout(0.5)
        try:
            return probe.connect_ex((host, port)) == 0
        except OSError:
            return False


def _is_ready(url: str) -> bool:
    with requests.Session() as session:
        session.trust_env = False
        try:
            return session.get(url, timeout=5, allow_redirects=False).status_code == 200
        except requests.RequestException:
            return False
