"""Private sessions, and steps that are committed whatever happens to a session.

Broken on purpose, these fail: a private session from the pool, one under the caller's alias, a step that is tried once,
a foreign exception that passes for an outcome of the renewal.
"""

from __future__ import annotations

import sys
import threading
import time
from contextlib import contextmanager, nullcontext, suppress
from itertools import count

import pytest
from django.contrib.auth.models import Group
from django.db import DataError, OperationalError, connection, connections, transaction
from django.test import override_settings

from tests.integration.database.foreign_backend.base import DatabaseWrapper, PoolTimeout
from tests.integration.refresh import databases
from tests.integration.refresh.clocks import frozen
from tests.integration.refresh.databases import KIND
from tests.integration.refresh.pairs import HostError, assert_live, fresh, row
from tests.integration.refresh.states import every_variant, mariadb_only, postgres_only, servers_only
from tests.integration.refresh.test_places import lives_for_a_short_while
from thanksio_connect.database import sessions
from thanksio_connect.models import ThanksIOConnection
from thanksio_connect.refresh import statements
from thanksio_connect.refresh.token_row import Key

# Pools, routers, drivers


@postgres_only
@pytest.mark.parametrize("variant", ["pool"], indirect=True)
def test_an_exhausted_pool_is_no_obstacle(thanksio, connected):
    rows = [connected(), connected()]
    connection.close()
    barrier = threading.Barrier(3)
    tokens: list[str] = []

    def run(each):
        with transaction.atomic():
            Group.objects.create(name=f"group {each.pk}")
            barrier.wait(10)  # both sessions of the pool are taken now
            barrier.wait(10)
            tokens.append(each.get_access_token())
        connections.close_all()

    threads = [threading.Thread(target=run, args=[each]) for each in rows]
    for thread in threads:
        thread.start()
    barrier.wait(10)
    with pytest.raises(OperationalError, match="couldn't get a connection"):
        Group.objects.count()
    started = time.monotonic()
    barrier.wait(10)
    for thread in threads:
        thread.join()
    assert time.monotonic() - started < 2
    assert set(tokens) == {assert_live(thanksio, each) for each in rows}
    assert Group.objects.count() == 2


class Router:
    """Reads go to one alias, writes to another."""

    def db_for_read(self, model, **hints):
        return "reading"

    def db_for_write(self, model, **hints):
        return "writing"

    def allow_relation(self, *args, **hints):
        return True


@every_variant
@pytest.mark.parametrize("inside", [False, True], ids=["autocommit", "transaction"])
def test_an_alias_that_is_not_the_default(thanksio, connected, database, inside):
    connection_ = connected()
    with databases.using(database, "writing"), databases.using(database, "reading"):
        with override_settings(DATABASE_ROUTERS=[Router()]):
            found = ThanksIOConnection.objects.get(pk=connection_.pk)
            assert found._state.db == "reading"
            if inside:
                with suppress(HostError), transaction.atomic(using="writing"):
                    found.get_access_token()
                    raise HostError
            else:
                found.get_access_token()
        by_alias = ThanksIOConnection.objects.using("writing").get(pk=connection_.pk)
        with suppress(HostError), transaction.atomic(using="writing"):
            by_alias.refresh()
            raise HostError
        for alias in ("writing", "reading"):
            connections[alias].close()
    assert_live(thanksio, connection_, version=3)
    assert thanksio.count("refresh_token") == 2


@mariadb_only
@pytest.mark.parametrize("state", [None, "nothing", "elsewhere", "locked", "child"])
def test_pymysql(thanksio, connected, start_worker, state):
    worker = start_worker(pymysql=True)
    assert worker.call("driver") == "pymysql"
    for rollback in (False, True):
        connection_ = connected()
        if state is None:
            token = worker.call("token", pk=connection_.pk)
        else:
            token = worker.call("token_in_transaction", pk=connection_.pk, state=state, rollback=rollback)
        assert token == assert_live(thanksio, connection_)
    connection_ = connected()
    session = worker.call("session_id")
    fault = thanksio.next_token(hold="after")
    worker.begin("token", pk=connection_.pk)
    fault.wait_reached(30)
    with connection.cursor() as cursor:
        cursor.execute(f"KILL {session}")
    fault.release()
    assert worker.end() == assert_live(thanksio, connection_)


