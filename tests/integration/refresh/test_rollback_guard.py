"""The rollback guard: a pair that had to be written in the caller's transaction outlives that transaction.

On SQLite every transaction is such a one; on the servers one whose role has a single connection. Broken on purpose,
these fail: a guard that hears of ``atomic()`` only, guards in the order of their registration, a guard that waits for
its own caller, one that gives up with the session.
"""

from __future__ import annotations

import logging
import threading
import time
from contextlib import contextmanager, suppress
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group
from django.db import InterfaceError, OperationalError, connection, transaction
from django.utils import timezone

from tests.integration.refresh import databases
from tests.integration.refresh.databases import KIND
from tests.integration.refresh.pairs import (
    HostError,
    access,
    assert_instance_is_live,
    assert_live,
    fresh,
    row,
    update,
)
from tests.integration.refresh.states import (
    assert_the_hosts_own_work_is_as_the_ending_says,
    closes_the_connection,
    commits,
    end,
    every_ending,
    every_variant,
    mariadb_only,
    postgres_only,
    read,
    rolls_back_a_savepoint,
    servers_only,
    updated,
    use,
)
from thanksio_connect.client.tokens import TokenSet
from thanksio_connect.exceptions import OutcomeUnknown, ReconnectRequired
from thanksio_connect.models import ThanksIOConnection
from thanksio_connect.refresh import places, rollback_guard


@pytest.fixture
def callers_transaction(one_session, monkeypatch):
    """A context in which only the caller's own connection can be had."""
    monkeypatch.setattr(places, "SESSION_WAIT_SECONDS", 0.0)
    with one_session():
        yield


@pytest.fixture
def mine(callers_transaction, connected):
    """An expired connection, as that role sees it."""
    return connected()


@every_ending
def test_the_live_pair_survives_however_the_transaction_ends(thanksio, mine, ending):
    end(ending, lambda: use(mine, updated))
    assert_instance_is_live(thanksio, mine)
    assert thanksio.count("refresh_token") == 1
    assert_the_hosts_own_work_is_as_the_ending_says(ending)
    mine.refresh(force=True)
    assert_instance_is_live(thanksio, mine, version=3)


@pytest.mark.parametrize("commit", [True, False], ids=["commit", "rollback"])
def test_with_autocommit_off(thanksio, mine, commit):
    transaction.set_autocommit(False)
    try:
        use(mine)
        (transaction.commit if commit else transaction.rollback)()
        Group.objects.create(name="second")
        transaction.rollback()
    finally:
        transaction.set_autocommit(True)
    assert_instance_is_live(thanksio, mine)
    assert Group.objects.count() == commit


# Several renewals in one transaction


def rolls_back_the_last_two(renew, connection_):
    with transaction.atomic(), connection.cursor() as cursor:
        renew()
        cursor.execute("SAVEPOINT the_hosts_own")
        renew()
        renew()
        cursor.execute("ROLLBACK TO SAVEPOINT the_hosts_own")


def rolls_back_the_last(renew, connection_):
    with transaction.atomic():
        renew()
        renew()
        with suppress(HostError), transaction.atomic():
            renew()
            raise HostError


def rolls_back_the_last_and_all(renew, connection_):
    with transaction.atomic():
        rolls_back_the_last(renew, connection_)
        raise HostError


def rolls_back_all(renew, connection_):
    with transaction.atomic():
        renew(), renew(), renew()
        raise HostError


def commits_all(renew, connection_):
    with transaction.atomic():
        renew(), renew(), renew()


def rolls_back_two_and_renews_a_fresh_instance(renew, connection_):
    with transaction.atomic():
        with suppress(HostError), transaction.atomic():
            renew(), renew()
            raise HostError
        newer = fresh(connection_)
        newer.refresh(force=True)
        assert newer.tokens.version == 4
        raise HostError


@pytest.mark.parametrize(
    "ending",
    [
        commits_all,
        rolls_back_all,
        rolls_back_the_last,
        rolls_back_the_last_two,
        rolls_back_the_last_and_all,
        rolls_back_two_and_renews_a_fresh_instance,
    ],
    ids=lambda ending: ending.__name__,
)
def test_of_several_renewals_in_one_transaction_the_newest_stands(thanksio, mine, ending):
    with suppress(HostError):
        ending(lambda: mine.refresh(force=True), mine)
    assert thanksio.count("refresh_token") == 3
    assert_live(thanksio, mine, version=4)


