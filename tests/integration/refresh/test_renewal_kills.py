"""The pair in memory survives the database: killed sessions, lock timeouts, deadlocks and a restart before the store.

Broken on purpose, these fail: a store that is tried once, one that is tried again on the connection that died.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

import pytest
from django.contrib.auth.models import Group
from django.db import OperationalError, connection, connections, transaction

from tests.integration.refresh import databases
from tests.integration.refresh.databases import KIND
from tests.integration.refresh.pairs import assert_live
from tests.integration.refresh.processes import Failed
from tests.integration.refresh.states import servers_only
from thanksio_connect.exceptions import RefreshInProgress
from thanksio_connect.models import ConnectionTokens
from thanksio_connect.refresh import statements


def kill(session):
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT pg_terminate_backend({session})" if KIND == "postgres" else f"KILL {session}")


def waiting():
    """The sessions that wait for a lock."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            if KIND == "postgres"
            else "SELECT id FROM information_schema.processlist WHERE db = database() AND command = 'Query' "
            "AND id <> connection_id() AND info LIKE '%UPDATE %'"
        )
        return [number for (number,) in cursor.fetchall()]


def answer(worker):
    try:
        return worker.end(20)
    except Failed as failed:
        if failed.kind == "RefreshInProgress":
            raise RefreshInProgress from failed
        raise


