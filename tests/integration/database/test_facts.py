"""Each fact of ``database.facts``: what Django, a driver or a database does, on which the engine relies.

A test that fails after an upgrade says which fact is none any more.
"""

from __future__ import annotations

import re
import threading
import time
import unittest
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.contrib.auth.models import Group
from django.db import DatabaseError, OperationalError, ProgrammingError, connection, connections, transaction
from django.test import TestCase

from tests.integration.refresh import databases
from tests.integration.refresh.databases import KIND, TOKEN_TABLE
from tests.integration.refresh.pairs import HostError, assert_live, fresh
from tests.integration.refresh.states import mariadb_only, postgres_only, servers_only
from thanksio_connect.database import facts, sessions
from thanksio_connect.models import ConnectionTokens
from thanksio_connect.refresh import statements

sqlite_only = pytest.mark.skipif(KIND != "sqlite", reason="needs SQLite")


def test_a_transaction_is_an_atomic_block_or_autocommit_that_is_off(database):
    assert not facts.in_transaction("default")
    with transaction.atomic():
        assert facts.in_transaction("default")
    transaction.set_autocommit(False)
    assert (connection.in_atomic_block, facts.in_transaction("default")) == (False, True)
    transaction.rollback()
    transaction.set_autocommit(True)


@pytest.mark.parametrize("autocommit", [True, False])
def test_whether_a_transaction_is_open_is_known_without_a_connection(database, autocommit):
    with databases.using({**database, "AUTOCOMMIT": autocommit}):
        assert facts.in_transaction("default") is not autocommit
        assert connection.connection is None


def test_an_atomic_block_of_a_test_case_has_a_mark(database):
    seen = []

    class Case(TestCase):
        def runTest(self):
            seen.append(facts.in_testcase("default"))
            with transaction.atomic():
                seen.append(facts.in_testcase("default"))

    result = unittest.defaultTestLoader.loadTestsFromTestCase(Case).run(unittest.TestResult())
    assert (result.errors, result.failures, seen) == ([], [], [True, True])
    with transaction.atomic():
        assert not facts.in_testcase("default")


@sqlite_only
def test_sqlite_in_memory_has_no_second_session(database):
    assert facts.has_private_sessions("default")
    with databases.using({**database, "NAME": ":memory:"}):
        assert not facts.has_private_sessions("default")


@servers_only
def test_a_server_has_private_sessions(database):
    assert facts.has_private_sessions("default")


def test_another_session_may_write_beside_a_transaction_on_a_server(database):
    assert bool(facts.obstacle_beside_a_transaction("default")) == (KIND == "sqlite")


@mariadb_only
def test_a_serializable_transaction_of_mariadb_locks_what_it_reads(database, connected):
    held = connected()
    with databases.using({**database, "OPTIONS": {"isolation_level": "serializable"}}):
        assert "SERIALIZABLE" in facts.obstacle_beside_a_transaction("default")
        with transaction.atomic():
            fresh(held)
            with (
                pytest.raises(OperationalError) as caught,
                sessions.private_session("default") as using,
                facts.executed(connections[using], f"UPDATE {TOKEN_TABLE} SET scope = %s", ["x"], lock_wait_seconds=0),
            ):
                pytest.fail("The row was not locked")
    assert facts.is_lock_error(caught.value)


def test_a_private_session_is_outside_any_pool_in_autocommit_and_of_the_engines_isolation(database):
    options = {"pool": True, "isolation_level": "of the host", "timeout": 3}
    settings = facts.private_settings(_Configured({**connection.settings_dict, "OPTIONS": options}))
    expected = {"timeout": 3}
    if KIND == "postgres":
        expected["isolation_level"] = facts.IsolationLevel.READ_COMMITTED
    assert settings["OPTIONS"] == expected
    assert (settings["AUTOCOMMIT"], settings["CONN_MAX_AGE"]) == (True, 0)


class _Configured:
    vendor = connection.vendor

    def __init__(self, settings_dict):
        self.settings_dict = settings_dict


