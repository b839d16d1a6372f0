"""The journal: what others know of a renewal inside a caller's transaction that holds the row.

Broken on purpose, these fail: no journal (a spent token is presented, and a killed process costs the pair), an entry
that outlives its transaction, an entry for a row that is another tenant's, a claim that does not look into it, an
entry that is believed though the caller's session and lock were gone before it was there.
"""

from __future__ import annotations

import io
import threading
import time
from contextlib import contextmanager, nullcontext, suppress

import pytest
from cryptography.fernet import Fernet
from django.contrib.auth.models import Group
from django.core.management import call_command
from django.db import (
    DatabaseError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    connection,
    connections,
    transaction,
)
from django.utils import timezone
from thanksio_connect.refresh.guard import Guard
from thanksio_connect.refresh.row import Key

from tests.integration.engine.databases import KIND
from tests.integration.engine.test_engine_writes import assert_live, until
from thanksio_connect.exceptions import OutcomeUnknown, ReconnectRequired, RefreshInProgress
from thanksio_connect.models import ThanksIOConnection, UncommittedRenewal
from thanksio_connect.refresh import connections as databases
from thanksio_connect.refresh import engine, journal, journal_file, place

LEVELS = {
    "postgres": ["default", "repeatable_read", "serializable"],
    "mariadb": ["default", "repeatable_read", "snapshot_isolation"],
    "sqlite": ["journal", "wal", "immediate"],
}[KIND]
has_sessions = pytest.mark.skipif(KIND == "sqlite", reason="SQLite has no sessions that die alone")
levels = pytest.mark.parametrize("variant", LEVELS, indirect=True)


class HostError(Exception):
    """What goes wrong in the project's own code."""


@contextmanager
def entries():
    """The journal's entries, wherever they stand; not for a thread in a transaction."""
    path = journal_file.path_of("default")
    with nullcontext("default") if path is None else journal_file.opened("default", path, UncommittedRenewal) as at:
        yield UncommittedRenewal.objects.using(at)


def count_entries(**conditions):
    """As others see them."""

    def count():
        with entries() as found:
            return found.filter(**conditions).count()

    thread, results = in_thread(count)
    thread.join(30)
    return results[0]


def fresh(row):
    return ThanksIOConnection.objects.get(pk=row.pk)


def key_of(row):
    return Key(ThanksIOConnection, row.pk, row.user_id, row.created_at, row.version)


def locked(row):
    return ThanksIOConnection.objects.select_for_update().get(pk=row.pk)


@contextmanager
def guards_held(monkeypatch):
    """No guard writes until the context is left: the moment after a rollback, for as long as it takes."""
    reached, go_on, rewrite = threading.Event(), threading.Event(), Guard._rewrite

    def late(self):
        reached.set()
        go_on.wait(30)
        rewrite(self)

    monkeypatch.setattr(Guard, "_rewrite", late)
    try:
        yield reached
    finally:
        go_on.set()


def in_thread(work):
    results = []

    def run():
        try:
            results.append(work())
        except Exception as error:
            results.append(error)
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    return thread, results


def rolled_back(row):
    with transaction.atomic():
        locked(row)
        row.get_access_token()
        raise HostError


@levels
@pytest.mark.parametrize("place", ["autocommit", "transaction", "transaction that holds the row"])
def test_between_a_rollback_and_its_guard_nobody_spends_the_token_again(thanksio, connected, monkeypatch, place):
    row = connected()
    with guards_held(monkeypatch) as reached:
        thread, results = in_thread(lambda: rolled_back(ThanksIOConnection.objects.get(pk=row.pk)))
        assert reached.wait(30)
        mine = ThanksIOConnection.objects.get(pk=row.pk)
        assert mine.version == 1
        if place == "autocommit":
            token = mine.get_access_token()
        else:
            with transaction.atomic():
                if place != "transaction":
                    locked(row)
                token = mine.get_access_token()
    thread.join(30)
    assert isinstance(results[0], HostError)
    assert thanksio.count("refresh_token") == 1
    assert token == assert_live(thanksio, row)
    assert count_entries() == 0