# Grants of the same transaction, and of others


@every_variant
@pytest.mark.parametrize("commit", [True, False], ids=["commit", "rollback"])
def test_a_reconnect_and_a_renewal_of_it_in_one_transaction(thanksio, connected, commit, caplog):
    before = connected()
    with transaction.atomic():
        again = thanksio.connect(before.user, expires_in=-1)
        token = again.get_access_token()
        transaction.set_rollback(not commit)
    assert thanksio.count("refresh_token") == 1
    if commit:
        assert token == assert_live(thanksio, again)
    else:
        assert row(before)["access_token"] == access(before)
    assert [record for record in caplog.records if record.levelno >= logging.CRITICAL] == []


@pytest.mark.parametrize("outcome", ["renewal", "verdict", "failure"])
def test_what_became_of_a_grant_that_was_rolled_back_is_not_written_to_another(
    thanksio, connected, start_worker, outcome, monkeypatch
):
    """A reconnect waits for the transaction, and is there before or after the guard."""
    monkeypatch.setattr(places, "SESSION_WAIT_SECONDS", 0.0)
    before = connected()
    worker = start_worker()
    worker.call("ping")
    new = thanksio.issue()
    refresh_token = None if outcome == "verdict" else "refresh-of-nobody"
    tokens = TokenSet("access-of-nobody", refresh_token, expires_at=timezone.now() - timedelta(days=1))
    if outcome == "renewal":
        tokens = thanksio.issue(expires_in=-1)
    elif outcome == "failure":
        thanksio.next_token(status=500)
    with suppress(HostError), transaction.atomic():
        mine = ThanksIOConnection.objects.connect(before.user, tokens)
        with suppress(ReconnectRequired, OutcomeUnknown):
            mine.get_access_token()
        worker.begin(
            "reconnect", pk=before.pk, access_token=new.access_token, refresh_token=new.refresh_token, expires_in=3600
        )
        time.sleep(0.4)
        raise HostError
    worker.end()
    assert row(before) == {
        "access_token": new.access_token,
        "refresh_token": new.refresh_token,
        "status": "connected",
        "version": 1,
        "last_error_code": "",
        "failure_count": 0,
        "outcome_unknown": False,
        "lease": False,
    }


def test_a_reconnect_that_waited_for_the_transaction_wins(thanksio, mine, database, start_worker):
    worker = start_worker()
    worker.call("ping")
    new = thanksio.issue()
    with suppress(HostError), transaction.atomic():
        updated(mine)
        mine.refresh(force=True)
        mine.refresh(force=True)
        worker.begin("reconnect", pk=mine.pk, access_token=new.access_token, refresh_token=new.refresh_token)
        time.sleep(0.4)
        raise HostError
    worker.end()
    assert (row(mine)["access_token"], row(mine)["version"]) == (new.access_token, 1)


@pytest.mark.parametrize("between", ["refresh", "reconnect"])
def test_with_autocommit_off_the_guard_of_an_earlier_transaction_is_over(thanksio, mine, start_worker, between):
    """Django's ``commit()`` keeps the callbacks there."""
    worker = start_worker()
    new = thanksio.issue(expires_in=-1)
    transaction.set_autocommit(False)
    try:
        mine.get_access_token()
        transaction.commit()
        if between == "refresh":
            worker.call("refresh", pk=mine.pk, force=True)
        else:
            worker.call(
                "reconnect", pk=mine.pk, access_token=new.access_token, refresh_token=new.refresh_token, expires_in=-1
            )
        newest = fresh(mine)
        newest.refresh(force=True)
        transaction.rollback()
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)
    assert_live(thanksio, newest, version=4 if between == "refresh" else 2)


def test_with_autocommit_off_a_connection_can_be_closed(thanksio, mine):
    """The guard does not wait for the transaction that it stands in."""
    transaction.set_autocommit(False)
    mine.get_access_token()
    began = time.monotonic()
    connection.close()
    assert time.monotonic() - began < 10
    connection.set_autocommit(True)
    assert_live(thanksio, mine)


class Proxy(ThanksIOConnection):
    class Meta:
        proxy = True
        app_label = "thanksio_connect"


