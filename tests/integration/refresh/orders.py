"""What a worker process can be told to do. Arguments and results are JSON."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from django.contrib.auth.models import Group, User
from django.db import connection, connections, transaction
from django.utils import timezone
from freezegun import freeze_time

from thanksio_connect.models import ConnectionTokens, ThanksIOConnection
from thanksio_connect.refresh import places, renewal

from . import databases, pairs
from .databases import NOTE_TABLE

loaded: dict[int, ThanksIOConnection] = {}
undo: list[Callable[[], object]] = []  # what an order of this test changed in this process


def rest() -> None:
    """Forget this test, and let go of its database."""
    loaded.clear()
    while undo:
        undo.pop()()
    databases.let_go(connections["default"])


def change(what: Any, name: str, value: Any) -> None:
    undo.append(partial(setattr, what, name, getattr(what, name)))
    setattr(what, name, value)


def ping() -> str:
    ThanksIOConnection.objects.count()
    return connection.vendor


def load(pk: int) -> int:
    """Keep an instance as it is now, for later orders."""
    loaded[pk] = pairs.fresh(pk)
    return loaded[pk].tokens.version


def token(pk: int) -> str:
    """The helper, on the instance that was loaded (or on a new one)."""
    return (loaded.pop(pk, None) or pairs.fresh(pk)).get_access_token()


def api_call(pk: int) -> str:
    """An API call, which renews a refused token; returns the access token that stands now."""
    instance = loaded.pop(pk, None) or pairs.fresh(pk)
    instance.api.get("/mailing-lists/")
    return pairs.access(instance)


def refresh(pk: int, force: bool = False) -> str:
    instance = loaded.pop(pk, None) or pairs.fresh(pk)
    instance.refresh(force=force)
    return pairs.access(instance)


def token_in_transaction(pk: int, state: str = "nothing", rollback: bool = False, stays: float = 0.0) -> str:
    """The helper inside ``atomic()``, after the caller did something to the row; it ends after ``stays`` seconds."""
    with transaction.atomic():
        instance = pairs.fresh(pk)
        if state == "locked":
            ThanksIOConnection.objects.select_for_update().get(pk=pk)
        elif state == "updated":
            ThanksIOConnection.objects.filter(pk=pk).update(updated_at=timezone.now())
        elif state == "child":
            with connection.cursor() as cursor:
                cursor.execute(f"INSERT INTO {NOTE_TABLE} VALUES (%s, %s)", [time.time_ns() % 2**31, pk])
        elif state == "elsewhere":
            Group.objects.create(name=f"group {time.time_ns()} {threading.get_ident()}")
        try:
            token = instance.get_access_token()
            time.sleep(stays)
            return token
        finally:
            transaction.set_rollback(rollback)


def race(pk: int, threads: int, at: float, state: str | None = None) -> list[str]:
    """The helper in many threads from the moment ``at``; what each got, or ``!`` and its error."""
    results: list[str] = []

    def run() -> None:
        try:
            if state is None:
                instance = pairs.fresh(pk)
                time.sleep(max(0.0, at - time.time()))
                results.append(instance.get_access_token())
            else:
                time.sleep(max(0.0, at - time.time()))
                results.append(token_in_transaction(pk, state))
        except Exception as error:
            results.append(f"!{type(error).__name__} {error} {error.__cause__!r}")
        finally:
            connections.close_all()

    crowd = [threading.Thread(target=run) for _number in range(threads)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()
    return results


def disconnect(pk: int) -> None:
    ThanksIOConnection.objects.get(pk=pk).disconnect()


def reconnect(pk: int, access_token: str, refresh_token: str, expires_in: int = 3600) -> int:
    user = User.objects.get(thanksio_connection__pk=pk)
    return ThanksIOConnection.objects.connect(
        user, {"access_token": access_token, "refresh_token": refresh_token, "expires_in": expires_in}
    ).pk


def patch(
    lease_margin: float | None = None,
    patience_margin: float | None = None,
    looks: float | None = None,
    claim: float | None = None,
) -> None:
    """Shorten the engine's times (seconds)."""
    if claim is not None:
        change(renewal, "CLAIM_SECONDS", claim)
    if lease_margin is not None:
        change(renewal, "LEASE_MARGIN_SECONDS", lease_margin)
    if patience_margin is not None:
        change(renewal, "PATIENCE_MARGIN_SECONDS", patience_margin)
    if looks is not None:
        change(places.Place, "second_look_seconds", looks)


def stop_after_claim() -> None:
    """Stop this process (SIGSTOP) right after its next claim is committed."""
    is_next = [True]

    def stopping(claim: Callable[[Any, Any], Any]) -> Any:
        def claim_and_stop(self: places.Place, step: Any) -> Any:
            result = claim(self, step)
            if is_next and is_next.pop():
                os.kill(os.getpid(), signal.SIGSTOP)
            return result

        return claim_and_stop

    for each in (places.Place, places.PrivateSessions):
        change(each, "claim", stopping(each.claim))


def shift_clock(seconds: float) -> str:
    """This machine's clock is wrong by so much from now on, for everything but the database."""
    clock = freeze_time(datetime.now(UTC) + timedelta(seconds=seconds), tick=True)
    clock.start()
    undo.append(clock.stop)
    return timezone.now().isoformat()


def session_time_zone(zone: str) -> None:
    """Give this worker's MariaDB or PostgreSQL session a time zone of its own."""
    with connection.cursor() as cursor:
        cursor.execute("SET time_zone = %s" if connection.vendor == "mysql" else "SET TIME ZONE %s", [zone])


def state(pk: int) -> dict[str, Any]:
    """The token row, tokens in clear."""
    return pairs.row(pk)


def session_id() -> int:
    """The server's name for this worker's connection, to be terminated by."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT connection_id()" if connection.vendor == "mysql" else "SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


def driver() -> str:
    """The database driver's package."""
    connection.ensure_connection()
    return connection.Database.__name__


def lock_the_tokens(pk: int, seconds: float) -> None:
    """Hold the token row's lock in a transaction, as no host has a reason to."""
    with transaction.atomic():
        ConnectionTokens.objects.select_for_update().get(connection_id=pk)
        time.sleep(seconds)
