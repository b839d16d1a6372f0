"""A sweep over what is due: against the ideal, against others' recipes, and in a table of a million rows.

The provider is a process of its own and answers in 50 ms. The ideal is its time alone. The floor of the processor is
what the same renewals cost in turn, for one process has one interpreter.
"""

from __future__ import annotations

import secrets
import time
import tracemalloc
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import requests
from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection, connections
from django.test import override_settings

from benchmarks.measure import Finding, statements
from benchmarks.models import HandwrittenConnection
from benchmarks.peers import by_hand, social, thanksio
from benchmarks.peers.adapter import Pair
from benchmarks.peers.authlib_recipe import AuthlibRecipe
from benchmarks.peers.requests_oauthlib_recipe import RequestsOAuthlibRecipe
from benchmarks.speed.certificate import trusted_certificate
from benchmarks.speed.provider import slow_provider
from thanksio_connect.flows.bulk import BulkRefresh
from thanksio_connect.flows.selection import Selection
from thanksio_connect.models import ConnectionTokens, Sweep, ThanksIOConnection

PROVIDER_SECONDS = 0.05
WORKERS = 16
UNPACED = 999_999.0


def measure(*, due: int, rows: int, waiting: int, over_tls: bool = True) -> list[Finding]:
    """``due`` rows renewed in turn and by sixteen; ``rows`` of which a thousand are due; ``waiting`` that stay due."""
    _empty()
    findings = []
    with trusted_certificate() as certificate:
        for folder in (None, certificate) if over_tls else (None,):
            with slow_provider(PROVIDER_SECONDS, folder) as address, override_settings(**_addresses(address)):
                findings += _renewals(f"{due} over TLS" if folder else str(due), due)
            _empty()
    if connection.vendor == "postgresql":
        findings += _large(rows)
        findings.append(_linear(waiting))
        _empty()
    return findings


def _addresses(address: str) -> dict[str, str]:
    return {"THANKSIO_TOKEN_URL": f"{address}/oauth/token", "THANKSIO_API_URL": f"{address}/api/v2"}


def _renewals(what: str, due: int) -> list[Finding]:
    """The same sweep by this package and by the others, each on rows of its own."""
    keys = [str(thanksio.ThanksIO().load(thanksio.ThanksIO().add(_expired())).tokens.pk) for _number in range(due)]
    peers: list[Any] = [by_hand.ByHand(), social.SocialAuth(), AuthlibRecipe(), RequestsOAuthlibRecipe()]
    theirs = {peer.name: (peer, [peer.add(_expired()) for _number in range(due)]) for peer in peers}
    _renew(*theirs["written by hand"])  # warm
    in_turn = {name: _timed(partial(_renew, peer, _again(peer, rows))) for name, (peer, rows) in theirs.items()}
    pooled = {name: _timed(partial(_in_a_pool, peer, _again(peer, rows))) for name, (peer, rows) in theirs.items()}
    in_turn["nothing but requests.post"] = _timed(partial(_post, due))
    mine, mine_pooled = _timed(lambda: _sweep(keys, workers=1)), _timed(lambda: _sweep(keys, workers=WORKERS))
    ideal = PROVIDER_SECONDS * due
    floor = max(ideal / WORKERS, mine[1])
    cpu = f"processor {1000 * mine[1] / due:.1f} ms each"
    return [
        Finding(f"sweep of {what} in turn / ideal", mine[0] / ideal, 1.08, detail=f"{cpu}; {_listed(in_turn, ideal)}"),
        Finding(
            f"sweep of {what} by {WORKERS} / ideal or floor of the processor",
            mine_pooled[0] / floor,
            1.5,
            detail=f"{mine_pooled[0] * WORKERS / ideal:.2f} × the ideal; {_listed(pooled, ideal / WORKERS)}",
        ),
    ]


def _post(count: int) -> None:
    for _number in range(count):
        requests.post(settings.THANKSIO_TOKEN_URL, data={"refresh_token": "r" * 667}, timeout=30).json()


def _listed(times: dict[str, tuple[float, float]], ideal: float) -> str:
    return ", ".join(f"{name} {seconds / ideal:.2f}" for name, (seconds, _cpu) in times.items())


def _expired() -> Pair:
    return Pair(secrets.token_urlsafe(700), secrets.token_urlsafe(500), time.time() - 60)


def _again(peer: Any, rows: list[int]) -> list[int]:
    """As many rows whose tokens have expired: what was renewed is fresh."""
    return [peer.add(_expired()) for _row in rows]


def _renew(peer: Any, rows: list[int]) -> None:
    """Each with its API call, which the provider answers at once: some renew in no other way."""
    for pk in rows:
        peer.call(peer.load(pk))


