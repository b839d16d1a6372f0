"""Where a renewal touches the database: whatever the caller's transaction did and comes to, the live pair stands.

Broken on purpose, these fail: a store in the caller's transaction without a guard, a place that is chosen after
something was sent, a claim without a savepoint, a wait for a lock that is the caller's own.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from datetime import timedelta
from itertools import product

import pytest
from django.contrib.auth.models import Group
from django.db import DatabaseError, connection, connections, transaction
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
    ENDINGS,
    STATES,
    assert_the_hosts_own_work_is_as_the_ending_says,
    commits,
    end,
    every_state,
    every_variant,
    has_child,
    nothing,
    raises,
    read,
    servers_only,
    updated,
    use,
)
from thanksio_connect.exceptions import (
    NotConnected,
    OutcomeUnknown,
    ReconnectRequired,
    RefreshInProgress,
    ThanksIOError,
)
from thanksio_connect.models import ConnectionTokens, ThanksIOConnection

SOON, LONG_AGO = timedelta(seconds=100), timedelta(hours=1)


def is_essential(variant, state, what):
    """The usual configuration is tried with every state and every ending; the others with what differs there."""
    if variant == databases.VARIANTS[0]:
        return state is nothing or what in (raises, commits, "dead", "lost")
    return state in (read, has_child) and what in (raises, "dead")


def lives_for_a_short_while(connection):
    update(connection, expires_at=timezone.now() + SOON, obtained_at=timezone.now() - LONG_AGO)


@pytest.mark.parametrize(
    ("variant", "state", "ending"),
    [
        pytest.param(variant, state, ending, id=f"{variant}-{state.__name__}-{ending.__name__}")
        for variant, state, ending in product(databases.VARIANTS, STATES, ENDINGS)
        if is_essential(variant, state, ending)
    ],
    indirect=["variant"],
)
def test_the_live_pair_survives_whatever_the_transaction_comes_to(thanksio, connected, variant, state, ending):
    connection = connected()
    before = databases.session_count()
    end(ending, lambda: use(connection, state))
    assert_instance_is_live(thanksio, connection)
    assert thanksio.count("refresh_token") == 1
    spare = 1 if variant == "pool" else 0  # the pool may keep another one
    assert databases.session_count(wanted=before) <= before + spare
    assert_the_hosts_own_work_is_as_the_ending_says(ending)
    connection.refresh(force=True)  # and the next renewal works
    assert_instance_is_live(thanksio, connection, version=3)


@every_variant
@pytest.mark.parametrize("commit", [True, False], ids=["commit", "rollback"])
def test_a_connection_that_was_made_in_this_transaction(thanksio, connected, variant, commit, caplog):
    before = databases.session_count()
    with transaction.atomic():
        connection = connected()
        token = use(connection)
        transaction.set_rollback(not commit)
    assert token == access(connection)
    spare = 1 if variant == "pool" else 0  # the pool may keep another one
    assert databases.session_count(wanted=before) <= before + spare
    if commit:
        assert_instance_is_live(thanksio, connection)
    else:
        assert not ThanksIOConnection.objects.exists()
    assert thanksio.count("refresh_token") == 1
    [record] = caplog.records
    assert "are renewed inside a database transaction" in record.getMessage()


@every_variant
@pytest.mark.parametrize("state", [nothing, updated], ids=lambda state: state.__name__)
@pytest.mark.parametrize("commit", [True, False], ids=["commit", "rollback"])
def test_with_autocommit_off(thanksio, connected, variant, state, commit):
    connection = connected()
    transaction.set_autocommit(False)
    try:
        use(connection, state)
        (transaction.commit if commit else transaction.rollback)()
        Group.objects.create(name="second")
        transaction.rollback()
    finally:
        transaction.set_autocommit(True)
    assert_instance_is_live(thanksio, connection)
    assert set(Group.objects.values_list("name", flat=True)) == ({"after"} if commit else set())
    assert thanksio.count("refresh_token") == 1


FAILURES = {
    "throttled": ({"status": 429, "times": None}, ThanksIOError),
    "server_error": ({"status": 500, "times": None}, OutcomeUnknown),
    "lost": ({"lose_reply": "before", "times": None}, OutcomeUnknown),
    "dead": ({"refuse": "invalid_grant", "times": None}, ReconnectRequired),
}


@pytest.mark.parametrize(
    ("variant", "state", "failure"),
    [
        pytest.param(variant, state, failure, id=f"{variant}-{state.__name__}-{failure}")
        for variant, state, failure in product(databases.VARIANTS, [nothing, read, has_child], FAILURES)
        if is_essential(variant, state, failure)
    ],
    indirect=["variant"],
)
def test_a_failed_renewal_leaves_the_transaction_usable(thanksio, connected, state, failure, monkeypatch):
    monkeypatch.setattr("thanksio_connect.refresh.places.Place.second_look_seconds", 0.02)
    fault, error = FAILURES[failure]
    thanksio.next_token(**fault)
    connection = connected()
    with transaction.atomic():
        state(connection)
        with pytest.raises(error):
            connection.get_access_token()
        Group.objects.create(name="after")
        assert ThanksIOConnection.objects.filter(pk=connection.pk).update(thanksio_user_id="host") == 1
    assert Group.objects.filter(name="after").exists()
    assert (row(connection)["version"], row(connection)["lease"]) == (1, False)
    thanksio.faults.clear()
    connection.refresh(force=True)
    assert_instance_is_live(thanksio, connection)


@servers_only
@pytest.mark.parametrize("order", ["token", "token_in_transaction"])
def test_a_process_that_is_killed_inside_its_transaction_loses_nothing(thanksio, connected, start_worker, order):
    """After the store: what the caller did is gone, the pair stands."""
    connection = connected()
    worker = start_worker()
    worker.begin(order, pk=connection.pk, **({"stays": 30.0} if order == "token_in_transaction" else {}))
    until(lambda: row(connection)["version"] == 2)
    worker.kill()
    assert_live(thanksio, connection)


def until(condition, timeout_seconds=20):
    end = time.monotonic() + timeout_seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


# What is said, and what is waited for


@every_state
def test_one_warning_names_cause_and_cure_where_the_callers_connection_is_used(thanksio, connected, state, caplog):
    connection = connected()
    started = time.monotonic()
    seconds = []
    thanksio.on_token(lambda record: seconds.append(time.monotonic() - started))
    with transaction.atomic():
        state(connection)
        connection.get_access_token()
    if KIND == "sqlite":
        [message] = caplog.messages
        assert "SQLite has one writer at a time" in message
        assert "Call connection.get_access_token() before the transaction begins" in message
    else:  # a private session does
        assert caplog.messages == []
    assert seconds[0] < 0.9  # no lock timeout was waited for: they are a second at least


@every_variant
@pytest.mark.parametrize("state", [read, has_child], ids=lambda state: state.__name__)
def test_a_living_token_is_renewed_beside_the_transaction_or_used_as_it_is(thanksio, connected, state, caplog):
    connection = connected(expires_in=3600)
    token = access(connection)
    lives_for_a_short_while(connection)
    with transaction.atomic():
        state(connection)
        got = connection.get_access_token()
    assert thanksio.is_live(got)
    assert (got == token) is (KIND == "sqlite")
    assert thanksio.count("refresh_token") == (0 if KIND == "sqlite" else 1)
    assert caplog.messages == []


def lock_the_tokens(connection):
    assert ConnectionTokens.objects.select_for_update().get(connection=connection)


@servers_only
def test_a_host_that_locks_the_token_row_itself_gets_refresh_in_progress_within_seconds(thanksio, connected):
    connection = connected()
    with transaction.atomic():
        lock_the_tokens(connection)
        started = time.monotonic()
        with pytest.raises(RefreshInProgress) as caught:
            connection.get_access_token()
        assert time.monotonic() - started < 4
        assert caught.value.retryable
        Group.objects.create(name="after")
    assert thanksio.count("refresh_token") == 0
    assert Group.objects.exists()
    assert connection.get_access_token() == assert_live(thanksio, connection)


@servers_only
@pytest.mark.parametrize("inside", [False, True], ids=["autocommit", "transaction"])
def test_a_living_token_is_handed_out_at_once_behind_somebodys_lock(thanksio, connected, inside):
    connection = connected(expires_in=3600)
    token = access(connection)
    lives_for_a_short_while(connection)
    locks, over = threading.Event(), threading.Event()

    def hold():
        with transaction.atomic():
            lock_the_tokens(connection)
            locks.set()
            over.wait(20)
        connections.close_all()

    thread = threading.Thread(target=hold)
    thread.start()
    assert locks.wait(10)
    started = time.monotonic()
    try:
        if inside:
            with transaction.atomic():
                got = connection.get_access_token()
        else:
            got = connection.get_access_token()
        assert time.monotonic() - started < 1
    finally:
        over.set()
        thread.join()
    assert got == token
    assert thanksio.count("refresh_token") == 0


@pytest.mark.skipif(KIND != "sqlite", reason="needs SQLite: its one writer")
@every_variant
def test_a_living_token_is_handed_out_at_once_while_another_process_writes(thanksio, connected, start_worker):
    connection = connected(expires_in=3600)
    token = access(connection)
    other = connected()
    lives_for_a_short_while(connection)
    worker = start_worker()
    worker.begin("token_in_transaction", pk=other.pk, state="elsewhere", stays=2.0)
    thanksio.wait_for_token_requests(1, timeout_seconds=30)
    started = time.monotonic()
    assert connection.get_access_token() == token
    assert time.monotonic() - started < 1
    worker.end()


@servers_only
def test_a_living_token_is_handed_out_at_once_at_the_servers_connection_limit(thanksio, connected, one_session):
    connection = connected(expires_in=3600)
    token = access(connection)
    lives_for_a_short_while(connection)
    with one_session(), transaction.atomic():
        found = fresh(connection)
        started = time.monotonic()
        assert found.get_access_token() == token
        assert time.monotonic() - started < 1
    assert thanksio.count("refresh_token") == 0


@servers_only
def test_at_the_servers_connection_limit_the_callers_own_has_to_do(thanksio, connected, one_session, caplog):
    connection = connected()
    with one_session(), transaction.atomic():
        token = fresh(connection).get_access_token()
        transaction.set_rollback(True)
    assert token == assert_live(thanksio, connection)
    assert thanksio.count("refresh_token") == 1
    [message] = caplog.messages
    assert "a private session could not be had (OperationalError)" in message


# Instances


@every_variant
def test_an_older_instance_in_a_transaction_uses_the_newer_token(thanksio, connected):
    """Also where the caller's snapshot still shows the spent one."""
    connection = connected()
    old, older = fresh(connection), fresh(connection)
    connection.refresh()
    with transaction.atomic():
        Group.objects.count()
        assert old.get_access_token() == access(connection)
    assert older.get_access_token() == access(connection)
    assert thanksio.count("refresh_token") == 1


@servers_only
def test_a_transaction_that_has_deleted_the_connection_is_not_connected(thanksio, connected):
    connection = connected()
    held = fresh(connection)
    with suppress(HostError), transaction.atomic():
        connection.disconnect()
        started = time.monotonic()
        with pytest.raises((NotConnected, RefreshInProgress)):
            held.get_access_token()
        assert time.monotonic() - started < 4
        raise HostError
    assert fresh(connection).get_access_token() == assert_live(thanksio, connection)
    assert thanksio.count("refresh_token") == 1


def test_a_broken_transaction_raises_what_django_raises_and_spends_nothing(thanksio, connected):
    held = connected()
    with transaction.atomic():
        transaction.set_rollback(True)
        if KIND == "sqlite":
            with pytest.raises((DatabaseError, ThanksIOError)):
                held.get_access_token()
            assert thanksio.count("refresh_token") == 0
        else:
            held.get_access_token()
    assert connection.in_atomic_block is False
    if KIND != "sqlite":
        assert_live(thanksio, held)
