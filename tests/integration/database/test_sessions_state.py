"""Hosts whose database sessions carry state: a variable, a role, a search path, a tenant. A private one has none.

Broken on purpose, these fail: a guard that writes on a private session only, one for which "no row" is success, a
worker thread that skips what it can't see.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from contextvars import ContextVar
from datetime import timedelta

import pytest
from django.conf import settings as django_settings
from django.core.management import CommandError, call_command
from django.db import ProgrammingError, connection, connections, transaction
from django.utils import timezone

from tests.integration.refresh import databases
from tests.integration.refresh.databases import TOKEN_TABLE
from tests.integration.refresh.pairs import HostError, assert_live, fresh, row, update
from tests.integration.refresh.processes import ROOT, SHARED_SETTINGS
from tests.integration.refresh.states import postgres_only
from thanksio_connect.exceptions import ThanksIOConfigurationError
from thanksio_connect.models import ConnectionTokens, ThanksIOConnection
from thanksio_connect.refresh import statements

pytestmark = postgres_only

CONNECTION_TABLE = "thanksio_connect_thanksioconnection"
tenant: ContextVar[str] = ContextVar("tenant", default="")


def execute(*statements):
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def set_tenant(scope="session"):
    execute(f"SELECT set_config('app.tenant', 't1', {'true' if scope == 'transaction' else 'false'})")


def prepare_session(session):
    """``THANKSIO_PREPARE_SESSION`` of such a project: context variables still name the tenant."""
    with session.cursor() as cursor:
        cursor.execute("SELECT set_config('app.tenant', %s, false)", [tenant.get()])


def prepare_role(session):
    with session.cursor() as cursor:
        cursor.execute(f"SET ROLE {session.settings_dict['NAME']}_owner")


@pytest.fixture
def ordinary(database) -> Iterator[dict]:
    """The database as an ordinary role sees it, which no superuser's rights take past a policy."""
    role = f"{database['NAME']}_tenant"
    execute(f"CREATE ROLE {role} LOGIN IN ROLE pg_read_all_data, pg_write_all_data")
    yield {**database, "USER": role}
    execute(f"DROP OWNED BY {role}", f"DROP ROLE {role}")


@pytest.fixture
def policy(ordinary) -> Iterator[None]:
    """Row-level security on the token table by a session variable; Django is the ordinary role."""
    execute(
        f"CREATE POLICY by_tenant ON {TOKEN_TABLE} USING (current_setting('app.tenant', true) = 't1')",
        f"ALTER TABLE {TOKEN_TABLE} ENABLE ROW LEVEL SECURITY",
    )
    with databases.using(ordinary):
        yield
    execute(f"ALTER TABLE {TOKEN_TABLE} DISABLE ROW LEVEL SECURITY", f"DROP POLICY by_tenant ON {TOKEN_TABLE}")


@pytest.fixture
def write_policy(ordinary) -> Iterator[None]:
    """As ``policy``, but every session may read: only UPDATE goes by the variable, and passes over the row silently."""
    policies = {
        "reads": "FOR SELECT USING (true)",
        "inserts": "FOR INSERT WITH CHECK (true)",
        "updates": "FOR UPDATE USING (current_setting('app.tenant', true) = 't1')",
    }
    execute(*(f"CREATE POLICY {name} ON {TOKEN_TABLE} {rule}" for name, rule in policies.items()))
    execute(f"ALTER TABLE {TOKEN_TABLE} ENABLE ROW LEVEL SECURITY")
    with databases.using(ordinary):
        yield
    execute(f"ALTER TABLE {TOKEN_TABLE} DISABLE ROW LEVEL SECURITY")
    execute(*(f"DROP POLICY {name} ON {TOKEN_TABLE}" for name in policies))


either_policy = pytest.mark.parametrize("kind", ["policy", "write_policy"])


def critical(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.CRITICAL]


def renew_and_roll_back(held, *, scope):
    """In a transaction whose host sets its tenant for the session (before it) or for the transaction."""
    if scope == "session":
        set_tenant()
    with suppress(HostError), transaction.atomic():
        if scope == "transaction":
            set_tenant("transaction")
        token = held.get_access_token()
        raise HostError
    set_tenant()
    return token


def test_a_variable_of_the_session_costs_one_request_and_the_pair_stands(thanksio, connected, policy, caplog):
    set_tenant()
    held = connected()
    token = renew_and_roll_back(held, scope="session")
    assert token == assert_live(thanksio, held)
    assert thanksio.count("refresh_token") == 1
    [warning] = caplog.messages
    assert "THANKSIO_PREPARE_SESSION" in warning


