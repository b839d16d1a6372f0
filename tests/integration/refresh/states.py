"""What a host's transaction has done before it wants a token, and how it ends."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection, transaction
from django.utils import timezone

from tests.integration.refresh import databases
from tests.integration.refresh.databases import KIND, NOTE_TABLE
from tests.integration.refresh.pairs import HostError
from thanksio_connect.models import ThanksIOConnection

servers_only = pytest.mark.skipif(KIND == "sqlite", reason="SQLite lets one transaction write at a time")
postgres_only = pytest.mark.skipif(KIND != "postgres", reason="needs PostgreSQL")
mariadb_only = pytest.mark.skipif(KIND != "mariadb", reason="needs MariaDB")
every_variant = pytest.mark.parametrize("variant", databases.VARIANTS, indirect=True)


def nothing(row: ThanksIOConnection) -> None:
    pass


def read(row: ThanksIOConnection) -> None:
    ThanksIOConnection.objects.select_related("tokens").get(pk=row.pk)


def wrote_elsewhere(row: ThanksIOConnection) -> None:
    Group.objects.create(name="before")


def locked(row: ThanksIOConnection) -> None:
    ThanksIOConnection.objects.select_for_update().get(pk=row.pk)


def updated(row: ThanksIOConnection) -> None:
    ThanksIOConnection.objects.filter(pk=row.pk).update(updated_at=timezone.now())


def has_child(row: ThanksIOConnection) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO {NOTE_TABLE} VALUES (1, %s)", [row.pk])


STATES = [nothing, read, wrote_elsewhere, locked, updated, has_child]
every_state = pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
Use = Callable[[], object]


def raises(use: Use) -> None:
    with transaction.atomic():
        use()
        raise HostError


def commits(use: Use) -> None:
    with transaction.atomic():
        use()


def rolls_back_a_savepoint(use: Use) -> None:
    with transaction.atomic():
        with suppress(HostError), transaction.atomic():
            use()
            raise HostError
        Group.objects.create(name="outer")


def rolls_back_both(use: Use) -> None:
    with transaction.atomic():
        with suppress(HostError), transaction.atomic(), transaction.atomic():
            use()
            raise HostError
        raise HostError


def sets_rollback(use: Use) -> None:
    with transaction.atomic():
        use()
        transaction.set_rollback(True)


def rolls_back_a_savepoint_of_its_own(use: Use) -> None:
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SAVEPOINT the_hosts_own")
            use()
            cursor.execute("ROLLBACK TO SAVEPOINT the_hosts_own")
        Group.objects.create(name="outer")


create_savepoint: Callable[[], str] = getattr(transaction, "savepoint_create", None) or transaction.savepoint


def rolls_back_by_savepoint_id(use: Use) -> None:
    with transaction.atomic():
        savepoint = create_savepoint()
        use()
        transaction.savepoint_rollback(savepoint)
        Group.objects.create(name="outer")


def breaks_a_block_without_savepoint(use: Use) -> None:
    with transaction.atomic(), suppress(HostError), transaction.atomic(savepoint=False):
        use()
        raise HostError


def closes_the_connection(use: Use) -> None:
    with transaction.atomic():
        use()
        connection.close()


ENDINGS = [
    raises,
    commits,
    rolls_back_a_savepoint,
    rolls_back_both,
    sets_rollback,
    rolls_back_a_savepoint_of_its_own,
    rolls_back_by_savepoint_id,
    breaks_a_block_without_savepoint,
    closes_the_connection,
]
KEEP_THE_OUTER_BLOCK = (rolls_back_a_savepoint, rolls_back_a_savepoint_of_its_own, rolls_back_by_savepoint_id)
every_ending = pytest.mark.parametrize("ending", ENDINGS, ids=lambda ending: ending.__name__)


def use(row: ThanksIOConnection, state: Callable[[ThanksIOConnection], None] = nothing) -> str:
    """What a host does: something, the helper, and then its work, all of which must go as ever."""
    state(row)
    token = row.get_access_token()
    Group.objects.create(name="after")
    assert User.objects.filter(pk=row.user_id).exists()
    assert ThanksIOConnection.objects.filter(pk=row.pk).update(thanksio_user_id="host") == 1
    return token


def end(ending: Any, use: Use) -> None:
    with suppress(HostError):
        ending(use)


def assert_the_hosts_own_work_is_as_the_ending_says(ending: Any) -> None:
    names = set(Group.objects.values_list("name", flat=True))
    assert ("after" in names) == (ending is commits)
    assert ("outer" in names) == (ending in KEEP_THE_OUTER_BLOCK)
