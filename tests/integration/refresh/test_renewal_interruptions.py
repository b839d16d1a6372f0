"""A time limit, an abort, Ctrl-C: whatever is raised into the caller's thread, the exchange is seen through.

Broken on purpose, these fail: an interruption that is taken for a network outcome, a request that is sent again for
it, a pair that is dropped with the frame that it was raised in.
"""

from __future__ import annotations

import time
from contextlib import nullcontext

import pytest
from django.contrib.auth.models import User
from django.db import connection as database_connection
from django.db import transaction

from tests.integration.brokers import Broker
from tests.integration.browsing import Browser
from tests.integration.refresh.databases import TOKEN_TABLE
from tests.integration.refresh.interruptions import WAYS, Limit, alarm, ctrl_c, later, while_asked
from tests.integration.refresh.pairs import assert_live, fresh, row
from tests.integration.test_tasks import Project
from thanksio_connect import signals
from thanksio_connect.database import facts
from thanksio_connect.models import ThanksIOConnection
from thanksio_connect.refresh import statements

every_way = pytest.mark.parametrize("way", WAYS)
OF_EACH_KIND = ["alarm, own exception", "RQ, another thread", "gunicorn", "Ctrl-C"]
every_way_and_place = pytest.mark.parametrize(
    ("way", "place"), [(way, "autocommit") for way in WAYS] + [(way, "transaction") for way in OF_EACH_KIND]
)


@pytest.fixture
def at(monkeypatch):
    """Fire when the engine is about to run that statement, once; or has run it."""

    def plan(name, fire, *, has_run=False):
        run = getattr(statements, name)

        def interrupted(*args, **options):
            monkeypatch.setattr(statements, name, run)
            if has_run:
                run(*args, **options)
            fire()
            time.sleep(0.05)  # a signal from a timer comes here
            return run(*args, **options)

        monkeypatch.setattr(statements, name, interrupted)

    return plan


def ask(held, place):
    """The helper; in a transaction everything else is rolled back by the interruption."""
    with transaction.atomic() if place == "transaction" else nullcontext():
        held.get_access_token()
        pytest.fail("Nothing was raised")


def assert_reached_its_owner(caught, kind):
    assert type(caught.value) is kind
    if caught.value.args and kind is not SystemExit:
        assert caught.value.args == ("mine",)


@every_way_and_place
def test_before_the_claim_nothing_is_sent_and_no_lease_stays(thanksio, connected, at, way, place):
    held = connected()
    before = row(held)
    context, kind = WAYS[way]
    with context() as fire:
        at("claim", fire)
        with pytest.raises(kind) as caught:
            ask(held, place)
    assert_reached_its_owner(caught, kind)
    assert thanksio.count("refresh_token") == 0
    assert row(held) == before
    assert not database_connection.in_atomic_block
    assert fresh(held).get_access_token() == assert_live(thanksio, held)


@every_way_and_place
def test_after_the_claim_nothing_is_sent_and_no_lease_stays(thanksio, connected, at, way, place):
    held = connected()
    before = row(held)
    context, kind = WAYS[way]
    with context() as fire:
        at("claim", fire, has_run=True)
        with pytest.raises(kind) as caught:
            ask(held, place)
    assert_reached_its_owner(caught, kind)
    assert thanksio.count("refresh_token") == 0
    assert row(held) == before


@every_way
def test_while_another_worker_is_waited_for_nothing_is_sent(thanksio, connected, way):
    held = connected()
    ends = facts.later(database_connection, 60)
    with database_connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {TOKEN_TABLE} SET lease_id = 'of another', lease_expires_at = {ends.sql}", [*ends.parameters]
        )
    context, kind = WAYS[way]
    with context() as fire:
        timers = later(fire, 0.2)
        started = time.monotonic()
        with pytest.raises(kind) as caught:
            ask(held, "autocommit")
        assert time.monotonic() - started < 2
        timers[0].join()
    assert_reached_its_owner(caught, kind)
    assert thanksio.count("refresh_token") == 0
    assert row(held)["lease"]
    assert fresh(held).tokens.lease_id == "of another"


@every_way_and_place
def test_during_the_request_the_answer_is_awaited_and_stored(thanksio, connected, way, place):
    held = connected()
    thanksio.next_token(delay=0.5)
    context, kind = WAYS[way]
    with context() as fire:
        firing = while_asked(thanksio, fire)
        with pytest.raises(kind) as caught:
            ask(held, place)
        firing.join()
    assert_reached_its_owner(caught, kind)
    assert thanksio.count("refresh_token") == 1
    assert_live(thanksio, held)
    assert held.get_access_token() == row(held)["access_token"]  # the instance knows it


@every_way_and_place
def test_during_the_store_the_pair_is_stored_all_the_same(thanksio, connected, at, way, place):
    held = connected()
    context, kind = WAYS[way]
    with context() as fire:
        at("store", fire)
        with pytest.raises(kind) as caught:
            ask(held, place)
    assert_reached_its_owner(caught, kind)
    assert thanksio.count("refresh_token") == 1
    assert_live(thanksio, held)


