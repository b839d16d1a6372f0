"""More than one token write in a caller's transaction, and a server whose slots are all taken.

Broken on purpose, these fail: guards that write in the order in which Django drops them, a guard that replays over a
reconnect's version, a place that takes the caller's own newer version for somebody else's, a private connection that
is tried once.
"""

from __future__ import annotations

import threading
import time

import pytest
from django.contrib.auth.models import Group
from django.db import OperationalError, connection, connections, transaction
from django.utils import timezone

from tests.integration.engine import databases
from tests.integration.engine.databases import KIND
from tests.integration.engine.test_engine_durable import HostError, assert_live, end, every_variant, locked, nothing
from thanksio_connect.models import ThanksIOConnection


def renew_thrice(row, state):
    state(row)
    for _renewal in range(3):
        row.refresh(force=True)
    Group.objects.create(name="after")


def raises(row, state):
    with transaction.atomic():
        renew_thrice(row, state)
        raise HostError


def commits(row, state):
    with transaction.atomic():
        renew_thrice(row, state)


def rolls_back_the_last_two(row, state):
    with transaction.atomic(), connection.cursor() as cursor:
        state(row)
        row.refresh(force=True)
        cursor.execute("SAVEPOINT the_hosts_own")
        row.refresh(force=True)
        row.refresh(force=True)
        cursor.execute("ROLLBACK TO SAVEPOINT the_hosts_own")


def rolls_back_the_last(row, state):
    with transaction.atomic():
        state(row)
        row.refresh(force=True)
        row.refresh(force=True)
        try:
            with transaction.atomic():
                row.refresh(force=True)
                raise HostError
        except HostError:
            pass


def rolls_back_the_last_and_all(row, state):
    with transaction.atomic():
        rolls_back_the_last(row, state)
        raise HostError


ENDINGS = [raises, commits, rolls_back_the_last_two, rolls_back_the_last, rolls_back_the_last_and_all]


@pytest.mark.parametrize("ending", ENDINGS, ids=lambda ending: ending.__name__)
@pytest.mark.parametrize("state", [nothing, locked], ids=lambda state: state.__name__)
def test_several_renewals_in_one_transaction(thanksio, connected, state, ending):
    row = connected()
    end(ending, row, state=state)
    assert thanksio.count("refresh_token") == 3
    assert_live(thanksio, row, version=4)
    assert Group.objects.filter(name="after").exists() == (ending is commits)


@pytest.mark.skipif(KIND == "sqlite", reason="SQLite lets nobody wait for a row")
def test_a_reconnect_that_waited_for_the_transaction_wins(thanksio, connected):
    row = connected()
    user = row.user

    def reconnect():
        thanksio.connect(user)
        connections.close_all()

    thread = threading.Thread(target=reconnect)
    with transaction.atomic():
        locked(row)
        row.refresh(force=True)
        row.refresh(force=True)
        thread.start()
        time.sleep(0.3)
        transaction.set_rollback(True)
    thread.join()
    stored = ThanksIOConnection.objects.get(pk=row.pk)
    assert stored.access_token == thanksio.live_pair(thanksio.grant_of(stored)).access_token
    assert stored.last_refreshed_at is None  # a grant, not a renewal


@every_variant
@pytest.mark.parametrize("commit", [True, False], ids=["commit", "rollback"])
def test_a_reconnect_and_a_renewal_of_it_in_one_transaction(thanksio, connected, variant, commit):
    row = connected()
    before = ThanksIOConnection.objects.get(pk=row.pk)
    with transaction.atomic():
        again = thanksio.connect(row.user)
        again.expires_at = timezone.now()
        again.save()
        token = again.get_access_token()
        transaction.set_rollback(not commit)
    assert thanksio.count("refresh_token") == 1
    if commit:
        assert_live(thanksio, again, version=3)
        assert token == again.access_token
    else:
        stored = ThanksIOConnection.objects.get(pk=row.pk)
        assert (stored.version, stored.refresh_token) == (before.version, before.refresh_token)


@pytest.mark.skipif(KIND != "postgres", reason="limits the sessions of a PostgreSQL role")
def test_a_server_without_a_free_slot_is_waited_for(thanksio, connected, database):
    row = connected()
    role = f"{database['NAME']}_limited"
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE ROLE {role} LOGIN CONNECTION LIMIT 1 IN ROLE pg_read_all_data, pg_write_all_data")
    limited = {**database, "USER": role}
    freed = threading.Event()

    def free():
        time.sleep(0.4)
        with administrator.cursor() as cursor:
            cursor.execute(f"ALTER ROLE {role} CONNECTION LIMIT 5")
        freed.set()

    administrator = connections.create_connection("default")
    administrator.inc_thread_sharing()
    thread = threading.Thread(target=free)
    try:
        with databases.using(limited), transaction.atomic():
            assert not ThanksIOConnection.objects.filter(pk=0).exists()
            other = connections.create_connection("default")
            with pytest.raises(OperationalError):
                other.ensure_connection()
            thread.start()
            token = row.get_access_token()
    finally:
        thread.join()
        administrator.close()
        with connection.cursor() as cursor:
            cursor.execute(f"DROP ROLE {role}")
    assert freed.is_set()
    assert_live(thanksio, row)
    assert token == row.access_token
