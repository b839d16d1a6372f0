"""The engine in the hosts that there are: requests in transactions, ASGI, TestCase, pools, routers, drivers.

Broken on purpose, these fail: an engine split into several ``await``s, one that takes its connections from the pool, a
guard that fires when a TestCase takes its own rows back.
"""

from __future__ import annotations

import asyncio
import io
import os
import pickle
import subprocess
import sys
import threading
import time
import unittest
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import Group, User
from django.core.handlers.asgi import ASGIHandler
from django.db import connections, transaction
from django.test import Client, TestCase
from django.utils import timezone

from tests.integration.refresh import databases
from tests.integration.refresh.pairs import HostError, access, assert_live, fresh, grant_of, row, update
from tests.integration.refresh.processes import ROOT
from tests.integration.refresh.states import every_variant
from thanksio_connect.exceptions import Unauthorized
from thanksio_connect.models import ThanksIOConnection


@pytest.fixture
def atomic_requests(database):
    with databases.using({**database, "ATOMIC_REQUESTS": True}):
        yield


@every_variant
@pytest.mark.urls("tests.integration.refresh.host")
@pytest.mark.parametrize("ending", ["raise", "return"])
def test_atomic_requests(atomic_requests, thanksio, connected, ending):
    connection_ = connected()
    before = databases.session_count()
    if ending == "raise":
        with pytest.raises(HostError):
            Client().get(f"/{connection_.pk}/raise/")
    else:
        response = Client().get(f"/{connection_.pk}/return/")
        assert response.content.decode() == row(connection_)["access_token"]
    assert_live(thanksio, connection_)
    assert Group.objects.count() == (0 if ending == "raise" else 2)
    assert databases.session_count(wanted=before) <= before + 1


# 401s from the API


def test_a_refused_token_is_renewed_once_and_the_call_replayed_once(thanksio, connected):
    connection = connected(expires_in=3600)
    thanksio.expire_access_token(grant_of(thanksio, connection))
    connection.api.get("/mailing-lists/")
    assert (thanksio.count("refresh_token"), len(thanksio.api_requests())) == (1, 2)


def test_an_ownership_401_spends_nothing(thanksio, connected):
    connection = connected(expires_in=3600)
    thanksio.next_api(status=401, body={"status": "failed", "errors": ["Unauthorized"]}, times=None)
    with pytest.raises(Unauthorized):
        connection.api.get("/mailing-lists/")
    assert (thanksio.count("refresh_token"), len(thanksio.api_requests())) == (0, 1)


def test_a_newer_token_in_the_row_is_used_instead_of_a_renewal(thanksio, connected):
    connection = connected(expires_in=3600)
    old = fresh(connection)
    connection.refresh()
    old.api.get("/mailing-lists/")
    assert (thanksio.count("refresh_token"), len(thanksio.api_requests())) == (1, 2)
    assert access(old) == access(connection)


def test_an_api_that_always_says_unauthenticated_causes_no_storm(thanksio, connected):
    connection = connected(expires_in=3600)
    thanksio.next_api(status=401, body={"message": "Unauthenticated."}, times=None)
    for _call in range(12):
        with pytest.raises(Unauthorized):
            fresh(connection).api.get("/mailing-lists/")
    assert thanksio.count("refresh_token") == 1
    thanksio.faults.clear()
    fresh(connection).api.get("/mailing-lists/")
    assert row(connection)["status"] == "connected"


# Held instances


def test_an_instance_held_for_more_than_a_minute_looks_at_the_row_before_it_hands_out_a_token(thanksio, connected):
    connection = connected(expires_in=3600)
    held = fresh(connection)
    fresh(connection).refresh()
    assert held.get_access_token() == access(connection)  # read just now: no query
    held.tokens._read_at -= 61
    assert held.get_access_token() == assert_live(thanksio, connection)


