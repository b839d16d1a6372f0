"""Holders that die or sleep, late results, reconnects and disconnects meanwhile, and clocks that disagree.

Broken on purpose, these fail: a store by lease owner, a verdict without a second look, a takeover without one, a
request however long after its claim, a lease on the worker's clock.
"""

from __future__ import annotations

import signal
import time

import pytest

from tests.integration.refresh import databases
from tests.integration.refresh.databases import KIND
from tests.integration.refresh.pairs import access, assert_live, grant_of, row
from tests.integration.refresh.processes import Failed
from tests.integration.refresh.states import servers_only
from thanksio_connect.models import ThanksIOConnection

LEASE_SECONDS = 1.0


@pytest.fixture
def holder(start_worker, settings):
    """A worker whose lease is much shorter than its exchange may last: it can be late."""
    worker = start_worker()
    deadline = settings.THANKSIO_READ_TIMEOUT_SECONDS + 5
    worker.call("patch", lease_margin=LEASE_SECONDS - deadline, looks=0.05)
    return worker


@pytest.fixture
def other(start_worker):
    worker = start_worker()
    worker.call("patch", looks=0.05)
    return worker


def outlive_the_lease():
    time.sleep(LEASE_SECONDS + 0.3)


def outcomes(thanksio):
    return [record.outcome for record in thanksio.token_requests("refresh_token")]


def test_holder_killed_before_thanksio_acted(thanksio, connected, holder, other):
    connection = connected()
    fault = thanksio.next_token(hold="before", lose_reply="before")
    holder.begin("token", pk=connection.pk)
    fault.wait_reached(30)
    holder.kill()
    fault.release()
    assert other.call("token", pk=connection.pk) == thanksio.live_pair(grant_of(thanksio, connection)).access_token
    assert_live(thanksio, connection)
    assert outcomes(thanksio) == ["not_processed", "ok"]


def test_holder_killed_after_thanksio_acted_is_told_as_a_lost_reply(thanksio, connected, holder, other):
    connection = connected()
    fault = thanksio.next_token(hold="after", lose_reply="after")
    holder.begin("token", pk=connection.pk)
    fault.wait_reached(30)
    holder.kill()
    fault.release()
    with pytest.raises(Failed) as caught:
        other.call("token", pk=connection.pk)
    assert (caught.value.kind, caught.value.code) == ("ReconnectRequired", "lost_reply")
    stored = row(connection)
    assert (stored["status"], stored["last_error_code"], stored["version"]) == ("reconnect_required", "lost_reply", 1)
    assert outcomes(thanksio) == ["ok", "invalid_grant"]


@pytest.mark.parametrize("variant", databases.VARIANTS[:2], indirect=True)
def test_holder_stopped_past_its_lease_comes_back_with_the_pair_and_heals_the_verdict(
    thanksio, connected, holder, other
):
    connection = connected()
    fault = thanksio.next_token(hold="after")
    holder.begin("token", pk=connection.pk)
    fault.wait_reached(30)
    holder.signal(signal.SIGSTOP)
    fault.release()
    outlive_the_lease()
    with pytest.raises(Failed, match="lost_reply"):
        other.call("token", pk=connection.pk)
    holder.signal(signal.SIGCONT)
    assert holder.end() == thanksio.live_pair(grant_of(thanksio, connection)).access_token
    assert_live(thanksio, connection)
    assert other.call("token", pk=connection.pk) == holder.call("token", pk=connection.pk)
    assert outcomes(thanksio) == ["ok", "invalid_grant"]


def test_holder_comes_back_while_its_successor_looks_again(thanksio, connected, holder, start_worker):
    other = start_worker()  # with the pauses as they are
    connection = connected()
    fault = thanksio.next_token(hold="after")
    holder.begin("token", pk=connection.pk)
    fault.wait_reached(30)
    holder.signal(signal.SIGSTOP)
    fault.release()
    outlive_the_lease()
    other.begin("token", pk=connection.pk)
    thanksio.wait_for_token_requests(2, timeout_seconds=30)
    time.sleep(0.3)
    holder.signal(signal.SIGCONT)
    assert holder.end() == other.end() == thanksio.live_pair(grant_of(thanksio, connection)).access_token
    assert_live(thanksio, connection)