@has_sessions
@pytest.mark.parametrize("others", ["are at it", "are done"])
def test_a_lock_that_is_lost_before_the_entry_is_seen_spends_nothing(thanksio, connected, monkeypatch, others):
    """The caller's session dies after its claim; before its entry is there, somebody else claims the row."""
    row = connected()
    announce, delays = journal.announce, []

    def late(*given):
        monkeypatch.setattr(journal, "announce", announce)
        kill_session(session)
        if others == "are at it":
            fault = thanksio.next_token(hold="after")
            delays.append((fault, in_thread(lambda: fresh(row).refresh())))
            fault.wait_reached(30)
        else:
            fresh_in_thread, _results = in_thread(lambda: fresh(row).refresh())
            fresh_in_thread.join(30)
        return announce(*given)

    def run():
        nonlocal session
        with transaction.atomic():
            mine = locked(row)
            session = session_id()
            return mine.get_access_token()

    session = None
    monkeypatch.setattr(journal, "announce", late)
    thread, results = in_thread(run)
    thread.join(30)
    for fault, (other, _results) in delays:
        fault.release()
        other.join(30)
    assert isinstance(results[0], DatabaseError | InterfaceError)
    assert thanksio.count("refresh_token") == 1
    assert_live(thanksio, row)
    assert count_entries() == 0


@has_sessions
def test_a_session_that_dies_before_the_second_sending_leaves_word_of_the_first(thanksio, connected, monkeypatch):
    """The first was processed and its answer lost; the error ends the renewal before the row could tell."""
    row = connected()
    thanksio.next_token(lose_reply="after")
    announce, sessions = journal.announce, []

    def dies(*given):
        if len(sessions) == 2:
            kill_session(sessions[0])
        sessions.append(None)
        return announce(*given)

    def run():
        with transaction.atomic():
            mine = locked(row)
            sessions.append(session_id())
            return mine.get_access_token()

    monkeypatch.setattr(journal, "announce", dies)
    monkeypatch.setattr(place.Place, "second_look_seconds", 0.05)
    thread, results = in_thread(run)
    thread.join(30)
    assert isinstance(results[0], DatabaseError | InterfaceError)
    assert thanksio.count("refresh_token") == 1
    with pytest.raises(ReconnectRequired, match="lost_reply"):
        fresh(row).get_access_token()
    assert fresh(row).last_error_code == "lost_reply"
    assert count_entries() == 0


def session_id():
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()" if KIND == "postgres" else "SELECT connection_id()")
        return cursor.fetchone()[0]


def kill_session(session):
    """From a thread: the caller's own connection stands in a transaction."""

    def kill():
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT pg_terminate_backend({session}, 5000)" if KIND == "postgres" else f"KILL {session}")

    thread, _results = in_thread(kill)
    thread.join(30)


@has_sessions
def test_while_another_callers_request_is_on_its_way_nobody_spends_the_token(thanksio, connected, start_worker):
    """The caller's session dies, and with it its lock, but its process still waits for the answer."""
    row = connected()
    worker = start_worker()
    session = worker.call("session_id")
    fault = thanksio.next_token(hold="after")
    worker.begin("token_in_transaction", pk=row.pk, state="locked")
    fault.wait_reached(30)
    kill_session(session)
    waiter, results = in_thread(lambda: ThanksIOConnection.objects.get(pk=row.pk).get_access_token())
    time.sleep(1)
    assert thanksio.count("refresh_token") == 1
    fault.release()
    waiter.join(30)
    assert results == [assert_live(thanksio, row)]
    assert thanksio.count("refresh_token") == 1


@levels
def test_a_process_that_is_killed_before_its_commit_loses_nothing(thanksio, connected, start_worker):
    row = connected()
    worker = start_worker()
    worker.begin("token_in_transaction", pk=row.pk, state="locked", stays=60)
    until(lambda: count_entries(pair__isnull=False))
    worker.kill()
    token = ThanksIOConnection.objects.get(pk=row.pk).get_access_token()
    assert token == assert_live(thanksio, row)
    assert thanksio.count("refresh_token") == 1
    assert count_entries() == 0