def test_a_variable_of_the_transaction_is_a_critical_line_and_never_silence(thanksio, connected, policy, caplog):
    set_tenant()
    held = connected()
    connection.close()
    started = time.monotonic()
    token = renew_and_roll_back(held, scope="transaction")
    assert thanksio.is_live(token)
    assert time.monotonic() - started < 3
    assert row(held)["version"] == 1
    [message] = critical(caplog)
    assert f"thanks.io connection {held.pk}" in message
    assert "THANKSIO_PREPARE_SESSION" in message


@pytest.mark.parametrize("scope", ["session", "transaction"])
def test_where_a_row_can_be_read_and_not_written_the_callers_transaction_does(
    thanksio, connected, write_policy, caplog, scope
):
    set_tenant()
    held = connected()
    connection.close()
    started = time.monotonic()
    token = renew_and_roll_back(held, scope=scope)
    assert time.monotonic() - started < 3
    assert thanksio.count("refresh_token") == 1
    if scope == "session":
        assert (token, critical(caplog)) == (assert_live(thanksio, held), [])
    else:
        assert row(held)["version"] == 1
        assert "THANKSIO_PREPARE_SESSION" in critical(caplog)[0]


def test_a_session_that_may_not_write_the_row_sends_nothing_and_says_why(thanksio, connected, write_policy):
    set_tenant()
    held = connected()
    connection.close()
    started = time.monotonic()
    with pytest.raises(ProgrammingError, match="THANKSIO_PREPARE_SESSION"):
        held.get_access_token()
    assert time.monotonic() - started < 3
    assert thanksio.count("refresh_token") == 0


@pytest.fixture
def dies_before(monkeypatch):
    """The caller's session dies, and its state with it, when the engine is about to run that statement."""

    def plan(name):
        run, held = getattr(statements, name), [connection.connection]

        def dying(*args, **options):
            if held:
                held.pop().close()
            return run(*args, **options)

        monkeypatch.setattr(statements, name, dying)

    return plan


@either_policy
def test_where_the_session_that_saw_the_row_dies_before_the_store_the_loss_is_told(
    thanksio, connected, request, caplog, dies_before, kind
):
    request.getfixturevalue(kind)
    set_tenant()
    held = connected()
    dies_before("store")
    with pytest.raises(ProgrammingError, match="THANKSIO_PREPARE_SESSION"):
        held.get_access_token()
    assert thanksio.count("refresh_token") == 1
    assert "THANKSIO_PREPARE_SESSION" in critical(caplog)[0]


@either_policy
@pytest.mark.parametrize("statement", ["claim", "store"])
def test_where_the_session_that_saw_the_row_dies_a_prepared_one_goes_on(
    thanksio, connected, request, caplog, settings, dies_before, kind, statement
):
    request.getfixturevalue(kind)
    settings.THANKSIO_PREPARE_SESSION = f"{__name__}.prepare_session"
    set_tenant()
    held = connected()
    dies_before(statement)
    reset = tenant.set("t1")
    token = held.get_access_token()
    tenant.reset(reset)
    set_tenant()
    assert token == assert_live(thanksio, held)
    assert thanksio.count("refresh_token") == 1
    assert critical(caplog) == []


def test_a_guard_whose_statement_times_out_leaves_the_host_its_connection(thanksio, connected, policy, monkeypatch):
    """The time-out is the host's; somebody locks the row as soon as the rollback sets it free."""
    set_tenant()
    held = connected()
    execute("SET statement_timeout = '300ms'")
    has_begun, locked = threading.Event(), threading.Event()

    def lock():
        with databases.using(dict(connection.settings_dict), "other"), transaction.atomic("other"):
            cursor = connections["other"].cursor()
            cursor.execute("SELECT set_config('app.tenant', 't1', true)")
            has_begun.set()
            cursor.execute(f"SELECT 1 FROM {TOKEN_TABLE} FOR UPDATE")
            locked.set()
            time.sleep(1)

    other, store = threading.Thread(target=lock), statements.store
    with suppress(HostError), transaction.atomic():
        held.get_access_token()
        other.start()
        has_begun.wait(5)
        monkeypatch.setattr(statements, "store", lambda *args, **options: locked.wait(5) and store(*args, **options))
        raise HostError
    other.join()
    assert locked.is_set()
    execute("SELECT 1")