@pytest.mark.parametrize("answer", ["server error", "refusal"])
def test_an_answer_without_a_pair_leaves_no_lease_behind(thanksio, connected, answer):
    held = connected()
    fault = {"status": 500} if answer == "server error" else {"refuse": "invalid_grant"}
    thanksio.next_token(delay=0.5, **fault)
    with ctrl_c() as fire:
        while_asked(thanksio, fire)
        with pytest.raises(KeyboardInterrupt):
            ask(held, "autocommit")
    assert not row(held)["lease"]
    assert row(held)["outcome_unknown"] is (answer == "server error")
    assert thanksio.count("refresh_token") == 1


def test_a_second_ctrl_c_warns_and_the_pair_is_stored(thanksio, connected, caplog):
    held = connected()
    thanksio.next_token(delay=1.0)
    with ctrl_c() as fire:
        while_asked(thanksio, fire, fire)
        with pytest.raises(KeyboardInterrupt):
            ask(held, "autocommit")
    assert_live(thanksio, held)
    assert [message for message in caplog.messages if "once more loses the connection's tokens" in message]


def test_the_third_ctrl_c_is_obeyed_at_once(thanksio, connected):
    held = connected()
    fault = thanksio.next_token(hold="after")
    started = time.monotonic()
    with ctrl_c() as fire:
        while_asked(thanksio, fire, fire, fire)
        with pytest.raises(KeyboardInterrupt):
            ask(held, "autocommit")
    assert time.monotonic() - started < 3
    fault.release()
    assert row(held)["version"] == 1


@pytest.mark.parametrize("place", ["autocommit", "transaction"])
@pytest.mark.parametrize("name", ["tokens_refreshed", "refresh_failed"])
def test_in_a_receiver_of_a_signal_it_comes_out_and_the_signal_is_sent_once(thanksio, connected, name, place):
    """Django's ``send_robust`` takes it for the receiver's own error."""
    held, heard, signal = connected(), [], getattr(signals, name)
    if name == "refresh_failed":
        thanksio.next_token(status=500)
    with alarm(Limit("mine")) as fire:

        def slow(**options):
            heard.append(options["outcome"])
            fire()
            time.sleep(0.05)

        signal.connect(slow)
        try:
            with pytest.raises(Limit) as caught, transaction.atomic() if place == "transaction" else nullcontext():
                held.get_access_token()
        finally:
            signal.disconnect(slow)
    assert_reached_its_owner(caught, Limit)
    assert len(heard) == 1
    assert thanksio.count("refresh_token") == 1
    if name == "tokens_refreshed":
        assert_live(thanksio, held)
    assert not row(held)["lease"]


def test_what_a_receiver_raises_of_its_own_harms_nothing(thanksio, connected):
    class Late(TimeoutError):
        pass

    def failing(**options):
        raise Late

    held = connected()
    signals.tokens_refreshed.connect(failing)
    try:
        assert held.get_access_token() == assert_live(thanksio, held)
    finally:
        signals.tokens_refreshed.disconnect(failing)


# Real workers


def test_celerys_soft_time_limit(thanksio, connected, database, tmp_path):
    """The token endpoint answers after four seconds, the task's limit is two."""
    held = connected()
    thanksio.next_token(delay=4.0)
    project = Project(tmp_path, database, thanksio, Broker("folder", tmp_path))
    project.send("tests.get_token", held.pk)
    with project.worker():
        project.wait_for_log(r"get_token\[[^]]+\] succeeded", 1)
    assert "'SoftTimeLimitExceeded'" in project.log()
    assert thanksio.count("refresh_token") == 1
    assert_live(thanksio, held)


# The browser's callback: a code can be exchanged once


@pytest.fixture
def browser(thanksio):
    client = Browser()
    client.force_login(User.objects.create(username="ada"))
    return client


def only_connection():
    return ThanksIOConnection.objects.select_related("tokens").get()


def visit(browser, callback, kind):
    """Open the callback. What is no ``Exception`` comes out; of the others the visitor is told, for it is a view."""
    try:
        answer = browser.get(callback)
    except kind as raised:
        return raised
    assert issubclass(kind, Exception)
    assert answer.status_code == 500
    return answer


@every_way
def test_the_callback_stores_what_the_code_brings(thanksio, browser, way):
    callback = browser.allow(thanksio)
    thanksio.next_token(delay=0.5)
    context, kind = WAYS[way]
    with context() as fire:
        firing = while_asked(thanksio, fire)
        visit(browser, callback, kind)
        firing.join()
    assert thanksio.count("authorization_code") == 1
    assert_live(thanksio, only_connection(), version=1)


@pytest.mark.parametrize("way", OF_EACH_KIND)
def test_the_callbacks_store_outlasts_it(thanksio, browser, way, monkeypatch):
    callback = browser.allow(thanksio)
    context, kind = WAYS[way]
    manager = type(ThanksIOConnection.objects)
    grant = manager._grant
    with context() as fire:

        def interrupted(*args, **options):
            monkeypatch.setattr(manager, "_grant", grant)
            fire()
            time.sleep(0.05)
            return grant(*args, **options)

        monkeypatch.setattr(manager, "_grant", interrupted)
        visit(browser, callback, kind)
    assert thanksio.count("authorization_code") == 1
    assert_live(thanksio, only_connection(), version=1)