@pytest.fixture
def waits_for_the_row(thanksio, connected, start_worker):
    """A worker that has its pair, and a row that this process's transaction keeps locked for longer than its lease."""

    @contextmanager
    def waits(order):
        row = connected()
        worker = start_worker()
        worker.call("patch", lease_margin=-9.0)
        fault = thanksio.next_token(hold="after")
        worker.begin(order, pk=row.pk)
        fault.wait_reached(30)
        with transaction.atomic():
            ThanksIOConnection.objects.filter(pk=row.pk).update(updated_at=timezone.now())
            fault.release()
            until(lambda: count_entries(pair__isnull=False), timeout_seconds=30)
            thread, results = in_thread(
                lambda: until(lambda: not journal.rows.load("default", key_of(row)).lease_lives)
            )
            thread.join(30)
            assert results == [True]
            yield row, worker
            transaction.set_rollback(True)

    return waits


one_writer = pytest.mark.skipif(KIND == "sqlite", reason="SQLite lets one transaction write at a time")
PLACES = pytest.mark.parametrize("order", ["token", pytest.param("token_in_transaction", marks=one_writer)])


@levels
@PLACES
def test_a_process_that_is_killed_while_it_waits_for_the_row_loses_nothing(thanksio, waits_for_the_row, order):
    with waits_for_the_row(order) as (row, worker):
        worker.kill()
    assert fresh(row).get_access_token() == assert_live(thanksio, row)
    assert thanksio.count("refresh_token") == 1
    assert count_entries() == 0


@levels
@PLACES
def test_who_keeps_the_row_locked_takes_the_pair_that_waits_for_it(thanksio, waits_for_the_row, order):
    with waits_for_the_row(order) as (row, worker):
        token = fresh(row).get_access_token()
    assert worker.end() == token == assert_live(thanksio, row)
    assert thanksio.count("refresh_token") == 1
    assert count_entries() == 0


@levels
@PLACES
def test_a_store_that_waited_leaves_nothing_in_the_journal(thanksio, waits_for_the_row, order):
    with waits_for_the_row(order) as (row, worker):
        pass
    assert worker.end() == assert_live(thanksio, row)
    assert thanksio.count("refresh_token") == 1
    assert count_entries() == 0


@pytest.mark.skipif(KIND == "mariadb", reason="MariaDB waits 50 s for a lock of its own accord")
def test_a_pair_that_could_not_be_stored_in_time_waits_for_the_next_renewal(thanksio, connected, monkeypatch, caplog):
    monkeypatch.setattr(databases, "STORE_BUDGET_SECONDS", 0.0)
    monkeypatch.setattr(engine, "LEASE_MARGIN_SECONDS", -9.0)
    row = connected()
    fault = thanksio.next_token(hold="after")
    thread, results = in_thread(lambda: fresh(row).get_access_token())
    fault.wait_reached(30)
    with transaction.atomic():
        ThanksIOConnection.objects.filter(pk=row.pk).update(updated_at=timezone.now())
        fault.release()
        thread.join(60)
        transaction.set_rollback(True)
    assert isinstance(results[0], OperationalError)
    assert "the next renewal stores them" in caplog.text
    until(lambda: not journal.rows.load("default", key_of(row)).lease_lives)
    assert fresh(row).get_access_token() == assert_live(thanksio, row)
    assert thanksio.count("refresh_token") == 1
    assert count_entries() == 0


def test_what_a_killed_process_left_behind_moves_to_a_new_key(thanksio, connected, start_worker, settings):
    row = connected()
    worker = start_worker()
    worker.begin("token_in_transaction", pk=row.pk, state="locked", stays=60)
    until(lambda: count_entries(pair__isnull=False))
    worker.kill()
    old, new = settings.FIELD_ENCRYPTION_KEY, Fernet.generate_key().decode()
    settings.FIELD_ENCRYPTION_KEY = [new, old]
    call_command("reencrypt_thanksio_tokens", stdout=io.StringIO())
    settings.FIELD_ENCRYPTION_KEY = new
    fresh = ThanksIOConnection.objects.get(pk=row.pk)
    assert fresh.get_access_token() == assert_live(thanksio, fresh)
    assert thanksio.count("refresh_token") == 1