@servers_only
def test_a_private_session_is_read_committed_whatever_the_server_says(database):
    # MariaDB: Django's own default
    name = {"postgres": "transaction_isolation", "mariadb": "tx_isolation"}[KIND]
    option = (
        {"options": "-c default_transaction_isolation=serializable"}
        if KIND == "postgres"
        else {"isolation_level": "repeatable read"}
    )
    with (
        databases.using({**database, "OPTIONS": option}),
        sessions.private_session("default") as using,
        transaction.atomic(using=using),
        connections[using].cursor() as cursor,
    ):
        cursor.execute("SHOW transaction_isolation" if KIND == "postgres" else f"SELECT @@{name}")
        level = cursor.fetchone()[0]
    assert level.lower().replace("-", " ") == "read committed"


@sqlite_only
def test_only_the_base_class_closes_a_session_of_sqlite_in_memory(database):
    with databases.using({**database, "NAME": ":memory:"}):
        connection.ensure_connection()
        connection.close()
        assert connection.connection is not None
        facts.close_for_good(connections["default"])
        assert connection.connection is None


@servers_only
def test_a_dead_session_is_dropped_and_a_good_one_kept(database):
    connection.ensure_connection()
    driver = connection.connection
    facts.drop_if_dead(connections["default"])
    assert connection.connection is driver
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()" if KIND == "postgres" else "SELECT connection_id()")
        session = cursor.fetchone()[0]
    with sessions.private_session("default") as using, connections[using].cursor() as cursor:
        cursor.execute(f"SELECT pg_terminate_backend({session})" if KIND == "postgres" else f"KILL {session}")
    time.sleep(0.2)
    facts.drop_if_dead(connections["default"])
    assert connection.connection is None


def test_a_session_that_lost_its_autocommit_is_dropped(database):
    connection.ensure_connection()
    connection.autocommit = False  # as after a COMMIT whose return to autocommit failed
    facts.drop_if_dead(connections["default"])
    assert connection.connection is None
    assert connection.get_autocommit()


def test_a_step_has_a_savepoint_in_a_transaction_and_nothing_in_autocommit(database):
    with facts.own_transaction("default"):
        assert not connection.in_atomic_block
    with transaction.atomic():
        Group.objects.create(name="before")
        with suppress(HostError), facts.own_transaction("default"):
            Group.objects.create(name="in the step")
            raise HostError
        assert connection.savepoint_ids == []  # no block of Django's
    assert [group.name for group in Group.objects.all()] == ["before"]


@postgres_only
def test_where_the_server_binds_parameters_a_step_has_a_transaction(thanksio, connected, database):
    """Then a message holds one statement, and no lock wait beside it."""
    held = connected()
    with databases.using({**database, "OPTIONS": {"server_side_binding": True}}):
        with facts.own_transaction("default"):
            assert connection.in_atomic_block
        assert fresh(held).get_access_token() == assert_live(thanksio, held)


@postgres_only
def test_a_lock_wait_of_autocommit_ends_with_its_message(database, connected):
    connected()
    sql = f"UPDATE {TOKEN_TABLE} SET scope = %s RETURNING scope, current_setting('lock_timeout')"
    with facts.executed(connection, sql, ["x"], lock_wait_seconds=7) as cursor:
        assert cursor.fetchone() == ("x", "7s")
    with connection.cursor() as cursor:
        cursor.execute("SHOW lock_timeout")
        assert cursor.fetchone() == ("0",)


def test_between_rollback_and_autocommit_a_write_can_be_committed(database):
    """Django sends ROLLBACK, drops the callbacks, and then goes back to autocommit."""
    states = []

    class Callback:
        def __call__(self):
            pass

        def __del__(self):
            states.append((connection.in_atomic_block, connection.autocommit))
            with connection.cursor() as cursor:
                cursor.execute("INSERT INTO auth_group (name) VALUES ('rescued')")
            facts.commit_after_rollback(connections["default"])

    with suppress(HostError), transaction.atomic():
        Group.objects.create(name="undone")
        transaction.on_commit(Callback())
        raise HostError
    assert states == [(False, False)]
    assert list(Group.objects.values_list("name", flat=True)) == ["rescued"]
    Group.objects.create(name="later")


def test_the_list_of_commit_callbacks_has_the_callback_second(database):
    """The guard finds those of its own there, and appends to it where ``on_commit()`` refuses."""

    def callback():
        pass

    with transaction.atomic():
        transaction.on_commit(callback)
        [entry] = connection.run_on_commit
        assert entry[1] is callback
        assert len(entry) == 3


