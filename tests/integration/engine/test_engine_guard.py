"""Several renewals and grants in and around one transaction: each guard writes its own pair, over its own grant.

Broken on purpose, these fail: a store that knows the version but not the grant, guards in the order of their
registration, a guard that waits for its own caller, a commit that waits for whoever locks the row next.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group
from django.db import connection, transaction
from django.db.models.signals import post_delete, post_save
from django.utils import timezone

from tests.integration.engine import databases
from tests.integration.engine.databases import KIND
from tests.integration.engine.test_engine_journal import HostError, fresh, in_thread, locked
from tests.integration.engine.test_engine_writes import assert_live
from thanksio_connect.client.tokens import TokenSet
from thanksio_connect.exceptions import OutcomeUnknown, ReconnectRequired
from thanksio_connect.models import ThanksIOConnection, UncommittedRenewal

servers_only = pytest.mark.skipif(KIND == "sqlite", reason="SQLite lets one transaction write at a time")


@servers_only
def test_a_reconnect_wins_over_the_renewal_of_a_grant_that_was_rolled_back(thanksio, connected):
    """Both gave the version 2: the grant that nobody ever saw, and the one that came after the rollback."""
    row, got = connected(), []
    user = row.user

    def reconnect():
        got.append(thanksio.connect(user, expires_in=3600).refresh_token)

    with suppress(HostError), transaction.atomic():
        thanksio.connect(user, expires_in=-1).get_access_token()
        thread, _results = in_thread(reconnect)
        time.sleep(0.5)
        raise HostError
    thread.join(30)
    assert fresh(row).refresh_token == got[0]


@servers_only
@pytest.mark.parametrize("outcome", ["verdict", "failure"])
def test_what_became_of_a_grant_that_was_rolled_back_is_not_written_to_another(thanksio, connected, outcome):
    user = connected().user
    expired = timezone.now() - timedelta(days=1)
    tokens = TokenSet("access", None if outcome == "verdict" else "refresh", expires_at=expired)
    with suppress(HostError), transaction.atomic():
        mine = ThanksIOConnection.objects.connect(user, tokens)
        if outcome == "failure":
            thanksio.next_token(status=500)
        with suppress(ReconnectRequired, OutcomeUnknown):
            mine.get_access_token()
        thread, _results = in_thread(lambda: thanksio.connect(user))
        time.sleep(0.5)
        raise HostError
    thread.join(30)
    stored = ThanksIOConnection.objects.get(user=user)
    assert (stored.status, stored.failure_count, stored.outcome_unknown) == ("connected", 0, False)


@pytest.mark.parametrize("between", ["renewal", "reconnect"])
def test_with_autocommit_off_the_guard_of_an_earlier_transaction_is_over(thanksio, connected, between):
    """Django's ``commit()`` keeps the callbacks there."""
    row = connected()
    user = row.user
    transaction.set_autocommit(False)
    try:
        locked(row).get_access_token()
        transaction.commit()
        thread, results = in_thread(
            lambda: fresh(row).refresh(force=True) if between == "renewal" else thanksio.connect(user, expires_in=-1)
        )
        thread.join(30)
        assert not isinstance(results[0], Exception)
        mine = locked(row)
        mine.refresh(force=True)
        assert mine.version == 4
        transaction.rollback()
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)
    assert_live(thanksio, fresh(row), version=4)


def test_with_autocommit_off_a_connection_can_be_closed(thanksio, connected):
    """The guard does not wait for the transaction that it stands in."""
    row = connected()
    transaction.set_autocommit(False)
    locked(row).get_access_token()
    closed = threading.Event()
    late = threading.Timer(20, lambda: None if closed.is_set() else pytest.fail("close() waits for itself"))
    late.start()
    began = time.monotonic()
    connection.close()
    closed.set()
    late.cancel()
    assert time.monotonic() - began < 15
    connection.set_autocommit(True)
    assert_live(thanksio, row)


def test_a_renewal_after_an_inner_rollback_of_two(thanksio, connected):
    row = connected()
    with suppress(HostError), transaction.atomic():
        with suppress(HostError), transaction.atomic():
            mine = locked(row)
            mine.get_access_token()
            mine.refresh(force=True)
            raise HostError
        locked(row)
        mine = fresh(row)
        mine.refresh(force=True)
        assert mine.version == 4
        raise HostError
    assert_live(thanksio, row, version=4)


@servers_only
def test_a_renewal_by_a_proxy_model_and_one_by_the_model(thanksio, connected):
    row = connected()
    with suppress(HostError), transaction.atomic():
        locked(row)
        Proxy.objects.get(pk=row.pk).get_access_token()
        fresh(row).refresh(force=True)
        raise HostError
    assert_live(thanksio, row, version=3)


class Proxy(ThanksIOConnection):
    class Meta:
        proxy = True
        app_label = "thanksio_connect"


@servers_only
@pytest.mark.parametrize("outcome", ["success", "failure"])
def test_a_commit_does_not_wait_for_whoever_locks_the_row_next(thanksio, connected, outcome):
    row = connected()
    if outcome == "failure":
        thanksio.next_token(status=500)
    locks, go_on, over = threading.Event(), threading.Event(), threading.Event()

    def next_holder():
        with transaction.atomic():
            locked(row)
            locks.set()
            over.wait(15)

    def lock_it_now():
        go_on.set()
        assert locks.wait(10)

    with transaction.atomic():
        mine = locked(row)
        transaction.on_commit(lock_it_now)  # before the engine's own
        thread, _results = in_thread(lambda: (go_on.wait(10), next_holder()))
        with suppress(OutcomeUnknown):
            mine.get_access_token()
    committed_first = not over.is_set()
    over.set()
    thread.join(30)
    assert committed_first
    assert thread.is_alive() is False
    assert not UncommittedRenewal.objects.exists()


@pytest.mark.skipif(KIND != "postgres", reason="a default of the PostgreSQL server")
@pytest.mark.parametrize("level", ["serializable", "repeatable\\ read"])
def test_the_servers_default_isolation_is_not_the_engines(thanksio, connected, database, level):
    row = connected()
    options = {"options": f"-c default_transaction_isolation={level}"}
    with databases.using({**database, "OPTIONS": options}), transaction.atomic():
        locked(row).get_access_token()
        Group.objects.create(name="after")
    assert_live(thanksio, row)


@pytest.mark.skipif(KIND != "mariadb", reason="MariaDB locks what a SERIALIZABLE transaction reads")
def test_a_serializable_transaction_does_not_keep_the_journal_out(thanksio, connected, database, caplog):
    row = connected()
    with databases.using({**database, "OPTIONS": {"isolation_level": "serializable"}}), transaction.atomic():
        locked(row).get_access_token()
    assert "journal" not in caplog.text
    assert_live(thanksio, row)


@servers_only
def test_no_receiver_of_the_projects_meets_the_private_connection(thanksio, connected):
    row = connected()
    met = []

    def receiver(sender, using, **details):
        if sender is UncommittedRenewal:
            met.append(using)

    post_save.connect(receiver)
    post_delete.connect(receiver)
    try:
        with transaction.atomic():
            locked(row).get_access_token()
    finally:
        post_save.disconnect(receiver)
        post_delete.disconnect(receiver)
    assert met == []
    assert not UncommittedRenewal.objects.exists()
