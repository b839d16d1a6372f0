"""A call of the API as the README writes it, against a kept ``requests.Session`` and other libraries' sessions.

The server is another process. The other libraries are written as their documents have it: a session for each use.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator

import requests
from authlib.integrations.requests_client import OAuth2Session as AuthlibSession
from django.contrib.auth.models import User
from django.test import override_settings
from requests_oauthlib import OAuth2Session

from benchmarks.measure import Finding, interleaved
from benchmarks.speed.certificate import trusted_certificate
from thanksio_connect.models import ThanksIOConnection

CALLS = 20  # in one round
PAGE_SIZE = 100
LIMITS = {"http": 1 / 0.85, "https": 1 / 0.91}


def measure(*, rounds: int) -> list[Finding]:
    """Read one page ``CALLS`` times a round, each side in turn, over plain loopback and over TLS."""
    user = User.objects.create(username="api")
    pair = {"access_token": "a" * 900, "refresh_token": "r" * 700, "expires_in": 86_400}
    ThanksIOConnection.objects.connect(user, pair)
    with _server() as addresses:
        findings = [finding for address in addresses for finding in _measured(address, user, pair, rounds)]
        return [*findings, _memory(addresses[0], user)]


def _memory(address: str, user: User) -> Finding:
    """The most memory that reading the whole list takes, against its first tenth."""
    connection = ThanksIOConnection.objects.for_user(user)
    with override_settings(THANKSIO_API_URL=address):
        _peak(connection, 10_000)  # fills the caches of a bounded size, such as urlsplit's
        short, long = _peak(connection, 1_000), _peak(connection, 10_000)
    return Finding(
        "memory: iterating 10,000 orders / 1,000 orders",
        long / short,
        1.25,
        is_strict=True,
        detail=f"{long / 1024:.0f} and {short / 1024:.0f} KiB, in pages of {PAGE_SIZE}",
    )


def _peak(connection: ThanksIOConnection, count: int) -> int:
    """The bytes at the highest point, over what was there before."""
    gc.collect()
    tracemalloc.start()
    try:
        read = sum(1 for _row in itertools.islice(connection.api.orders.list(items_per_page=PAGE_SIZE), count))
        assert read == count
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def _measured(address: str, user: User, pair: dict[str, object], rounds: int) -> list[Finding]:
    scheme, url = address.partition(":")[0], f"{address}/orders/list"
    connection = ThanksIOConnection.objects.for_user(user)
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {pair['access_token']}"
    token = {**pair, "token_type": "Bearer"}
    sides = {
        "ours": lambda: connection.api.get("/orders/list"),
        "kept": lambda: session.get(url).json(),
        "requests-oauthlib": lambda: OAuth2Session("client", token=token).get(url).json(),
        "Authlib": lambda: AuthlibSession("client", token=token).get(url).json(),
    }
    with override_settings(THANKSIO_API_URL=address):
        times = interleaved({name: _repeated(call) for name, call in sides.items()}, rounds=rounds)
    session.close()
    kept, ours = times["kept"].best, times["ours"].best
    others = {name: times[name].best for name in sides if name not in ("ours", "kept")}
    detail = f"{CALLS / ours:.0f} and {CALLS / kept:.0f} calls a second; " + ", ".join(
        f"{name} {kept / each:.2f} of the kept session's speed" for name, each in others.items()
    )
    return [
        Finding(f"api.get over {scheme} / a kept requests.Session", ours / kept, LIMITS[scheme], detail=detail),
        Finding(f"api.get over {scheme} / the faster of other libraries", ours / min(others.values()), 1.0),
    ]


def _repeated(call: Callable[[], object]) -> Callable[[], None]:
    def run() -> None:
        for _ in range(CALLS):
            call()

    return run


@contextlib.contextmanager
def _server() -> Iterator[list[str]]:
    with trusted_certificate() as folder:
        command = [sys.executable, "-m", "benchmarks.speed.api_server", folder]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdin is not None
            plain, tls = process.stdout.readline().split()
            yield [f"http://127.0.0.1:{plain}", f"https://127.0.0.1:{tls}"]
            process.stdin.close()