def test_successor_renews_and_the_late_holder_takes_its_token(thanksio, connected, holder, other):
    connection = connected()
    fault = thanksio.next_token(hold="before")
    holder.begin("token", pk=connection.pk)
    fault.wait_reached(30)
    outlive_the_lease()
    assert other.call("token", pk=connection.pk) == thanksio.live_pair(grant_of(thanksio, connection)).access_token
    fault.release()
    assert holder.end() == other.call("token", pk=connection.pk)
    assert_live(thanksio, connection)


IN_TRANSACTION = pytest.param("token_in_transaction", marks=servers_only)


@pytest.mark.parametrize("order", ["token", IN_TRANSACTION])
def test_a_slow_holders_pair_is_waited_for_before_a_refusal_is_believed(
    thanksio, connected, holder, start_worker, order
):
    other = start_worker()  # with the pauses as they are
    connection = connected()
    fault = thanksio.next_token(hold="after")
    holder.begin(order, pk=connection.pk)
    fault.wait_reached(30)
    outlive_the_lease()
    other.begin(order, pk=connection.pk)
    thanksio.wait_for_token_requests(2, timeout_seconds=30)
    time.sleep(0.3)
    fault.release()
    assert holder.end() == other.end() == thanksio.live_pair(grant_of(thanksio, connection)).access_token
    assert_live(thanksio, connection)
    assert outcomes(thanksio) == ["ok", "invalid_grant"]


@pytest.mark.parametrize("order", ["token", IN_TRANSACTION])
def test_a_holder_that_was_stopped_before_its_request_does_not_send_it_after_its_lease(
    thanksio, connected, holder, other, order
):
    connection = connected()
    holder.call("patch", claim=LEASE_SECONDS / 2)
    holder.call("stop_after_claim")
    holder.begin(order, pk=connection.pk)
    holder.wait_until_stopped()
    outlive_the_lease()
    assert other.call("token", pk=connection.pk) == thanksio.live_pair(grant_of(thanksio, connection)).access_token
    holder.signal(signal.SIGCONT)
    assert holder.end() == other.call("token", pk=connection.pk)
    assert_live(thanksio, connection)
    assert outcomes(thanksio) == ["ok"]


@pytest.mark.parametrize("state", ["autocommit", "transaction"])
def test_reconnect_during_a_renewal_wins(thanksio, connected, holder, other, state):
    if KIND == "sqlite" and state == "transaction":
        pytest.skip("SQLite lets one transaction write at a time")
    connection = connected()
    fault = thanksio.next_token(hold="after")
    holder.begin("token" if state == "autocommit" else "token_in_transaction", pk=connection.pk)
    fault.wait_reached(30)
    new = thanksio.issue()
    other.call("reconnect", pk=connection.pk, access_token=new.access_token, refresh_token=new.refresh_token)
    fault.release()
    assert holder.end() == new.access_token
    stored = row(connection)
    assert (stored["access_token"], stored["refresh_token"], stored["version"]) == (
        new.access_token,
        new.refresh_token,
        1,
    )


@pytest.mark.parametrize("again", [False, True], ids=["gone", "connected_again"])
def test_disconnect_during_a_renewal_wins(thanksio, connected, holder, other, again):
    connection = connected()
    fault = thanksio.next_token(hold="after")
    holder.begin("token", pk=connection.pk)
    fault.wait_reached(30)
    other.call("disconnect", pk=connection.pk)
    new = thanksio.connect(connection.user) if again else None
    fault.release()
    with pytest.raises(Failed, match="NotConnected"):
        holder.end()
    if new is None:
        assert not ThanksIOConnection.objects.exists()
    else:
        assert row(new)["access_token"] == access(new)
        assert row(new)["version"] == 1


def test_a_verdict_about_the_old_grant_does_not_touch_a_new_one(thanksio, connected, other, start_worker):
    slow = start_worker()
    connection = connected()
    thanksio.revoke(grant_of(thanksio, connection))
    slow.begin("token", pk=connection.pk)
    thanksio.wait_for_token_requests(1, timeout_seconds=30)
    new = thanksio.issue()
    other.call("reconnect", pk=connection.pk, access_token=new.access_token, refresh_token=new.refresh_token)
    assert slow.end() == new.access_token
    stored = row(connection)
    assert (stored["status"], stored["version"], stored["last_error_code"]) == ("connected", 1, "")