def test_a_renewal_by_a_proxy_model_and_one_by_the_model(thanksio, mine):
    with suppress(HostError), transaction.atomic():
        Proxy.objects.get(pk=mine.pk).get_access_token()
        fresh(mine).refresh(force=True)
        raise HostError
    assert_live(thanksio, mine, version=3)


# What goes wrong while the guard is at it


@servers_only
def test_the_session_is_killed_during_the_request_and_the_guard_stores_over_another(
    thanksio, mine, database, start_worker
):
    fault = thanksio.next_token(hold="after")
    with connection.cursor() as cursor:
        cursor.execute("SELECT connection_id()" if KIND == "mariadb" else "SELECT pg_backend_pid()")
        session = cursor.fetchone()[0]
    killer = connection.copy()
    killer.settings_dict.update(database)
    killer.inc_thread_sharing()

    def kill():
        fault.wait_reached(30)
        with killer.cursor() as cursor:
            cursor.execute(f"SELECT pg_terminate_backend({session})" if KIND == "postgres" else f"KILL {session}")
        killer.close()
        fault.release()

    thread = threading.Thread(target=kill)
    thread.start()
    with suppress(OperationalError, InterfaceError), transaction.atomic():  # the latter is psycopg2's
        token = mine.get_access_token()
        assert thanksio.is_live(token)  # usable, although the transaction is gone
        Group.objects.create(name="after")
        pytest.fail("The session was not killed")
    thread.join()
    connection.close()
    assert assert_live(thanksio, mine) == token


@contextmanager
def a_trigger_that_calls_the_first_store_a_deadlock(database):
    """The server's own deadlock error, which undoes the whole transaction on MariaDB."""
    table = databases.TOKEN_TABLE
    create = {
        "postgres": [
            "CREATE SEQUENCE refresh_fuse",
            "CREATE FUNCTION refresh_blow() RETURNS trigger AS $$ BEGIN IF nextval('refresh_fuse') < 2 THEN "
            "RAISE EXCEPTION 'deadlock detected' USING ERRCODE = '40P01'; END IF; RETURN NEW; END $$ LANGUAGE plpgsql",
            f"CREATE TRIGGER refresh_trigger BEFORE UPDATE ON {table} FOR EACH ROW "
            "WHEN (OLD.version <> NEW.version) EXECUTE FUNCTION refresh_blow()",
            "GRANT ALL ON SEQUENCE refresh_fuse TO PUBLIC",
        ],
        "mariadb": [
            "CREATE SEQUENCE refresh_fuse",
            f"CREATE TRIGGER refresh_trigger BEFORE UPDATE ON {table} FOR EACH ROW IF OLD.version <> NEW.version THEN "
            "IF NEXTVAL(refresh_fuse) < 2 THEN SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213; END IF; END IF",
        ],
    }[KIND]
    drop = {
        "postgres": [
            f"DROP TRIGGER refresh_trigger ON {table}",
            "DROP FUNCTION refresh_blow",
            "DROP SEQUENCE refresh_fuse",
        ],
        "mariadb": ["DROP TRIGGER refresh_trigger", "DROP SEQUENCE refresh_fuse"],
    }[KIND]
    for statement in create:
        with connection.cursor() as cursor:
            cursor.execute(statement)
    try:
        yield
    finally:
        for statement in drop:
            with connection.cursor() as cursor:
                cursor.execute(statement)


@servers_only
def test_a_store_that_fails_in_the_transaction_is_made_by_the_rollback(
    thanksio, connected, database, one_session, monkeypatch, caplog
):
    monkeypatch.setattr(places, "SESSION_WAIT_SECONDS", 0.0)
    connection = connected()
    with a_trigger_that_calls_the_first_store_a_deadlock(database), one_session():
        with suppress(HostError), transaction.atomic():
            token = fresh(connection).get_access_token()
            raise HostError
        assert token == assert_live(thanksio, connection)
    assert any("the rollback will store them" in message for message in caplog.messages)