def until(condition, timeout_seconds=10):
    end = time.monotonic() + timeout_seconds
    while not (result := condition()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return result


@contextmanager
def locked_by_another(connection_):
    """Another session holds the row; this one stays in autocommit, for statistics are frozen in a transaction."""
    ready, done = threading.Event(), threading.Event()

    def hold():
        with transaction.atomic():
            ConnectionTokens.objects.select_for_update().get(connection=connection_)
            ready.set()
            done.wait(30)
        connections.close_all()

    thread = threading.Thread(target=hold)
    thread.start()
    ready.wait(10)
    try:
        yield
    finally:
        done.set()
        thread.join()


@servers_only
def test_the_session_is_killed_between_reply_and_store(thanksio, connected, start_worker):
    worker = start_worker()
    connection_ = connected()
    session = worker.call("session_id")
    fault = thanksio.next_token(hold="after")
    worker.begin("token", pk=connection_.pk)
    fault.wait_reached(30)
    kill(session)
    fault.release()
    assert worker.end() == assert_live(thanksio, connection_)
    assert thanksio.count("refresh_token") == 1


@contextmanager
def killed_after_a_write(of="UPDATE"):
    """This thread's session dies once its next write is committed, and the reply to it is lost."""
    connection.ensure_connection()
    killed = []

    def dying(execute, sql, params, many, context):
        result = execute(sql, params, many, context)
        if of not in sql or killed:
            return result
        killed.append(session_id())
        kill(killed[0])
        time.sleep(0.2)
        raise OperationalError("the reply was lost")

    with connection.execute_wrapper(dying):
        yield killed


def session_id():
    with connections["default"].connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()" if KIND == "postgres" else "SELECT connection_id()")
        return cursor.fetchone()[0]


@servers_only
def test_a_session_that_dies_after_the_claims_commit_leaves_the_caller_outside_any_transaction(thanksio, connected):
    first, second = connected(), connected()
    with killed_after_a_write() as killed:
        first.refresh()
    assert killed
    assert (connection.in_atomic_block, connection.get_autocommit()) == (False, True)
    second.refresh()
    assert not connection.in_atomic_block
    assert_live(thanksio, first)
    assert_live(thanksio, second)
    assert thanksio.count("refresh_token") == 2


@servers_only
def test_a_session_that_dies_after_the_stores_commit_costs_nothing(thanksio, connected):
    connection_ = connected()
    with killed_after_a_write(of="access_token = ") as killed:
        connection_.refresh()
    assert killed
    assert (connection.in_atomic_block, connection.get_autocommit()) == (False, True)
    assert_live(thanksio, connection_)
    assert thanksio.count("refresh_token") == 1


@servers_only
def test_the_callers_transaction_is_killed_during_the_request(thanksio, connected, start_worker):
    worker = start_worker()
    connection_ = connected()
    session = worker.call("session_id")
    fault = thanksio.next_token(hold="after")
    worker.begin("token_in_transaction", pk=connection_.pk, state="elsewhere")
    fault.wait_reached(30)
    kill(session)
    fault.release()
    with pytest.raises(Failed, match="OperationalError"):  # the host's own transaction is gone
        worker.end()
    assert_live(thanksio, connection_)


@servers_only
@pytest.mark.parametrize("state", ["locked", "updated"])
def test_the_transaction_that_holds_the_row_is_killed_during_the_request(thanksio, connected, start_worker, state):
    worker = start_worker()
    connection_ = connected()
    session = worker.call("session_id")
    fault = thanksio.next_token(hold="after")
    worker.begin("token_in_transaction", pk=connection_.pk, state=state)
    fault.wait_reached(30)
    kill(session)
    fault.release()
    with pytest.raises(Failed):
        worker.end()
    assert_live(thanksio, connection_)


@servers_only
@pytest.mark.parametrize("state", ["autocommit", "transaction"])
def test_every_session_is_killed_again_and_again_while_the_store_waits(thanksio, connected, start_worker, state):
    worker = start_worker()
    connection_ = connected()
    fault = thanksio.next_token(hold="after")
    worker.begin("token" if state == "autocommit" else "token_in_transaction", pk=connection_.pk)
    fault.wait_reached(30)
    with locked_by_another(connection_):
        fault.release()
        for _time in range(3):
            session = until(waiting)[0]
            kill(session)
            until(lambda gone=session: gone not in waiting())
    assert worker.end() == assert_live(thanksio, connection_)


@servers_only
@pytest.mark.parametrize("state", ["autocommit", "transaction"])
def test_lock_and_statement_timeouts_of_the_server_end(thanksio, connected, database, start_worker, state):
    option = (
        {"options": "-c statement_timeout=400"}
        if KIND == "postgres"
        else {"init_command": "SET SESSION innodb_lock_wait_timeout=1"}
    )
    worker = start_worker(database={**database, "OPTIONS": option})
    connection_ = connected()
    fault = thanksio.next_token(hold="after")
    worker.begin("token" if state == "autocommit" else "token_in_transaction", pk=connection_.pk)
    fault.wait_reached(30)
    with transaction.atomic():
        ConnectionTokens.objects.select_for_update().get(connection=connection_)
        fault.release()
        time.sleep(2.5)
    assert worker.end() == assert_live(thanksio, connection_)


@servers_only
@pytest.mark.parametrize("state", ["autocommit", "transaction"])
def test_the_server_calls_the_store_a_deadlock_twice(thanksio, connected, start_worker, state):
    """A trigger raises the server's own deadlock error; a sequence counts, for it is outside of transactions."""
    table = databases.TOKEN_TABLE
    create = (
        [
            "CREATE SEQUENCE refresh_fuse",
            "CREATE FUNCTION refresh_blow() RETURNS trigger AS $$ BEGIN IF nextval('refresh_fuse') < 3 THEN "
            "RAISE EXCEPTION 'deadlock detected' USING ERRCODE = '40P01'; END IF; RETURN NEW; END $$ LANGUAGE plpgsql",
            f"CREATE TRIGGER refresh_trigger BEFORE UPDATE ON {table} FOR EACH ROW "
            "WHEN (OLD.version <> NEW.version) EXECUTE FUNCTION refresh_blow()",
        ]
        if KIND == "postgres"
        else [
            "CREATE SEQUENCE refresh_fuse",
            f"CREATE TRIGGER refresh_trigger BEFORE UPDATE ON {table} FOR EACH ROW IF OLD.version <> NEW.version THEN "
            "IF NEXTVAL(refresh_fuse) < 3 THEN SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213; END IF; END IF",
        ]
    )
    remove = (
        [f"DROP TRIGGER refresh_trigger ON {table}", "DROP FUNCTION refresh_blow", "DROP SEQUENCE refresh_fuse"]
        if KIND == "postgres"
        else ["DROP TRIGGER refresh_trigger", "DROP SEQUENCE refresh_fuse"]
    )
    worker = start_worker()
    connection_ = connected()
    with connection.cursor() as cursor:
        for statement in create:
            cursor.execute(statement)
        try:
            token = worker.call("token" if state == "autocommit" else "token_in_transaction", pk=connection_.pk)
            cursor.execute("SELECT nextval('refresh_fuse')" if KIND == "postgres" else "SELECT NEXTVAL(refresh_fuse)")
            assert cursor.fetchone()[0] == 4
        finally:
            for statement in remove:
                cursor.execute(statement)
    assert token == assert_live(thanksio, connection_)


@pytest.mark.skipif(KIND != "sqlite", reason="SQLite's one writer")
@pytest.mark.parametrize("variant", databases.VARIANTS, indirect=True)
def test_another_process_writes_for_longer_than_sqlite_waits(thanksio, connected, database, start_worker):
    options = {**database["OPTIONS"], "timeout": 0.3}
    worker = start_worker(database={**database, "OPTIONS": options})
    connection_ = connected()
    fault = thanksio.next_token(hold="after")
    worker.begin("token", pk=connection_.pk)
    fault.wait_reached(30)
    with transaction.atomic():
        Group.objects.create(name="a long write")
        fault.release()
        time.sleep(1.5)
    assert worker.end() == assert_live(thanksio, connection_)


@servers_only
def test_holders_of_a_child_and_of_the_row_block_nobody_for_long(thanksio, connected, start_worker):
    """Several transactions with an uncommitted child: on MariaDB none can lock the row, and none may wait for long."""
    first, second = start_worker(), start_worker()
    connection_ = connected()
    hold = threading.Event()

    def keep_a_child():
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"INSERT INTO {databases.NOTE_TABLE} VALUES (77, %s)", [connection_.pk])
            hold.wait(30)
        connections.close_all()

    thread = threading.Thread(target=keep_a_child)
    thread.start()
    time.sleep(0.3)
    started = time.monotonic()
    try:
        first.begin("token_in_transaction", pk=connection_.pk, state="child")
        second.begin("token_in_transaction", pk=connection_.pk, state="child")
        for worker in (first, second):
            with suppress(RefreshInProgress):
                assert thanksio.is_live(answer(worker))
        assert time.monotonic() - started < 10
    finally:
        hold.set()
        thread.join()
    assert first.call("token", pk=connection_.pk) == assert_live(thanksio, connection_)