def test_a_process_that_is_killed_during_its_request_leaves_an_unknown_outcome(
    thanksio, connected, start_worker, settings, monkeypatch
):
    row = connected()
    worker = start_worker()
    worker.call("patch", lease_margin=-9.0)
    monkeypatch.setattr(place.Place, "second_look_seconds", 0.05)
    fault = thanksio.next_token(hold="after")
    worker.begin("token_in_transaction", pk=row.pk, state="locked")
    fault.wait_reached(30)
    worker.kill()
    fault.release()
    leases = []

    def note_lease(_request):
        thread, results = in_thread(lambda: fresh(row).lease_id)
        thread.join()
        leases.extend(results)

    thanksio.on_token(note_lease)
    mine = ThanksIOConnection.objects.get(pk=row.pk)
    with pytest.raises(Exception, match="lost_reply"):
        mine.get_access_token()
    assert leases[0] is not None
    assert mine.needs_reconnect
    assert thanksio.count("refresh_token") == 2


def test_a_lease_that_meets_anothers_entry_before_the_second_sending_stays_until_the_failure_is_written(
    thanksio, connected, monkeypatch
):
    row = connected()
    thanksio.next_token(lose_reply="before")
    claim, fail, calls, leases = journal.claim, place.Place.fail, [], []

    def meets_an_entry(*given, **options):
        calls.append(given)
        if len(calls) == 2:
            thread, _results = in_thread(lambda: leave_entry(row))
            thread.join(30)
        return claim(*given, **options)

    def note_lease(self, *given):
        leases.append(fresh(row).lease_id)
        return fail(self, *given)

    monkeypatch.setattr(journal, "claim", meets_an_entry)
    monkeypatch.setattr(place.Place, "fail", note_lease)
    with pytest.raises(OutcomeUnknown):
        row.get_access_token()
    assert len(leases) == 1
    assert leases[0] is not None
    assert fresh(row).lease_id is None
    assert fresh(row).outcome_unknown
    assert thanksio.count("refresh_token") == 1


def test_a_second_announcement_that_fails_does_not_forget_the_first(thanksio, connected, monkeypatch):
    row = connected()
    thanksio.next_token(lose_reply="before")
    announce, calls = journal.announce, []

    def fails(*given):
        calls.append(given)
        if len(calls) > 1:
            raise IntegrityError("not now")
        return announce(*given)

    monkeypatch.setattr(journal, "announce", fails)
    with transaction.atomic():
        mine = locked(row)
        mine.get_access_token()
        assert count_entries(pair__isnull=False) == 1
    assert len(calls) == 2
    assert count_entries() == 0
    assert_live(thanksio, row)


def test_a_pair_that_stands_in_the_journal_comes_before_the_verdict(thanksio, connected, monkeypatch):
    """Another worker spent the token and was killed before its commit, while this one's request was on its way."""
    row = connected()
    newest = killed_before_its_commit(row, renewals=1)
    left = all_entries()
    with entries() as found:
        found.all().delete()

    def put_entry_back(_request):
        thread, _results = in_thread(lambda: [write_entry(entry) for entry in left])
        thread.join(30)

    thanksio.on_token(put_entry_back)
    monkeypatch.setattr(place.Place, "second_look_seconds", 0.05)
    assert fresh(row).get_access_token() == newest.access_token
    assert not fresh(row).needs_reconnect
    assert_live(thanksio, row)
    assert count_entries() == 0


def write_entry(entry):
    with entries() as found:
        found.create(**entry)


@pytest.mark.parametrize("commits", [True, False])
def test_a_failed_request_leaves_no_entry_behind(thanksio, connected, commits):
    row = connected()
    for _twice in range(2):
        thanksio.next_token(status=500)
    with suppress(HostError), transaction.atomic():
        mine = locked(row)
        for _twice in range(2):  # the second announcement waits for nothing of the first
            with pytest.raises(OutcomeUnknown):
                mine.refresh(force=True)
        if not commits:
            raise HostError
    stored = ThanksIOConnection.objects.get(pk=row.pk)
    assert stored.outcome_unknown
    assert count_entries() == 0
    assert stored.get_access_token() == assert_live(thanksio, row)