class OwnTimeLimit(TimeoutError):
    """A project's own."""


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit, OwnTimeLimit])
def test_an_interruption_of_the_guards_write_does_not_stop_it(thanksio, mine, monkeypatch, interruption):
    write = rollback_guard.Guard._rewrite
    interrupted = []

    def rewrite(self):
        if not interrupted:
            interrupted.append(True)
            raise interruption
        write(self)

    monkeypatch.setattr(rollback_guard.Guard, "_rewrite", rewrite)
    end(rolls_back_a_savepoint, lambda: use(mine))
    assert interrupted
    assert_live(thanksio, mine)


@servers_only
@pytest.mark.parametrize("outcome", ["success", "failure"])
def test_a_commit_does_not_wait_for_whoever_locks_the_row_next(thanksio, mine, start_worker, outcome):
    if outcome == "failure":
        thanksio.next_token(status=500)
    worker = start_worker()
    worker.call("ping")

    def lock_it_now():
        worker.begin("lock_the_tokens", pk=mine.pk, seconds=3.0)
        time.sleep(0.5)

    with transaction.atomic():
        transaction.on_commit(lock_it_now)  # before the engine's own
        with suppress(OutcomeUnknown):
            mine.get_access_token()
        began = time.monotonic()
    assert time.monotonic() - began < 2
    worker.end()
    assert row(mine)["version"] == (2 if outcome == "success" else 1)


def test_the_pair_of_a_raw_savepoint_that_was_rolled_back_is_written_at_the_commit(thanksio, mine):
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SAVEPOINT the_hosts_own")
        mine.get_access_token()
        with connection.cursor() as cursor:
            cursor.execute("ROLLBACK TO SAVEPOINT the_hosts_own")
        assert row(mine)["version"] == 1
    assert_live(thanksio, mine)


# Verdicts and failures met inside the transaction


@pytest.mark.parametrize("commit", [True, False], ids=["commit", "rollback"])
def test_a_dead_grant_is_concluded_at_once_and_a_rollback_only_costs_another_look(thanksio, mine, commit):
    thanksio.revoke(access(mine))
    with suppress(HostError), transaction.atomic():
        with pytest.raises(ReconnectRequired):
            mine.get_access_token()
        if not commit:
            raise HostError
    assert row(mine)["status"] == ("reconnect_required" if commit else "connected")
    with pytest.raises(ReconnectRequired):
        fresh(mine).get_access_token()
    assert row(mine)["status"] == "reconnect_required"


def test_an_unknown_outcome_in_a_transaction_that_commits_names_the_later_verdict(thanksio, mine):
    thanksio.next_token(lose_reply="after")
    thanksio.next_token(lose_reply="before")  # the one replay
    with transaction.atomic(), suppress(OutcomeUnknown):
        mine.get_access_token()
    assert row(mine)["outcome_unknown"]
    with pytest.raises(ReconnectRequired):
        fresh(mine).refresh(force=True)
    assert row(mine)["last_error_code"] == "lost_reply"


# Isolation


@postgres_only
@pytest.mark.parametrize("level", ["serializable", "repeatable\\ read"])
def test_the_servers_default_isolation_is_not_the_engines(thanksio, connected, database, level):
    connection = connected()
    options = {"options": f"-c default_transaction_isolation={level}"}
    with databases.using({**database, "OPTIONS": options}), transaction.atomic():
        read(connection)
        fresh(connection).get_access_token()
        Group.objects.create(name="after")
    assert_live(thanksio, connection)


@mariadb_only
@pytest.mark.parametrize("commit", [True, False], ids=["commit", "rollback"])
def test_in_a_serializable_transaction_the_callers_connection_does(thanksio, connected, database, caplog, commit):
    """MariaDB has locked the row that it read."""
    connection = connected()
    with databases.using({**database, "OPTIONS": {"isolation_level": "serializable"}}), transaction.atomic():
        fresh(connection).get_access_token()
        transaction.set_rollback(not commit)
    assert "it is SERIALIZABLE" in caplog.text
    assert_live(thanksio, connection)


def test_the_connection_may_be_used_again_after_it_was_closed_inside_the_block(thanksio, mine):
    end(closes_the_connection, lambda: use(mine))
    end(commits, lambda: Group.objects.create(name="later"))
    assert Group.objects.count() == 1
    assert_live(thanksio, mine)
    update(mine, expires_at=timezone.now())
    end(commits, lambda: fresh(mine).get_access_token())
    assert_live(thanksio, mine, version=3)
