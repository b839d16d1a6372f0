"""What a worker process can be told to do. Arguments and results are JSON."""

from __future__ import annotations

import os
import signal
import threading
import time
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from django.contrib.auth.models import Group, User
from django.db import connection, connections, transaction
from django.utils import timezone
from thanksio_connect.refresh.row import Key

from thanksio_connect.client import tokens
from thanksio_connect.models import ThanksIOConnection
from thanksio_connect.refresh import engine, place, schedule

from .databases import NOTE_TABLE

loaded: dict[int, ThanksIOConnection] = {}


def ping() -> str:
    ThanksIOConnection.objects.count()
    return connection.vendor


def load(pk: int) -> int:
    """Keep an instance as it is now, for later orders."""
    loaded[pk] = ThanksIOConnection.objects.get(pk=pk)
    return loaded[pk].version


def token(pk: int) -> str:
    """The helper, on the instance that was loaded (or on a new one)."""
    return (loaded.pop(pk, None) or ThanksIOConnection.objects.get(pk=pk)).get_access_token()


def api_call(pk: int) -> str:
    """An API call, which renews a refused token; returns the access token that stands now."""
    instance = loaded.pop(pk, None) or ThanksIOConnection.objects.get(pk=pk)
    instance.api.get("/mailing-lists/")
    return instance.access_token


def refresh(pk: int, force: bool = False) -> str:
    instance = loaded.pop(pk, None) or ThanksIOConnection.objects.get(pk=pk)
    instance.refresh(force=force)
    return instance.access_token


def token_in_transaction(pk: int, state: str = "nothing", rollback: bool = False, stays: float = 0.0) -> str:
    """The helper inside ``atomic()``, after the caller did something to the row; it ends after ``stays`` seconds."""
    with transaction.atomic():
        instance = ThanksIOConnection.objects.get(pk=pk)
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
                instance = ThanksIOConnection.objects.get(pk=pk)
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
        engine.CLAIM_SECONDS = claim
    if lease_margin is not None:
        engine.LEASE_MARGIN_SECONDS = lease_margin
    if patience_margin is not None:
        engine.PATIENCE_MARGIN_SECONDS = patience_margin
    if looks is not None:
        place.Place.second_look_seconds = looks


def stop_after_claim() -> None:
    """Stop this process (SIGSTOP) right after its next claim."""
    claim = place.Place._claim

    def claim_and_stop(self: place.Place) -> Any:
        result = claim(self)
        place.Place._claim = claim  # type: ignore[method-assign]
        os.kill(os.getpid(), signal.SIGSTOP)
        return result

    place.Place._claim = claim_and_stop  # type: ignore[method-assign]


def shift_clock(seconds: float) -> str:
    """This machine's clock is wrong by so much from now on, for everything but the database."""

    class Kind(type):
        def __instancecheck__(cls, instance: object) -> bool:
            return isinstance(instance, datetime)

    class Shifted(datetime, metaclass=Kind):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Any:
            return datetime.now(tz) + timedelta(seconds=seconds)

    for module in (schedule, tokens, timezone):
        module.datetime = Shifted  # type: ignore[attr-defined]
    return timezone.now().isoformat()


def session_time_zone(zone: str) -> None:
    """Give this worker's MariaDB or PostgreSQL session a time zone of its own."""
    with connection.cursor() as cursor:
        cursor.execute("SET time_zone = %s" if connection.vendor == "mysql" else "SET TIME ZONE %s", [zone])


def state(pk: int) -> dict[str, Any]:
    """The row's engine columns, tokens in clear."""
    row = Key(ThanksIOConnection, pk, None, datetime.now(UTC), 0).rows("default").get()
    return {
        "access_token": row.access_token,
        "refresh_token": row.refresh_token,
        "status": row.status,
        "version": row.version,
        "last_error_code": row.last_error_code,
        "failure_count": row.failure_count,
        "outcome_unknown": row.outcome_unknown,
        "lease": row.lease_id is not None,
    }


def session_id() -> int:
    """The server's name for this worker's connection, to be terminated by."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT connection_id()" if connection.vendor == "mysql" else "SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


def driver() -> str:
    """The database driver's package."""
    connection.ensure_connection()
    return connection.Database.__name__
