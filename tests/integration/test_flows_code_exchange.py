"""From the code to the stored connection, interrupted and failing: the tokens are stored, or the log says so."""

import logging
import os
import signal
import threading
import time
from contextlib import contextmanager

import pytest
from django.db import DataError, ProgrammingError, connection

from tests.integration.browsing import STATUS, connection_of
from thanksio_connect import signals
from thanksio_connect.flows import code_exchange
from thanksio_connect.models import ThanksIOConnection
from thanksio_connect.models.manager import ThanksIOConnectionManager

pytestmark = pytest.mark.django_db(transaction=True)


class TimeLimit(Exception):
    """As Celery's, RQ's or a project's own."""


@pytest.fixture(params=[TimeLimit, SystemExit, KeyboardInterrupt])
def limit(request):
    """What the handler of SIGALRM raises."""

    def handle(number, frame):
        raise request.param

    before = signal.signal(signal.SIGALRM, handle)
    yield request.param
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def ring_at(fault):
    """Send the alarm while thanks.io thinks about this request, which it answers a moment later."""

    def run():
        fault.wait_reached()
        os.kill(os.getpid(), signal.SIGALRM)
        time.sleep(0.1)
        fault.release()

    threading.Thread(target=run).start()


@pytest.fixture
def announced():
    """The connections of which ``connected`` has told."""
    seen = []

    def receive(connection, **kwargs):
        seen.append(connection)

    signals.connected.connect(receive)
    yield seen
    signals.connected.disconnect(receive)


@contextmanager
def once_at_a_statement(beginning, act, table="connectiontokens"):
    """Act in place of the first statement of this kind."""
    left = [True]

    def wrap(execute, sql, parameters, many, context):
        if left and sql.startswith(beginning) and table in sql:
            left.clear()
            act()
        return execute(sql, parameters, many, context)

    with connection.execute_wrapper(wrap):
        yield left
    assert not left


def interrupt():
    signal.raise_signal(signal.SIGALRM)


def assert_connected_once(browser, thanksio, user, callback):
    tokens = connection_of(user).tokens
    assert thanksio.is_live(tokens.access_token)
    assert thanksio.is_live(tokens.refresh_token)
    assert browser.get(callback)["Location"] == STATUS  # a reload says so, at once
    assert thanksio.count("authorization_code") == 1


def test_an_interruption_of_the_exchange_waits_for_the_tokens(browser, thanksio, user, limit, announced):
    callback = browser.allow(thanksio)
    held = thanksio.next_token(hold="after")
    here = threading.get_ident()

    def interrupt_the_wait():
        held.wait_reached()
        signal.pthread_kill(here, signal.SIGALRM)
        held.release()

    thread = threading.Thread(target=interrupt_the_wait)
    thread.start()
    with pytest.raises(limit):
        browser.get(callback)
    thread.join()
    assert_connected_once(browser, thanksio, user, callback)
    assert len(announced) == 1


@pytest.mark.parametrize("limit", [TimeLimit], indirect=True)
def test_a_timer_that_repeats_is_put_off_as_well(browser, thanksio, user, limit):
    """All its alarms come while thanks.io thinks: one in the middle of a statement would cost the test its session."""
    callback = browser.allow(thanksio)
    held = thanksio.next_token(hold="after")

    def interrupt_again_and_again():
        held.wait_reached()
        signal.setitimer(signal.ITIMER_REAL, 0.01, 0.05)
        time.sleep(0.3)
        signal.setitimer(signal.ITIMER_REAL, 0)
        held.release()

    thread = threading.Thread(target=interrupt_again_and_again)
    thread.start()
    with pytest.raises(limit):
        browser.get(callback)
    thread.join()
    assert_connected_once(browser, thanksio, user, callback)


def test_an_interruption_of_the_store_stores_once_more(browser, thanksio, user, limit, announced):
    callback = browser.allow(thanksio)
    with once_at_a_statement("INSERT", interrupt), pytest.raises(limit):
        browser.get(callback)
    assert_connected_once(browser, thanksio, user, callback)
    assert len(announced) == 1