@pytest.mark.parametrize("scope", ["session", "transaction"])
def test_a_prepared_private_session_sees_the_row_and_nothing_is_lost(
    thanksio, connected, policy, caplog, settings, scope
):
    settings.THANKSIO_PREPARE_SESSION = f"{__name__}.prepare_session"
    set_tenant()
    held = connected()
    connection.close()
    reset = tenant.set("t1")
    token = renew_and_roll_back(held, scope=scope)
    tenant.reset(reset)
    assert token == assert_live(thanksio, held)
    assert thanksio.count("refresh_token") == 1
    assert caplog.messages == []


def test_a_function_that_is_not_there_is_a_configuration_error_and_spends_nothing(
    thanksio, connected, policy, settings
):
    settings.THANKSIO_PREPARE_SESSION = "tests.nowhere.prepare"
    set_tenant()
    held = connected()
    with transaction.atomic(), pytest.raises(ThanksIOConfigurationError):
        held.get_access_token()
    assert thanksio.count("refresh_token") == 0


# Roles


@pytest.fixture
def owner(database) -> Iterator[str]:
    """A role that alone may read the tables; the host's login role takes it on with SET ROLE."""
    login, owner = f"{database['NAME']}_login", f"{database['NAME']}_owner"
    execute(f"CREATE ROLE {owner} IN ROLE pg_read_all_data, pg_write_all_data", f"CREATE ROLE {login} LOGIN NOINHERIT")
    execute(f"GRANT {owner} TO {login}")
    with databases.using({**database, "USER": login}):
        yield owner
    execute(f"DROP ROLE {login}", f"DROP ROLE {owner}")


@pytest.mark.parametrize("prepared", [False, True], ids=["unprepared", "prepared"])
def test_set_role(thanksio, connected, owner, settings, caplog, prepared):
    if prepared:
        settings.THANKSIO_PREPARE_SESSION = f"{__name__}.prepare_role"
    execute(f"SET ROLE {owner}")
    held = connected()
    started = time.monotonic()
    with suppress(HostError), transaction.atomic():
        token = held.get_access_token()
        raise HostError
    assert time.monotonic() - started < 3
    assert token == assert_live(thanksio, held)
    assert thanksio.count("refresh_token") == 1
    assert critical(caplog) == []
    assert bool(caplog.messages) is not prepared


# Schemas


@pytest.fixture(params=["shared", "tenant only"])
def schema(request, database) -> Iterator[str]:
    """A tenant's schema; its tables are in ``public`` as well, or not."""
    tables = (CONNECTION_TABLE, TOKEN_TABLE)
    execute("CREATE SCHEMA t1")
    if request.param == "shared":
        execute(*(f"CREATE TABLE t1.{table} (LIKE public.{table} INCLUDING ALL)" for table in tables))
    else:
        execute(*(f"ALTER TABLE public.{table} SET SCHEMA t1" for table in (databases.NOTE_TABLE, *tables)))
    execute("SET search_path = t1, public")
    yield request.param
    connection.close()
    if request.param == "shared":
        execute("DROP SCHEMA t1 CASCADE")
    else:
        execute(*(f"ALTER TABLE t1.{table} SET SCHEMA public" for table in (databases.NOTE_TABLE, *tables)))
        execute("DROP SCHEMA t1")


def test_a_search_path_set_by_hand(thanksio, connected, schema, caplog):
    """A private session finds another schema's row, none, or no table."""
    held = connected()
    if schema == "shared":  # the same key, another tenant's grant
        execute(f"INSERT INTO public.{CONNECTION_TABLE} SELECT * FROM t1.{CONNECTION_TABLE}")
        execute(
            f"INSERT INTO public.{TOKEN_TABLE} SELECT * FROM t1.{TOKEN_TABLE}",
            f"UPDATE public.{TOKEN_TABLE} SET refresh_token = 'of another', access_token = 'of another'",
        )
    started = time.monotonic()
    with suppress(HostError), transaction.atomic():
        token = held.get_access_token()
        raise HostError
    assert time.monotonic() - started < 2
    assert token == assert_live(thanksio, held)
    assert thanksio.count("refresh_token") == 1
    assert critical(caplog) == []
    if schema == "shared":
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT refresh_token, version, lease_id FROM public.{TOKEN_TABLE}")
            assert cursor.fetchone() == ("of another", 1, None)
        execute(f"DELETE FROM public.{TOKEN_TABLE}", f"DELETE FROM public.{CONNECTION_TABLE}")