def _in_a_pool(peer: Any, rows: list[int]) -> None:
    def close(_number: int) -> None:
        time.sleep(0.05)
        connections.close_all()

    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(lambda pk: _renew(peer, [pk]), rows))
        list(pool.map(close, range(WORKERS)))


def _timed(run: Callable[[], object]) -> tuple[float, float]:
    started, cpu = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - started, time.process_time() - cpu


def _sweep(keys: list[str], *, workers: int) -> None:
    ConnectionTokens.objects.filter(pk__in=keys).update(next_refresh_at=datetime.now(UTC) - timedelta(hours=1))
    Sweep.objects.all().delete()
    summary = BulkRefresh(Selection(), workers=workers, rate_per_minute=UNPACED).run()
    assert summary.refreshed == len(keys), summary


def _empty() -> None:
    with connection.cursor() as cursor:
        for model in (ConnectionTokens, ThanksIOConnection):
            cursor.execute(f"DELETE FROM {model._meta.db_table}")
    HandwrittenConnection.objects.all().delete()
    with connection.cursor() as cursor:
        for table in ("social_auth_usersocialauth", User._meta.db_table):
            cursor.execute(f"DELETE FROM {table}")


def _large(rows: int) -> list[Finding]:
    """Find a thousand due rows among a thousand, and among many."""
    _fill(1000, due=1000)
    few = _selected()
    _fill(rows, due=1000)
    many = _selected()
    return [
        Finding(
            f"find 1,000 due of {rows:,} / of 1,000: wall time",
            many[0] / few[0],
            1.2,
            detail=f"{1000 * many[0]:.0f} and {1000 * few[0]:.0f} ms",
        ),
        Finding(f"find 1,000 due of {rows:,} / of 1,000: queries", many[1] / few[1], 1.2, is_count=True),
        Finding(
            f"find 1,000 due of {rows:,}, more memory than of 1,000: MB", (many[2] - few[2]) / 1e6, 20, is_count=True
        ),
    ]


def _selected() -> tuple[float, int, int]:
    """The best of five: seconds, queries, and the most bytes."""
    times = []
    for _round in range(5):
        started = time.perf_counter()
        with statements() as seen:
            found = _count(Selection())
        times.append(time.perf_counter() - started)
    assert found == 1000
    tracemalloc.start()
    _count(Selection())
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return min(times), len(seen), most


def _count(selection: Selection) -> int:
    selection.count()
    return sum(len(page) for page in selection.pages())


def _linear(rows: int) -> Finding:
    """Rows that stay due, as of a fleet that was imported at one moment, cost the same each, however many."""
    costs = []
    for count in (rows // 4, rows):
        _fill(count, due=count)
        started = time.perf_counter()
        assert _count(Selection()) == count
        costs.append((time.perf_counter() - started) / count)
    detail = ", ".join(f"{1e6 * cost:.0f} µs" for cost in costs)
    return Finding(f"{rows:,} rows that stay due / a quarter of them, each", costs[1] / costs[0], 1.3, detail=detail)


def _fill(rows: int, *, due: int) -> None:
    """So many rows, made by the database; PostgreSQL alone can."""
    _empty()
    statements_: Iterable[tuple[str, list[Any]]] = [
        (
            "INSERT INTO auth_user (username, password, is_superuser, first_name, last_name, email, is_staff, "
            "is_active, date_joined) SELECT 'sweep-' || n, '', false, '', '', '', false, true, now() "
            "FROM generate_series(1, %s) n",
            [rows],
        ),
        (
            "INSERT INTO thanksio_connect_thanksioconnection (user_id, thanksio_user_id, connected_at, created_at, "
            "updated_at) SELECT id, '', now(), now(), now() FROM auth_user WHERE username LIKE 'sweep-%%'",
            [],
        ),
        (
            "INSERT INTO thanksio_connect_connectiontokens (id, connection_id, access_token, refresh_token, "
            "token_type, scope, expires_at, obtained_at, status, version, outcome_unknown, next_refresh_at, "
            "failure_count, last_error_code, webhook_token) SELECT replace(gen_random_uuid()::text, '-', ''), id, "
            "repeat('a', 1400), "
            "repeat('r', 1000), 'Bearer', '', now() + interval '1 hour', now(), 'connected', 1, false, "
            "date_trunc('hour', now() AT TIME ZONE 'UTC') + CASE WHEN row_number() OVER () <= %s "
            "THEN interval '-2 hours' ELSE interval '2 hours' END, 0, '', '' FROM thanksio_connect_thanksioconnection",
            [due],
        ),
    ]
    with connection.cursor() as cursor:
        for sql, parameters in statements_:
            cursor.execute(sql, parameters)
        cursor.execute("VACUUM ANALYZE thanksio_connect_connectiontokens")
        cursor.execute("ANALYZE thanksio_connect_thanksioconnection")