def test_django_drops_the_callbacks_at_a_rollback_with_autocommit_off(database):
    dropped = []

    class Callback:
        def __call__(self):
            pass

        def __del__(self):
            dropped.append(True)

    transaction.set_autocommit(False)
    try:
        connection.run_on_commit.append((set(), Callback(), False))
        transaction.rollback()
        assert dropped == [True]
    finally:
        transaction.set_autocommit(True)


# Clocks


def moment(value):
    return datetime.fromisoformat(value) if isinstance(value, str) else value


def test_the_databases_clock_is_utc_whatever_the_sessions_zone(database):
    with connection.cursor() as cursor:
        if KIND == "postgres":
            cursor.execute("SET TIME ZONE 'Asia/Kolkata'")
        elif KIND == "mariadb":
            cursor.execute("SET time_zone = '-05:00'")
        now, later = facts.now(connection), facts.later(connection, 90.5)
        cursor.execute(f"SELECT {now.sql}, {later.sql}", [*now.parameters, *later.parameters])
        read = [moment(value) for value in cursor.fetchone()]
    assert abs(read[0].replace(tzinfo=UTC) - datetime.now(UTC)) < timedelta(seconds=2)
    assert abs(read[1] - read[0] - timedelta(seconds=90.5)) < timedelta(seconds=0.1)
    connection.close()


def test_the_clock_compares_with_what_it_has_written(database, connected):
    held = connected()
    for seconds, lives in ((60, True), (-0.01, False)):
        later = facts.later(connection, seconds)
        with connection.cursor() as cursor:
            cursor.execute(f"UPDATE {TOKEN_TABLE} SET lease_expires_at = {later.sql}", [*later.parameters])
        row = statements.load_of_connection("default", ConnectionTokens, held.pk)
        assert row.lease_lives is lives


def test_a_database_that_is_not_known_has_this_machines_clock(database, monkeypatch):
    monkeypatch.setattr(facts, "_NOW", {})
    monkeypatch.setattr(facts, "_LATER", {})
    [value] = facts.later(connection, 60).parameters
    assert facts.now(connection).sql == facts.later(connection, 60).sql == "%s"
    assert str(datetime.now(UTC).year) in str(value)


def test_an_update_returns_the_row_but_on_mariadb(database, connected):
    connected()
    assert facts.returns_updated_row(connection) == (KIND != "mariadb")
    if KIND != "mariadb":
        with connection.cursor() as cursor:
            cursor.execute(f"UPDATE {TOKEN_TABLE} SET scope = 'x' RETURNING scope")
            assert cursor.fetchone() == ("x",)


# Locks


@contextmanager
def somebody_has_it_locked(held):
    locks, over = threading.Event(), threading.Event()

    def hold():
        with transaction.atomic():
            ConnectionTokens.objects.filter(connection=held).update(scope="locked")
            locks.set()
            over.wait(20)
        connections.close_all()

    thread = threading.Thread(target=hold)
    thread.start()
    assert locks.wait(10)
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.fixture
def passing_over(database):
    """A trigger of the host's, which leaves each row as it is, and says nothing."""
    table = f"{TOKEN_TABLE} FOR EACH ROW"
    create, drop = {
        "sqlite": (
            [f"CREATE TRIGGER still BEFORE UPDATE ON {table} BEGIN SELECT RAISE(IGNORE); END"],
            ["DROP TRIGGER still"],
        ),
        "postgres": (
            [
                "CREATE FUNCTION still() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
                f"CREATE TRIGGER still BEFORE UPDATE ON {table} EXECUTE FUNCTION still()",
            ],
            ["DROP FUNCTION still CASCADE"],
        ),
    }[KIND]
    execute(create)
    yield
    execute(drop)


def execute(several):
    with connection.cursor() as cursor:
        for statement in several:
            cursor.execute(statement)


@pytest.mark.skipif(KIND == "mariadb", reason="MariaDB has no trigger that passes over a row")
def test_an_update_may_pass_over_a_row_that_meets_its_condition(database, connected, thanksio, passing_over):
    assert facts.may_pass_over_rows(connection)
    held = connected()
    started = time.monotonic()
    with pytest.raises(ProgrammingError, match="can be read here, and not written"):
        held.get_access_token()
    assert time.monotonic() - started < 3
    assert thanksio.count("refresh_token") == 0