@pytest.mark.skipif(
    os.environ.get("THANKSIO_TEST_RESTART") != "1", reason="restarts the server: THANKSIO_TEST_RESTART=1"
)
@pytest.mark.skipif(KIND != "postgres", reason="restarts PostgreSQL")
@pytest.mark.parametrize("state", ["autocommit", "transaction"])
def test_the_server_restarts_between_reply_and_store(thanksio, connected, start_worker, state):
    worker = start_worker()
    connection_ = connected()
    fault = thanksio.next_token(hold="after")
    worker.begin("token" if state == "autocommit" else "token_in_transaction", pk=connection_.pk)
    fault.wait_reached(30)
    [version] = [path.name for path in Path("/etc/postgresql").iterdir()]
    control = ["pg_ctlcluster", "--skip-systemctl-redirect", version, "main"]
    subprocess.run([*control, "stop", "-m", "fast"], check=True)
    fault.release()
    time.sleep(1.5)
    subprocess.run([*control, "start"], check=True)
    with pytest.raises(Failed) if state == "transaction" else nullcontext():  # the host's own transaction is gone
        worker.end()
    connection.close()
    assert_live(thanksio, connection_)


@servers_only
def test_a_private_session_that_dies_after_its_claim_leaves_no_lease_to_wait_for(thanksio, connected, monkeypatch):
    """Its reply is lost; the caller's transaction goes on with the same lease."""
    held = connected()
    claim = statements.claim

    def dying(*args, **options):
        monkeypatch.setattr(statements, "claim", claim)
        claim(*args, **options)
        raise OperationalError("server closed the connection")

    monkeypatch.setattr(statements, "claim", dying)
    with transaction.atomic():
        token = held.get_access_token()
    assert token == assert_live(thanksio, held)
    assert thanksio.count("refresh_token") == 1