@pytest.mark.parametrize("load", ["only", "defer", "pickle", "lazy"])
def test_whatever_part_of_the_rows_was_loaded_the_token_is_the_newest(thanksio, connected, load):
    connection = connected(expires_in=3600)
    rows = ThanksIOConnection.objects
    held = {
        "only": lambda: rows.select_related("tokens").only("pk", "tokens__id").get(),
        "defer": lambda: rows.select_related("tokens").defer("tokens__access_token").get(),
        "pickle": lambda: pickle.loads(pickle.dumps(fresh(connection))),
        "lazy": lambda: rows.get(),
    }[load]()
    fresh(connection).refresh()
    if load == "pickle":
        held.tokens._read_at -= 61
    assert held.get_access_token() == assert_live(thanksio, connection)
    assert thanksio.count("refresh_token") == 1


def test_a_held_instance_takes_a_new_grant(thanksio, connected):
    held = connected()
    new = thanksio.connect(held.user)
    assert held.get_access_token() == access(new)
    assert thanksio.count("refresh_token") == 0


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
    connection_ = connected()
    fault = thanksio.next_token(hold="after")

    async def main():
        task = asyncio.create_task(connection_.aget_access_token())
        await asyncio.to_thread(fault.wait_reached, 30)
        task.cancel()
        await asyncio.sleep(0.05)
        fault.release()
        with pytest.raises(asyncio.CancelledError):
            await task
        return True

    assert run_async(main)
    until(lambda: row(connection_)["version"] == 2)
    assert_live(thanksio, connection_)


@every_variant
@pytest.mark.urls("tests.integration.refresh.host")
def test_a_client_that_disconnects_from_the_asgi_server_loses_nothing(thanksio, connected):
    connection_ = connected()
    fault = thanksio.next_token(hold="after")

    async def main():
        incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        await incoming.put({"type": "http.request", "body": b"", "more_body": False})
        sent: list[dict[str, Any]] = []

        async def send(message):
            sent.append(message)

        server = asyncio.create_task(ASGIHandler()(scope(f"/async/{connection_.pk}/"), incoming.get, send))
        await asyncio.to_thread(fault.wait_reached, 30)
        await incoming.put({"type": "http.disconnect"})
        await asyncio.sleep(0.1)
        fault.release()
        await asyncio.wait_for(server, 20)
        assert sent == []
        return True

    assert run_async(main)
    until(lambda: row(connection_)["version"] == 2)
    assert_live(thanksio, connection_)


def test_many_tasks_want_one_token(thanksio, connected):
    connection_ = connected()

    async def main():
        rows = [await ThanksIOConnection.objects.aget(pk=connection_.pk) for _number in range(8)]
        return set(await asyncio.gather(*(each.aget_access_token() for each in rows)))

    assert run_async(main) == {assert_live(thanksio, connection_)}
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
            assert row(self.row)["version"] == 2
            update(self.row, last_refreshed_at=timezone.now() - timedelta(minutes=2))
            fake.expire_access_token(grant_of(fake, self.row))
            self.row.api.get("/mailing-lists/")
            assert row(self.row)["version"] == 3

        def test_b_starts_from_the_class_data_again(self):
            assert (row(self.row)["version"], self.row.tokens.version) == (1, 1)

        def test_c_keeps_the_pair_over_a_rollback_inside(self):
            inner = fake.connect(User.objects.create(username="inner"), expires_in=-1)
            with suppress(HostError), transaction.atomic():
                inner.get_access_token()
                raise HostError
            # TestCase takes the savepoint back; a test must not see what it has rolled back

        def test_d_runs_commit_hooks(self):
            hooks = fake.connect(User.objects.create(username="hooks"), expires_in=-1)
            with self.captureOnCommitCallbacks(execute=True):
                hooks.get_access_token()
            assert row(hooks)["version"] == 2

        def test_e_concludes_at_once(self):
            dead = fake.connect(User.objects.create(username="dead"), expires_in=-1)
            fake.revoke(grant_of(fake, dead))
            started = time.monotonic()
            with self.assertRaisesMessage(Exception, "Reconnect"):
                dead.get_access_token()
            assert time.monotonic() - started < 1.5
            assert fresh(dead).needs_reconnect

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
        connection = fake.connect(User.objects.create(username="child"), expires_in=-1)
        assert fake.is_live(connection.get_access_token())
        assert ThanksIOConnection.objects.get().tokens.version == 2


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