def test_an_instance_loaded_before_anothers_renewal_uses_the_newer_token(thanksio, connected, start_worker):
    first, second = start_worker(), start_worker()
    connection = connected()
    second.call("load", pk=connection.pk)
    token = first.call("token", pk=connection.pk)
    assert second.call("token", pk=connection.pk) == token
    assert thanksio.count("refresh_token") == 1


@pytest.mark.parametrize("hours", [(3, -3), (-26, 26)], ids=str)
def test_clocks_that_disagree_cost_renewals_but_no_connection(thanksio, connected, start_worker, hours):
    workers = [start_worker() for _hours in hours]
    for worker, shift in zip(workers, hours, strict=True):
        worker.call("shift_clock", seconds=shift * 3600)
    connection = connected()
    for _round in range(3):
        for worker in workers:
            assert thanksio.is_live(worker.call("api_call", pk=connection.pk))
    assert set(outcomes(thanksio)) == {"ok"}
    assert len(outcomes(thanksio)) <= 7


@pytest.mark.parametrize("hours", [48, -48])
def test_a_lease_does_not_expire_by_the_clock_of_another_machine(thanksio, connected, start_worker, hours):
    first, second = start_worker(), start_worker()
    second.call("shift_clock", seconds=hours * 3600)
    connection = connected()
    second.call("load", pk=connection.pk)
    fault = thanksio.next_token(hold="before")
    first.begin("refresh", pk=connection.pk)
    fault.wait_reached(30)
    second.begin("refresh", pk=connection.pk)
    time.sleep(0.5)
    assert thanksio.count("refresh_token") == 1
    fault.release()
    assert thanksio.live_pair(grant_of(thanksio, connection)) is None or first.end()
    second.end()
    assert set(outcomes(thanksio)) == {"ok"}


@pytest.mark.parametrize(("use_tz", "zone"), [(True, "Asia/Tokyo"), (False, "America/New_York"), (False, "UTC")])
def test_any_time_zone(thanksio, connected, start_worker, use_tz, zone):
    """One deployment; the session's time zone on MariaDB and PostgreSQL is another still."""
    worker = start_worker(USE_TZ=use_tz, TIME_ZONE=zone)
    if KIND != "sqlite":
        worker.call("session_time_zone", zone="-05:00" if KIND == "mariadb" else "Asia/Kolkata")
    new = thanksio.issue()
    connection = connected(expires_in=3600)
    worker.call(
        "reconnect", pk=connection.pk, access_token=new.access_token, refresh_token=new.refresh_token, expires_in=3600
    )
    assert worker.call("token", pk=connection.pk) == new.access_token  # fresh: nothing to renew
    assert thanksio.count("refresh_token") == 0
    worker.call("refresh", pk=connection.pk)
    fault = thanksio.next_token(hold="before")
    worker.begin("refresh", pk=connection.pk)
    fault.wait_reached(30)
    fault.release()
    token = worker.end()
    assert thanksio.is_live(token)
    assert worker.call("token", pk=connection.pk) == token
    thanksio.next_token(status=503, retry_after=600, times=None)
    with pytest.raises(Failed, match="Throttled"):
        worker.call("refresh", pk=connection.pk)
    with pytest.raises(Failed, match="Throttled"):
        worker.call("refresh", pk=connection.pk)
    assert thanksio.count("refresh_token") == 3
    assert worker.call("token", pk=connection.pk) == token


def test_a_reply_that_came_while_the_process_slept_is_taken_after_the_deadline(
    thanksio, connected, start_worker, settings
):
    """A laptop that was closed, a virtual machine that was paused: the pair waits in the socket."""
    settings.THANKSIO_CONNECT_TIMEOUT_SECONDS, settings.THANKSIO_READ_TIMEOUT_SECONDS = 0.5, 3.0
    holder = start_worker()
    connection = connected()
    holder.call("ping")
    fault = thanksio.next_token(hold="after")
    holder.begin("token", pk=connection.pk)
    fault.wait_reached(30)
    holder.signal(signal.SIGSTOP)
    fault.release()
    time.sleep(4.5)
    holder.signal(signal.SIGCONT)
    assert holder.end() == thanksio.live_pair(grant_of(thanksio, connection)).access_token
    assert_live(thanksio, connection)