def test_an_interruption_after_the_store_overwrites_no_renewal(browser, thanksio, user, limit, announced, monkeypatch):
    callback = browser.allow(thanksio)

    def renewed_meanwhile(token_set, user_id):
        ThanksIOConnection.objects.get().refresh()
        interrupt()

    monkeypatch.setattr(code_exchange, "find_thanksio_user_id", renewed_meanwhile)
    with pytest.raises(limit):
        browser.get(callback)
    assert connection_of(user).tokens.version == 2
    assert_connected_once(browser, thanksio, user, callback)
    assert len(announced) == 1


@pytest.mark.parametrize("limit", [TimeLimit], indirect=True)
def test_an_interruption_of_the_question_whose_account_it_is_reaches_its_owner(browser, thanksio, user, limit):
    callback = browser.allow(thanksio)
    ring_at(thanksio.next_api(hold="before"))
    with pytest.raises(limit):
        browser.get(callback)
    assert_connected_once(browser, thanksio, user, callback)


@pytest.mark.parametrize("limit", [SystemExit], indirect=True)
def test_an_interruption_in_a_receiver_reaches_its_owner_and_stores_nothing_twice(browser, thanksio, user, limit):
    callback = browser.allow(thanksio)
    keys = []

    def receive(connection, **kwargs):
        keys.append(connection.tokens.pk)
        interrupt()

    signals.connected.connect(receive)
    try:
        with pytest.raises(limit):
            browser.get(callback)
    finally:
        signals.connected.disconnect(receive)
    assert keys == [connection_of(user).tokens.pk]
    assert_connected_once(browser, thanksio, user, callback)


@pytest.mark.parametrize("limit", [TimeLimit], indirect=True)
def test_an_interruption_of_a_failing_exchange_reaches_its_owner(browser, thanksio, user, limit):
    callback = browser.allow(thanksio)
    ring_at(thanksio.next_token(hold="before", refuse="invalid_grant"))
    with pytest.raises(limit):
        browser.get(callback)
    assert connection_of(user) is None
    assert browser.get(callback).status_code == 400  # a reload waits for nobody


def criticals(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno == logging.CRITICAL]


def test_tokens_that_the_database_refuses_are_told_of_with_the_cure(browser, thanksio, user, monkeypatch, caplog):
    """The column is too short: the database was upgraded, ``migrate`` was not run."""

    def refuse(*args, **kwargs):
        raise DataError("value too long")

    monkeypatch.setattr(ThanksIOConnectionManager, "_grant", refuse)
    assert browser.get(browser.allow(thanksio)).status_code == 500
    [line] = criticals(caplog)
    assert f"for user {user.pk} could not be stored (DataError)" in line
    assert "manage.py migrate" in line


def test_tokens_that_an_unknown_error_keeps_from_the_database_are_told_of(browser, thanksio, user, monkeypatch, caplog):
    def break_down(*args, **kwargs):
        raise RuntimeError("a pool of the project's own")

    monkeypatch.setattr(ThanksIOConnectionManager, "connect", break_down)
    assert browser.get(browser.allow(thanksio)).status_code == 500
    [line] = criticals(caplog)
    assert f"for user {user.pk} were not stored, for RuntimeError" in line


def test_an_interruption_that_never_ends_is_obeyed_and_told_of(browser, thanksio, user, monkeypatch, caplog):
    def stop(*args, **kwargs):
        raise SystemExit

    monkeypatch.setattr(ThanksIOConnectionManager, "_grant", stop)
    with pytest.raises(SystemExit):
        browser.get(browser.allow(thanksio))
    assert len(criticals(caplog)) == 1


def test_a_missing_column_is_found_before_the_code_is_spent(browser, thanksio, user):
    callback = browser.allow(thanksio)

    def miss():
        raise ProgrammingError("no such column")

    with once_at_a_statement("SELECT", miss):
        assert browser.get(callback).status_code == 500
    assert thanksio.count("authorization_code") == 0
    assert browser.get(callback)["Location"] == STATUS  # after migrate
    assert_connected_once(browser, thanksio, user, callback)


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite in memory is one connection for all threads")
def test_a_session_that_dies_before_the_store_costs_nothing(browser, thanksio, user, caplog):
    callback = browser.allow(thanksio)
    with once_at_a_statement(("INSERT", "UPDATE"), lambda: connection.connection.close(), "thanksioconnection"):
        assert browser.get(callback)["Location"] == STATUS
    assert criticals(caplog) == []
    assert_connected_once(browser, thanksio, user, callback)
