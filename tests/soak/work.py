"""What a worker process of the soak does: seeded operations on the connections of some users, in several threads."""

from __future__ import annotations

import contextlib
import io
import os
import random
import threading
import time
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
STATES = ["nothing", "read", "elsewhere", "locked", "updated", "child"]


class HostError(Exception):
    """What goes wrong in the project's own code."""


# InterfaceError, DatabaseError: sessions are killed, and SQLite has one writer; the host's own queries feel it, too.
EXPECTED = (
    HostError,
    ThanksIOError,
    ThanksIOConfigurationError,
    ThanksIOConnection.DoesNotExist,
    DatabaseError,
    InterfaceError,
)


def work(seed: int, operations: int, users: list[int], threads: int) -> dict[str, Any]:
    """Returns how much was done, the errors by name, and unexpected ones in full."""
    result: dict[str, Any] = {"errors": {}, "unexpected": [], "done": 0}

    def run(number: int) -> None:
        chance = random.Random(f"{seed}/{number}")
        for _operation in range(operations // threads):
            kind = chance.choices(list(KINDS), list(KINDS.values()))[0]
            user = chance.choice(users)
            rolls_back = chance.random() < 0.6
            state = chance.choice(STATES)
            try:
                operate(kind, user, state, rolls_back, chance)
            except EXPECTED as error:
                name = type(error).__name__
                result["errors"][name] = result["errors"].get(name, 0) + 1
            except Exception as error:
                cause = type(error).__module__ + "." + type(error).__name__
                if cause not in ("MySQLdb.OperationalError",):  # the raw one, on a connection that the soak has killed
                    result["unexpected"].append(f"{kind} {state}: {cause}: {error}")
            finally:
                if connection.in_atomic_block:
                    result["unexpected"].append(f"{kind} {state}: left in a transaction")
                connection.close_if_unusable_or_obsolete()
                result["done"] += 1
        connections.close_all()

    crowd = [threading.Thread(target=run, args=[number]) for number in range(threads)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()
    return result


def trace(path: str) -> None:
    Trace(Path(path)).install()


def operate(kind: str, user: int, state: str, rolls_back: bool, chance: random.Random) -> None:
    if kind == "command":
        with contextlib.suppress(SystemExit, CommandError):
            call_command(
                "refresh_thanksio_tokens", "--within", "1h", "--rate", "100000", "--json", stdout=io.StringIO()
            )
        return
    row = ThanksIOConnection.objects.get(user_id=user)
    if kind == "helper":
        row.get_access_token()
    elif kind == "refresh":
        row.refresh(force=chance.random() < 0.5)
    elif kind == "api":
        row.api.get("/mailing-lists/")
    else:
        with transaction.atomic():
            prepare(state, row)
            if chance.random() < 0.3:
                with transaction.atomic():
                    row.refresh()
            else:
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