@mariadb_only
def test_on_mariadb_a_row_read_in_a_transaction_may_be_older_than_the_one_that_the_update_met(database):
    assert not facts.may_pass_over_rows(connection)


def test_a_wait_for_a_lock_is_bounded_and_the_error_is_told_by_its_code(database, connected):
    held = connected()
    seconds = 1 if KIND == "mariadb" else 0.3  # MariaDB counts in whole seconds
    with somebody_has_it_locked(held):
        started = time.monotonic()
        sql = f"UPDATE {TOKEN_TABLE} SET scope = %s"
        with (
            pytest.raises(OperationalError) as caught,
            facts.executed(connection, sql, ["mine"], lock_wait_seconds=seconds),
        ):
            pytest.fail("The row was not locked")
        assert 0.2 < time.monotonic() - started < seconds + 1
    assert facts.is_lock_error(caught.value)
    assert not facts.is_conflict(caught.value)
    assert not facts.is_old_schema(caught.value)
    if KIND == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA busy_timeout")
            assert cursor.fetchone() == (1500,)


@postgres_only
def test_the_callers_lock_timeout_is_as_it_was_after_a_step_in_its_transaction(database):
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL lock_timeout = '7s'")
        with facts.lock_wait_restored(connection), facts.lock_wait(connection, 1):
            pass
        cursor.execute("SHOW lock_timeout")
        assert cursor.fetchone() == ("7s",)


@servers_only
def test_a_deadlock_and_a_lost_race_are_conflicts(database, connected):
    held = connected()
    option = {"isolation_level": 3} if KIND == "postgres" else databases.OPTIONS["snapshot_isolation"]

    def lose_the_race():
        with transaction.atomic():
            fresh(held)
            with sessions.private_session("default") as using:
                ConnectionTokens.objects.using(using).update(scope="theirs")
            ConnectionTokens.objects.update(scope="mine")

    with databases.using({**database, "OPTIONS": option}), pytest.raises(OperationalError) as caught:
        lose_the_race()
    assert facts.is_conflict(caught.value)
    assert not facts.is_lock_error(caught.value)


def test_an_error_of_another_kind_is_neither(database):
    with pytest.raises(Exception, match="no_such_table") as caught, connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM no_such_table")
    assert not facts.is_lock_error(caught.value)
    assert not facts.is_conflict(caught.value)
    assert facts.is_old_schema(caught.value)


@pytest.mark.parametrize(
    "sql", ["SELECT no_such FROM {}", "UPDATE {} SET no_such = 1", "INSERT INTO {} (no_such) VALUES (1)"]
)
def test_a_column_that_is_missing_is_an_old_schema(database, sql):
    with pytest.raises(DatabaseError) as caught, connection.cursor() as cursor:
        cursor.execute(sql.format(TOKEN_TABLE))
    assert facts.is_old_schema(caught.value)


@postgres_only
@pytest.mark.parametrize("code", ["P0001", "42501"], ids=["raised", "no right"])
def test_what_else_postgresql_calls_a_programming_error_is_no_old_schema(database, code):
    with pytest.raises(DatabaseError) as caught, connection.cursor() as cursor:  # psycopg2 makes an InternalError of it
        cursor.execute(f"DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '{code}'; END $$")
    assert not facts.is_old_schema(caught.value)
    assert facts.is_raised_by_a_trigger(caught.value) == (code == "P0001")


@mariadb_only
def test_what_a_trigger_signals_is_told_by_its_code(database):
    with pytest.raises(OperationalError) as caught, connection.cursor() as cursor:
        cursor.execute("SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no'")
    assert facts.is_raised_by_a_trigger(caught.value)


def test_no_other_module_of_the_engine_uses_a_private_name_of_djangos():
    """What Django names without an underscore and does not document is pinned above."""
    package = Path(facts.__file__).parents[1]
    files = [file for room in ("database", "history", "refresh") for file in (package / room).glob("*.py")]
    private = re.compile(r"\b(connection|session|wrapper|connections\[\w+\])\._")
    assert [file.name for file in files if private.search(file.read_text())] == ["facts.py"]
    for name in ("closed_in_transaction", "needs_rollback", "in_atomic_block", "run_on_commit", "_commit", "_rollback"):
        assert hasattr(connection, name)