@levels
@pytest.mark.parametrize("commits", [True, False])
def test_two_renewals_in_one_transaction(thanksio, connected, monkeypatch, commits):
    row = connected()
    mine = ThanksIOConnection.objects.get(pk=row.pk)
    with suppress(HostError), transaction.atomic():
        locked(row)
        mine.get_access_token()
        mine.refresh(force=True)
        if not commits:
            raise HostError
    assert_live(thanksio, row, version=3)
    assert count_entries() == 0


def test_two_renewals_of_a_killed_process_are_both_found(thanksio, connected):
    """As its entries stand in the journal: the claims that follow take one after the other."""
    row = connected()
    newest = killed_before_its_commit(row, renewals=2)
    assert newest.version == 3
    mine = ThanksIOConnection.objects.get(pk=row.pk)
    mine.refresh()
    mine.refresh(force=True)
    assert (mine.version, mine.refresh_token) == (3, newest.refresh_token)
    assert thanksio.count("refresh_token") == 2


def test_a_reconnect_is_not_overwritten_by_what_the_old_grant_left_behind(thanksio, connected):
    """The versions of two renewals that were never committed are given again, to the new grant."""
    row = connected()
    killed_before_its_commit(row, renewals=2)
    new = thanksio.connect(row.user, expires_in=-1)
    assert new.version == 2
    with suppress(HostError), transaction.atomic():
        locked(new)
        new.get_access_token()
        raise HostError
    assert_live(thanksio, new, version=3)
    assert count_entries() == 0


def leave_entry(row, until="2999"):
    with entries() as found:
        found.create(
            connection_id=row.pk,
            version=row.version,
            grant_id=row.grant_id,
            lease_id="0" * 32,
            lease_expires_at=f"{until}-01-01T00:00:00Z",
        )


def all_entries():
    with entries() as found:
        return list(found.values())


def killed_before_its_commit(row, renewals):
    """Leaves the row and the journal as such a process does. Returns the row as it would have been."""
    with suppress(HostError), transaction.atomic():
        mine = locked(row)
        mine.get_access_token()
        for _further in range(renewals - 1):
            mine.refresh(force=True)
        thread, seen = in_thread(all_entries)
        thread.join()
        raise HostError
    newest = fresh(row)
    put_back(row, version=1)
    with entries() as found:
        assert len(found.bulk_create(UncommittedRenewal(**entry) for entry in seen[0])) == renewals
    return newest


@levels
def test_a_pair_from_the_journal_is_renewed_in_a_transaction_that_rolls_back(thanksio, connected, variant):
    row = connected()
    killed_before_its_commit(row, renewals=1)
    with suppress(HostError), transaction.atomic():
        mine = locked(row)
        mine.get_access_token()  # from the journal
        mine.refresh(force=True)
        assert mine.version == 3
        raise HostError
    mine = fresh(row)
    mine.refresh()
    mine.refresh(force=True)
    assert thanksio.count("refresh_token") == 2
    assert_live(thanksio, row, version=3)


def test_a_late_guard_leaves_the_entry_of_another_alone(thanksio, connected, monkeypatch):
    """One's request fails and its lease runs out; two takes the entry over, and gets a pair."""
    row = connected()
    go_on, reached = ({name: threading.Event() for name in ("one", "two")} for _twice in range(2))
    rewrite = Guard._rewrite

    def late(self):
        name = threading.current_thread().name
        reached[name].set()
        go_on[name].wait(30)
        rewrite(self)

    def run():
        with suppress(HostError), transaction.atomic():
            mine = locked(row)
            with suppress(OutcomeUnknown):
                mine.refresh(force=True)
            raise HostError
        connections.close_all()

    monkeypatch.setattr(Guard, "_rewrite", late)
    thanksio.next_token(status=500)
    one, two = (threading.Thread(target=run, name=name) for name in ("one", "two"))
    one.start()
    assert reached["one"].wait(20)
    with entries() as found:
        found.update(lease_expires_at="2000-01-01T00:00:00Z")
    two.start()
    assert reached["two"].wait(20)
    go_on["one"].set()
    one.join(30)
    left = count_entries(pair__isnull=False)
    go_on["two"].set()
    two.join(30)
    assert left == 1
    assert_live(thanksio, row)


