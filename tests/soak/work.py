"""What a worker process of the soak does: seeded operations on the connections of some users, in several threads."""

from __future__ import annotations

import contextlib
import faulthandler
import io
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.contrib.auth.models import Group
from django.core.management import CommandError, call_command
from django.db import DatabaseError, InterfaceError, connection, connections, transaction
from django.utils import timezone

from tests.integration.refresh.databases import NOTE_TABLE
from tests.soak.trace import Trace
from thanksio_connect.client import transport
from thanksio_connect.exceptions import ThanksIOConfigurationError, ThanksIOError
from thanksio_connect.models import ThanksIOConnection

transport.USER_AGENT = f"soak/{os.getpid()}"  # the provider's log shall tell the processes apart

KINDS = {"helper": 4, "refresh": 6, "api": 2, "transaction": 8, "command": 0.15}
INTERRUPTED_SHARE, LONGEST_LIMIT_SECONDS = 0.3, 0.12
STATES = ["nothing", "read", "elsewhere", "locked", "updated", "child"]


class HostError(Exception):
    """What goes wrong in the project's own code."""


class TimeLimit(Exception):
    """What an alarm raises in the middle of a call, as Celery's soft time limit does."""


# InterfaceError, DatabaseError: sessions are killed, and SQLite has one writer; the host's own queries feel it, too.
EXPECTED = (
    HostError,
    TimeLimit,
    ThanksIOError,
    ThanksIOConfigurationError,
    ThanksIOConnection.DoesNotExist,
    DatabaseError,
    InterfaceError,
)


class Alarm:
    """Raises :class:`TimeLimit` into a call of the main thread, the only one that signals reach."""

    is_set = False

    def rings(self, number: int, frame: object) -> None:
        if self.is_set:
            self.is_set = False
            raise TimeLimit

    @contextlib.contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Have the alarm ring in so long, if the block lasts so long (0: never)."""
        if not seconds or threading.current_thread() is not threading.main_thread():
            yield
            return
        signal.signal(signal.SIGALRM, self.rings)
        self.is_set = True
        try:
            signal.setitimer(signal.ITIMER_REAL, seconds)
            yield
        finally:
            self.is_set = False
            signal.setitimer(signal.ITIMER_REAL, 0)


alarm = Alarm()


def work(seed: int, operations: int, users: list[int], threads: int) -> dict[str, Any]:
    """Returns how much was done, the errors by name, and unexpected ones in full. One of the threads is this one."""
    result: dict[str, Any] = {"errors": {}, "unexpected": [], "done": 0, "interrupted": 0}

    def run(number: int) -> None:
        chance = random.Random(f"{seed}/{number}")
        for _operation in range(operations // threads):
            one(chance, result, users)
        connections.close_all()

    crowd = [threading.Thread(target=run, args=[number]) for number in range(1, threads)]
    for thread in crowd:
        thread.start()
    run(0)
    for thread in crowd:
        thread.join()
    return result


def one(chance: random.Random, result: dict[str, Any], users: list[int]) -> None:
    """One operation, and the note of how it ended."""
    kind = chance.choices(list(KINDS), list(KINDS.values()))[0]
    state = chance.choice(STATES)
    try:
        operate(kind, chance.choice(users), state, chance.random() < 0.6, chance)
    except EXPECTED as error:
        name = type(error).__name__
        result["errors"][name] = result["errors"].get(name, 0) + 1
        result["interrupted"] += isinstance(error, TimeLimit)
    except Exception as error:
        cause = type(error).__module__ + "." + type(error).__name__
        if cause not in ("MySQLdb.OperationalError",):  # the raw one, on a connection that the soak has killed
            result["unexpected"].append(f"{kind} {state}: {cause}: {error}")
    finally:
        if connection.in_atomic_block:
            result["unexpected"].append(f"{kind} {state}: left in a transaction")
        connection.close_if_unusable_or_obsolete()
        result["done"] += 1


def trace(path: str) -> None:
    """Have this process tell what it does, and where it stands when it gets SIGUSR1."""
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    Trace(Path(path)).install()


def operate(kind: str, user: int, state: str, rolls_back: bool, chance: random.Random) -> None:
    if kind == "command":
        with contextlib.suppress(SystemExit, CommandError):
            call_command(
                "refresh_thanksio_tokens", "--within", "1h", "--rate", "100000", "--json", stdout=io.StringIO()
            )
        return
    row = ThanksIOConnection.objects.select_related("tokens").get(user_id=user)
    limit = chance.uniform(0.001, LONGEST_LIMIT_SECONDS) if chance.random() < INTERRUPTED_SHARE else 0.0
    if kind == "transaction":
        in_transaction(row, state, rolls_back, limit, chance)
        return
    with alarm.within(limit):
        if kind == "helper":
            row.get_access_token()
        elif kind == "refresh":
            row.refresh(force=chance.random() < 0.5)
        else:
            row.api.get("/mailing-lists/")


def in_transaction(row: ThanksIOConnection, state: str, rolls_back: bool, limit: float, chance: random.Random) -> None:
    with transaction.atomic():
        prepare(state, row)
        if chance.random() < 0.3:
            with transaction.atomic(), alarm.within(limit):
                row.refresh()
        else:
            with alarm.within(limit):
                row.get_access_token()
        if rolls_back:
            raise HostError


def prepare(state: str, row: ThanksIOConnection) -> None:
    if state == "read":
        ThanksIOConnection.objects.get(pk=row.pk)
    elif state == "elsewhere":
        Group.objects.create(name=f"{os.getpid()} {threading.get_ident()} {time.time_ns()}")
    elif state == "locked":
        ThanksIOConnection.objects.select_for_update().get(pk=row.pk)
    elif state == "updated":
        ThanksIOConnection.objects.filter(pk=row.pk).update(updated_at=timezone.now())
    elif state == "child":
        with connection.cursor() as cursor:
            cursor.execute(f"INSERT INTO {NOTE_TABLE} VALUES (%s, %s)", [random.randrange(2**31), row.pk])
            cursor.execute(f"DELETE FROM {NOTE_TABLE} WHERE connection_id = %s", [row.pk])