@postgres_only
def test_a_server_without_a_free_slot_is_waited_for(thanksio, connected, database, one_session):
    connection_ = connected()
    freed = threading.Event()
    administrator = connections.create_connection("default")
    administrator.inc_thread_sharing()

    def free():
        time.sleep(0.4)
        with administrator.cursor() as cursor:
            cursor.execute(f"ALTER ROLE {database['NAME']}_limited CONNECTION LIMIT 5")
        freed.set()

    thread = threading.Thread(target=free)
    try:
        with one_session(), transaction.atomic():
            mine = fresh(connection_)
            thread.start()
            token = mine.get_access_token()
    finally:
        thread.join()
        administrator.close()
    assert freed.is_set()
    assert token == assert_live(thanksio, connection_)


# Exceptions of somebody else's


@pytest.fixture
def foreign(database):
    """A context in which Django's sessions come from the foreign backend; it works until it is told otherwise."""
    values = {**database, "ENGINE": "tests.integration.database.foreign_backend"}
    with databases.using(values):
        yield DatabaseWrapper
        DatabaseWrapper.broken = ""


@pytest.fixture
def impatient(monkeypatch):
    """Steps that fail are given up soon."""
    tries = sessions._tries
    monkeypatch.setattr(sessions, "_tries", lambda budget, *delays: tries(min(budget, 0.3), *delays))
    monkeypatch.setattr(sessions, "OPEN_BUDGET_SECONDS", 0.3)


BROKEN = pytest.mark.parametrize("broken", ["connect", "cursor"])


@BROKEN
@pytest.mark.parametrize("held", [False, True], ids=["read just now", "read long ago"])
def test_what_lives_is_handed_out_at_once_although_a_foreign_pool_raises(foreign, thanksio, connected, broken, held):
    connection_ = connected(expires_in=3600)
    lives_for_a_short_while(connection_)
    if held:
        connection_.tokens._read_at -= 61
    connection.close()
    foreign.broken = broken
    started = time.monotonic()
    token = connection_.get_access_token()
    assert time.monotonic() - started < 1
    foreign.broken = ""
    assert token == row(connection_)["access_token"]


@BROKEN
def test_what_lives_is_handed_out_at_once_inside_a_transaction_too(foreign, thanksio, connected, broken):
    connection_ = connected(expires_in=3600)
    lives_for_a_short_while(connection_)
    with transaction.atomic():
        foreign.broken = broken
        started = time.monotonic()
        token = connection_.get_access_token()
        assert time.monotonic() - started < 1
        foreign.broken = ""
    assert thanksio.is_live(token)


@BROKEN
def test_an_expired_token_gives_operational_error_from_a_foreign_pools_own(
    foreign, thanksio, connected, broken, impatient
):
    connection_ = connected()
    connection.close()
    foreign.broken = broken
    with pytest.raises(OperationalError) as caught:
        connection_.get_access_token()
    foreign.broken = ""
    assert isinstance(caught.value.__cause__, PoolTimeout)
    assert thanksio.count("refresh_token") == 0


@BROKEN
def test_a_pool_that_raises_between_reply_and_store_only_delays_the_store(foreign, thanksio, connected, broken):
    connection_ = connected()
    thanksio.on_token(lambda record: setattr(DatabaseWrapper, "broken", broken))
    timer = threading.Timer(1.0, setattr, (DatabaseWrapper, "broken", ""))
    timer.start()
    assert connection_.get_access_token() == assert_live(thanksio, connection_)
    timer.join()
    assert thanksio.count("refresh_token") == 1


def test_a_foreign_pool_that_has_no_second_connection_leaves_the_callers(foreign, thanksio, connected, monkeypatch):
    connection_ = connected()
    with suppress(HostError), transaction.atomic():
        Group.objects.count()
        foreign.broken = "connect"
        token = connection_.get_access_token()
        raise HostError
    foreign.broken = ""
    assert token == assert_live(thanksio, connection_)


# How long a step is tried


def failing(error, times):
    """A step that fails so often, and how often it ran."""
    runs = []

    def step(using):
        runs.append(using)
        if len(runs) <= times:
            raise error
        return "done"

    return step, runs