@pytest.mark.parametrize("variant", LEVELS[:2], indirect=True)
def test_an_old_snapshot_does_not_hide_a_dead_holders_entry(thanksio, connected, variant):
    row = connected()
    with transaction.atomic():
        Group.objects.count()
        thread, _results = in_thread(lambda: leave_entry(row, until="2000"))
        thread.join()
        mine = locked(row)
        thanksio.next_token(refuse="invalid_grant")
        with suppress(RefreshInProgress):
            mine.refresh(force=True)
    assert fresh(row).outcome_unknown


def test_a_raw_savepoint_does_not_hide_the_transactions_own_pair(thanksio, connected):
    row = connected()
    with transaction.atomic(), connection.cursor() as cursor:
        mine = locked(row)
        cursor.execute("SAVEPOINT by_hand")
        token = mine.get_access_token()
        cursor.execute("ROLLBACK TO SAVEPOINT by_hand")
        assert fresh(row).get_access_token() == token
    assert token == assert_live(thanksio, row)
    assert thanksio.count("refresh_token") == 1


def put_back(row, version):
    Key(ThanksIOConnection, row.pk, None, row.created_at, 0).rows("default").update(
        version=version, access_token=row.access_token, refresh_token=row.refresh_token, expires_at=row.expires_at
    )


def test_a_row_that_only_the_transaction_sees_has_no_entry(thanksio, connected, monkeypatch):
    """Just created, or another tenant's: over there the same primary key may be somebody else's."""
    announced, announce = [], journal.announce
    monkeypatch.setattr(journal, "announce", lambda *given: announced.append(announce(*given)))
    with transaction.atomic():
        row = connected()
        row.get_access_token()
        assert count_entries() == 0
    assert announced == [None]
    assert_live(thanksio, row)


def test_a_caller_that_meets_anothers_entry_gives_up_at_once(thanksio, connected):
    row = connected()
    leave_entry(row)
    with transaction.atomic():
        mine = locked(row)
        with pytest.raises(RefreshInProgress):
            mine.get_access_token()
    assert thanksio.count("refresh_token") == 0


@has_sessions
def test_a_disconnect_that_waits_for_the_row_does_not_hide_a_pair(thanksio, connected, start_worker):
    """It has deleted the row's entries, not yet committed, and waits for the row, which the caller holds."""
    row = connected()
    newest = killed_before_its_commit(row, renewals=1)
    worker = start_worker()
    with transaction.atomic():
        mine = locked(row)
        worker.begin("disconnect", pk=row.pk)
        time.sleep(0.5)
        assert mine.get_access_token() == newest.access_token
    worker.end()
    assert thanksio.count("refresh_token") == 1
    assert not ThanksIOConnection.objects.filter(pk=row.pk).exists()


def test_without_the_journal_the_guard_still_stores_the_pair(thanksio, connected, monkeypatch, caplog):
    def fails(*_arguments):
        raise OperationalError("no table")

    monkeypatch.setattr(journal, "announce", fails)
    row = connected()
    with pytest.raises(HostError):
        rolled_back(row)
    assert_live(thanksio, row)
    assert "journal" in caplog.text


def test_a_disconnect_takes_the_entries_with_it(thanksio, connected):
    row = connected()
    leave_entry(row)
    row.disconnect()
    assert count_entries() == 0


def test_no_token_stands_in_clear_in_the_journal(thanksio, connected):
    row = connected()
    with transaction.atomic():
        mine = locked(row)
        token = mine.get_access_token()
        thread, results = in_thread(all_entries)
        thread.join()
        pair = results[0][0]["pair"]
    assert token not in pair
    assert mine.refresh_token not in pair