@pytest.mark.parametrize("ending", ["commit", "rollback", "savepoint"])
def test_a_living_token_is_used_where_a_private_session_sees_no_row(thanksio, connected, schema, ending):
    held = connected(expires_in=3600)
    update(held, expires_at=timezone.now() + timedelta(seconds=100))
    with transaction.atomic():
        token = held.get_access_token()
    assert token == row(held)["access_token"]
    assert thanksio.count("refresh_token") == 0


# The command


def due(*connections_):
    for each in connections_:
        update(each, next_refresh_at=timezone.now() - timedelta(minutes=1))


def run_command(capsys, **options):
    """The exit status, and what was printed and raised."""
    try:
        call_command("refresh_thanksio_tokens", **options)
    except CommandError as error:
        return error.returncode, capsys.readouterr().out + str(error)
    return 0, capsys.readouterr().out


@pytest.mark.parametrize("workers", [1, 2])
def test_the_command_in_a_project_whose_sessions_need_a_variable(thanksio, connected, policy, capsys, workers):
    set_tenant()
    held = [connected(), connected(), connected()]
    due(*held)
    status, said = run_command(capsys, workers=workers)
    if workers == 1:
        assert (status, "refreshed 3" in said) == (0, True)
    else:
        assert status == 2
        assert "THANKSIO_PREPARE_SESSION" in said
        assert "--workers 1" in said
        assert thanksio.count("refresh_token") == 0
        assert [row(each)["version"] for each in held] == [1, 1, 1]


def test_the_commands_worker_threads_are_prepared(thanksio, connected, policy, capsys, settings):
    settings.THANKSIO_PREPARE_SESSION = f"{__name__}.prepare_session"
    set_tenant()
    held = [connected(), connected(), connected()]
    due(*held)
    reset = tenant.set("t1")
    status, said = run_command(capsys, workers=2)
    tenant.reset(reset)
    assert (status, "refreshed 3" in said) == (0, True)
    for each in held:
        assert_live(thanksio, fresh(each))


def test_the_command_where_worker_threads_find_no_table(thanksio, connected, schema, capsys):
    held = [connected(), connected()]
    due(*held)
    started = time.monotonic()
    status, said = run_command(capsys, workers=2)
    assert time.monotonic() - started < 5
    assert (status, "THANKSIO_PREPARE_SESSION" in said) == (2, True)
    assert thanksio.count("refresh_token") == 0


def test_a_row_that_was_removed_meanwhile_is_skipped_by_the_worker_threads(thanksio, connected, capsys, monkeypatch):
    held = [connected(), connected()]
    due(*held)
    pages = []

    def page(selection, **options):
        pages.append(True)
        found = list(ConnectionTokens.objects.select_related("connection"))
        ThanksIOConnection.objects.filter(pk=held[0].pk).delete()
        yield found

    monkeypatch.setattr("thanksio_connect.flows.selection.Selection.pages", page)
    status, said = run_command(capsys, workers=2)
    assert (status, "refreshed 1, skipped 1" in said) == (0, True), said


# django-tenants


@pytest.mark.parametrize("apps", ["shared and tenant", "tenant"])
def test_django_tenants(database, thanksio, apps):
    """In a project of its own, for it replaces the database backend; see tests/tenants_project/drive.py."""
    name = f"{database['NAME']}_tenants"
    execute(f"CREATE DATABASE {name}")
    shared = {each: getattr(django_settings, each) for each in SHARED_SETTINGS if hasattr(django_settings, each)}
    new = thanksio.issue()
    grant = {"access_token": new.access_token, "refresh_token": new.refresh_token, "expires_in": 3600}
    values = {"DATABASE_NAME": name, "APPS": apps, "SETTINGS": shared | thanksio.settings(), "GRANT": grant}
    try:
        done = subprocess.run(
            [sys.executable, "-m", "tests.tenants_project.drive"],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "TENANTS_PROJECT": json.dumps(values)},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        result = json.loads(done.stdout.splitlines()[-1])
    finally:
        execute(f"DROP DATABASE {name}")
    live = thanksio.live_pair(new)
    assert result["rolled_back"]["token"] == result["rolled_back"]["stored"]
    assert result["rolled_back"]["seconds"] < 2
    assert result["prepared"]["stored"] == result["prepared"]["token"] == live.access_token
    assert [result["workers"]["status"], result["prepared_workers"]["status"]] == [2, 0]
    assert "THANKSIO_PREPARE_SESSION" in result["workers"]["said"]
    assert result["critical"] == []
