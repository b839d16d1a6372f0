"""The engine in the hosts that there are: requests in transactions, ASGI, TestCase, pools, routers, drivers.

Broken on purpose, these fail: an engine split into several ``await``s, one that takes its connections from the pool, a
guard that fires when a TestCase takes its own rows back.
"""

from __future__ import annotations

import asyncio
import io
import os
import subprocess
import sys
import threading
import time
import unittest
from contextlib import suppress
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import Group, User
from django.core.handlers.asgi import ASGIHandler
from django.db import OperationalError, connection, connections, transaction
from django.test import Client, TestCase, override_settings

from tests.integration.engine import databases
from tests.integration.engine.databases import KIND
from tests.integration.engine.host import HostError
from tests.integration.engine.processes import ROOT
from thanksio_connect.models import ThanksIOConnection

every_variant = pytest.mark.parametrize("variant", databases.VARIANTS, indirect=True)


def assert_live(thanksio, row, *, version=2, using="default"):
    pair = thanksio.live_pair(thanksio.grant_of(row))
    stored = ThanksIOConnection.objects.using(using).get(pk=row.pk)
    assert (stored.refresh_token, stored.access_token) == (pair.refresh_token, pair.access_token)
    assert (stored.version, stored.status, stored.lease_id) == (version, "connected", None)
    return pair.access_token


@pytest.fixture
def atomic_requests(database):
    with databases.using({**database, "ATOMIC_REQUESTS": True}):
        yield


@every_variant
@pytest.mark.urls("tests.integration.engine.host")
@pytest.mark.parametrize("ending", ["raise", "return"])
def test_atomic_requests(atomic_requests, thanksio, connected, ending):
    row = connected()
    before = databases.session_count()
    if ending == "raise":
        with pytest.raises(HostError):
            Client().get(f"/{row.pk}/raise/")
    else:
        response = Client().get(f"/{row.pk}/return/")
        assert response.content.decode() == row.__class__.objects.get().access_token
    assert_live(thanksio, row)
    assert Group.objects.count() == (0 if ending == "raise" else 2)
    assert databases.session_count(wanted=before) <= before + 1


# ASGI


def scope(path: str) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "scheme": "http",
        "headers": [(b"host", b"testserver")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
    }


def run_async(main):
    """Run the coroutine function in a loop and thread of its own."""
    results: list[Any] = []

    def forget() -> None:  # asgiref's thread outlives the loop, and would keep this test's database
        connections.close_all()
        with suppress(AttributeError):  # an ASGI handler has threads of its own
            del connections["default"]

    async def whole() -> Any:
        try:
            return await main()
        finally:
            await sync_to_async(forget)()

    def run() -> None:
        results.append(asyncio.run(whole()))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(30)
    assert results, "The loop did not end well"
    return results[0]


def until(condition, timeout_seconds=10):
    end = time.monotonic() + timeout_seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@every_variant
def test_a_cancelled_task_loses_nothing(thanksio, connected):
    row = connected()
    fault = thanksio.next_token(hold="after")

    async def main():
        task = asyncio.create_task(row.aget_access_token())
        await asyncio.to_thread(fault.wait_reached, 30)
        task.cancel()
        await asyncio.sleep(0.05)
        fault.release()
        with pytest.raises(asyncio.CancelledError):
            await task
        return True

    assert run_async(main)
    until(lambda: ThanksIOConnection.objects.get(pk=row.pk).version == 2)
    assert_live(thanksio, row)


@every_variant
@pytest.mark.urls("tests.integration.engine.host")
def test_a_client_that_disconnects_from_the_asgi_server_loses_nothing(thanksio, connected):
    row = connected()
    fault = thanksio.next_token(hold="after")

    async def main():
        incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        await incoming.put({"type": "http.request", "body": b"", "more_body": False})
        sent: list[dict[str, Any]] = []

        async def send(message):
            sent.append(message)

        server = asyncio.create_task(ASGIHandler()(scope(f"/async/{row.pk}/"), incoming.get, send))
        await asyncio.to_thread(fault.wait_reached, 30)
        await incoming.put({"type": "http.disconnect"})
        await asyncio.sleep(0.1)
        fault.release()
        await asyncio.wait_for(server, 20)
        assert sent == []
        return True

    assert run_async(main)
    until(lambda: ThanksIOConnection.objects.get(pk=row.pk).version == 2)
    assert_live(thanksio, row)


def test_many_tasks_want_one_token(thanksio, connected):
    row = connected()

    async def main():
        rows = [await ThanksIOConnection.objects.aget(pk=row.pk) for _number in range(8)]
        return set(await asyncio.gather(*(each.aget_access_token() for each in rows)))

    assert run_async(main) == {assert_live(thanksio, row)}
    assert thanksio.count("refresh_token") == 1


# TestCase


def run_test_case(case: type[unittest.TestCase]) -> unittest.TestResult:
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(case)
    return unittest.TextTestRunner(stream=io.StringIO()).run(suite)