@pytest.mark.parametrize("inside", [False, True], ids=["autocommit", "transaction"])
def test_a_step_that_fails_is_run_again_on_fresh_private_sessions(database, inside):
    if inside and KIND == "sqlite":
        pytest.skip("SQLite lets one transaction write at a time")
    step, runs = failing(OperationalError("gone"), 3)
    with transaction.atomic() if inside else nullcontext():
        assert sessions.committed("default", step, budget_seconds=5) == "done"
    assert runs[0] == "default"
    assert len(set(runs)) == 4
    assert [alias for alias in runs if alias in connections.settings] == ["default"]


def test_an_error_that_no_session_mends_is_raised_at_once(database):
    step, runs = failing(DataError("too long"), 99)
    with pytest.raises(DataError):
        sessions.committed("default", step)
    assert runs == ["default"]


def test_no_session_stays_open_and_no_alias_behind(database):
    before = databases.session_count()
    known = set(vars(connections._connections))
    step, runs = failing(OperationalError("gone"), 99)
    with pytest.raises(OperationalError):
        sessions.committed("default", step, budget_seconds=0.3)
    assert len(runs) > 2
    assert set(vars(connections._connections)) == known
    assert databases.session_count(wanted=before) == before


@pytest.mark.parametrize("clock", ["freezegun", "time_machine"])
def test_with_a_clock_that_stands_still_the_tries_end_by_their_number(database, clock, monkeypatch):
    monkeypatch.setattr("thanksio_connect.database.sessions.time.sleep", lambda seconds: None)
    step, runs = failing(OperationalError("gone"), 10**6)
    with frozen(clock), pytest.raises(OperationalError):
        sessions.committed("default", step, budget_seconds=1)
    assert 3 < len(runs) < 100


@servers_only
def test_an_exhausted_private_session_is_waited_for_no_longer_than_its_caller_allows(database, one_session):
    with one_session(), transaction.atomic():
        connection.ensure_connection()
        started = time.monotonic()
        with pytest.raises(OperationalError), sessions.private_session("default", patience_seconds=0.3):
            pytest.fail("There was a connection")
        assert time.monotonic() - started < 1.5


# Interruptions in the middle of the engine's own bookkeeping


class Interrupted(BaseException):
    """What a time limit raises into the thread."""


@contextmanager
def interrupted_at(number: int):
    """Raise into the thread where Python looks for signals: when the so-and-so-many-th function begins or ends."""
    left = number

    def trace(frame, event, _arg):
        nonlocal left
        if not frame.f_globals.get("__name__", "").startswith(("django.db", "thanksio_connect", "contextlib")):
            return None
        frame.f_trace_lines = False
        if left > 0 and event != "exception" and frame.f_code.co_name != "__del__":
            left -= 1
            if not left:
                raise Interrupted
        return trace

    sys.settrace(trace)
    try:
        yield lambda: left == 0
    finally:
        sys.settrace(None)


def load_as_a_step(key):
    with sessions.callers_connection("default") as using:
        statements.load(using, key)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="needs Python 3.12: an older one may hang in such a function")
@pytest.mark.parametrize("is_nested", [True, False], ids=["in a transaction", "in autocommit"])
def test_an_interruption_anywhere_leaves_the_callers_blocks_as_they_were(connected, is_nested):
    """A savepoint that stays on Django's list makes the caller's atomic() an inner one: it never commits."""
    held = connected()
    key = Key(type(held.tokens), held.tokens.pk, held.pk, held.tokens.version)
    for number in count(1):
        with transaction.atomic() if is_nested else nullcontext():
            with suppress(Interrupted), interrupted_at(number) as was_interrupted:
                load_as_a_step(key)
            assert len(connection.atomic_blocks) == is_nested
            assert connection.savepoint_ids == []
            connection.needs_rollback = False
            Group.objects.create(name=f"group {number}")
        assert not connection.in_atomic_block
        assert connection.get_autocommit()
        if not was_interrupted():
            break
    assert number > 50
    assert Group.objects.filter(name__startswith="group ").count() == number


@mariadb_only
def test_what_a_trigger_refuses_is_tried_again_for_a_pair_alone(database):
    """A rule of the host's may be in force for a while; the pair is all there is."""
    tries = []

    def step(using):
        tries.append(using)
        if len(tries) < 4:
            with connections[using].cursor() as cursor:
                cursor.execute("SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no'")
        return "stored"

    assert sessions.committed("default", step, budget_seconds=sessions.STORE_BUDGET_SECONDS) == "stored"
    tries.clear()
    with pytest.raises(OperationalError):
        sessions.committed("default", step)
    assert len(tries) == 1