@every_variant
def test_in_a_test_case_isolation_is_unbroken(thanksio, caplog):
    fake = thanksio

    class Case(TestCase):
        row: ThanksIOConnection

        @classmethod
        def setUpTestData(cls):
            cls.row = fake.connect(User.objects.create(username="case"), expires_in=-1)

        def test_a_renews(self):
            token = self.row.get_access_token()
            assert fake.is_live(token)
            assert ThanksIOConnection.objects.get().version == 2
            fake.expire_access_token(self.row)
            self.row.api.get("/mailing-lists/")
            assert ThanksIOConnection.objects.get().version == 3

        def test_b_starts_from_the_class_data_again(self):
            assert (ThanksIOConnection.objects.get().version, self.row.version) == (1, 1)

        def test_c_keeps_the_pair_over_a_rollback_inside(self):
            row = fake.connect(User.objects.create(username="inner"), expires_in=-1)
            with suppress(HostError), transaction.atomic():
                row.get_access_token()
                raise HostError
            assert ThanksIOConnection.objects.get(pk=row.pk).refresh_token == row.refresh_token
            assert fake.is_live(row.refresh_token)

        def test_d_runs_commit_hooks(self):
            row = fake.connect(User.objects.create(username="hooks"), expires_in=-1)
            with self.captureOnCommitCallbacks(execute=True):
                row.get_access_token()
            assert ThanksIOConnection.objects.get(pk=row.pk).version == 2

        def test_e_concludes_at_once(self):
            row = fake.connect(User.objects.create(username="dead"), expires_in=-1)
            fake.revoke(row)
            started = time.monotonic()
            with self.assertRaisesMessage(Exception, "Reconnect"):
                row.get_access_token()
            assert time.monotonic() - started < 1.5
            assert ThanksIOConnection.objects.get(pk=row.pk).needs_reconnect

    result = run_test_case(Case)
    assert (result.testsRun, result.failures, result.errors) == (5, [], [])
    assert not ThanksIOConnection.objects.exists()
    assert not User.objects.exists()
    assert [record for record in caplog.records if "transaction" in record.getMessage()] == []


CHILD = """
import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from thanksio_connect.models import ThanksIOConnection
from thanksio_connect.testing import FakeThanksIO


def renew():
    with FakeThanksIO() as fake, fake.override_settings():
        row = fake.connect(User.objects.create(username="child"), expires_in=-1)
        assert fake.is_live(row.get_access_token())
        assert ThanksIOConnection.objects.get().version == 2


@pytest.mark.django_db
def test_in_a_transaction():
    renew()


@pytest.mark.django_db
def test_is_isolated():
    assert not ThanksIOConnection.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_committed():
    renew()
"""


def test_in_a_pytest_run_whose_teardown_works(tmp_path):
    """PostgreSQL refuses to drop a test database that somebody has a session on."""
    (tmp_path / "test_child.py").write_text(CHILD)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "DJANGO_SETTINGS_MODULE": "tests.settings"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "3 passed" in done.stdout, done.stdout + done.stderr
    assert (done.returncode, done.stderr) == (0, "")


# Pools, routers, drivers


@pytest.mark.skipif(KIND != "postgres", reason="Django pools PostgreSQL connections")
@pytest.mark.parametrize("variant", ["pool"], indirect=True)
def test_an_exhausted_pool_is_no_obstacle(thanksio, connected):
    rows = [connected(), connected()]
    connection.close()
    barrier = threading.Barrier(3)
    tokens: list[str] = []

    def run(row):
        with transaction.atomic():
            Group.objects.create(name=f"group {row.pk}")
            barrier.wait(10)  # both sessions of the pool are taken now
            barrier.wait(10)
            tokens.append(row.get_access_token())
        connections.close_all()

    threads = [threading.Thread(target=run, args=[row]) for row in rows]
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
    assert set(tokens) == {assert_live(thanksio, row) for row in rows}
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
    row = connected()
    with databases.using(database, "writing"), databases.using(database, "reading"):
        with override_settings(DATABASE_ROUTERS=[Router()]):
            found = ThanksIOConnection.objects.get(pk=row.pk)
            assert found._state.db == "reading"
            if inside:
                with suppress(HostError), transaction.atomic(using="writing"):
                    found.get_access_token()
                    raise HostError
            else:
                found.get_access_token()
        by_alias = ThanksIOConnection.objects.using("writing").get(pk=row.pk)
        with suppress(HostError), transaction.atomic(using="writing"):
            by_alias.refresh()
            raise HostError
        for alias in ("writing", "reading"):
            connections[alias].close()
    assert_live(thanksio, row, version=3)
    assert thanksio.count("refresh_token") == 2


@pytest.mark.skipif(KIND != "mariadb", reason="MariaDB's second driver")
@pytest.mark.parametrize("state", [None, "nothing", "elsewhere", "locked", "child"])
def test_pymysql(thanksio, connected, start_worker, state):
    worker = start_worker(pymysql=True)
    assert worker.call("driver") == "pymysql"
    for rollback in (False, True):
        row = connected()
        if state is None:
            token = worker.call("token", pk=row.pk)
        else:
            token = worker.call("token_in_transaction", pk=row.pk, state=state, rollback=rollback)
        assert token == assert_live(thanksio, row)
    row = connected()
    session = worker.call("session_id")
    fault = thanksio.next_token(hold="after")
    worker.begin("token", pk=row.pk)
    fault.wait_reached(30)
    with connection.cursor() as cursor:
        cursor.execute(f"KILL {session}")
    fault.release()
    assert worker.end() == assert_live(thanksio, row)
