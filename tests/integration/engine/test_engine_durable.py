"""Durable before use: whatever becomes of the caller's transaction, the row holds the provider's live pair.

Broken on purpose, these fail: a store in the caller's transaction without a guard, a guard that hears of ``atomic()``
only, a fallback that waits for a lock, a claim without a savepoint.
"""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from datetime import timedelta
from itertools import product

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection, transaction
from django.utils import timezone

from tests.integration.engine import databases
from tests.integration.engine.databases import KIND, NOTE_TABLE
from thanksio_connect.exceptions import OutcomeUnknown, ReconnectRequired, RefreshInProgress, ThanksIOError
from thanksio_connect.models import ThanksIOConnection

every_variant = pytest.mark.parametrize("variant", databases.VARIANTS, indirect=True)
# A snapshot that was taken before the renewal: the database itself refuses the host's write to the renewed row.
SNAPSHOTS = {"repeatable_read", "serializable", "snapshot_isolation"} - (
    {"repeatable_read"} if KIND == "mariadb" else set()
)


def is_essential(variant, state, what):
    """Everything is tried on the usual configuration, and a part on the others: the runs shall stay short."""
    return variant == databases.VARIANTS[0] or (
        state in (read, locked, has_child) and what in (raises, commits, rolls_back_a_savepoint, "dead")
    )


class HostError(Exception):
    """What goes wrong in the project's own code."""


def nothing(row):
    pass


def read(row):
    ThanksIOConnection.objects.get(pk=row.pk)


def wrote_elsewhere(row):
    Group.objects.create(name="before")


def locked(row):
    ThanksIOConnection.objects.select_for_update().get(pk=row.pk)


def updated(row):
    ThanksIOConnection.objects.filter(pk=row.pk).update(updated_at=timezone.now())


def has_child(row):
    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO {NOTE_TABLE} VALUES (1, %s)", [row.pk])


STATES = [nothing, read, wrote_elsewhere, locked, updated, has_child]
every_state = pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)


def use(row, state, *, writes_row=True):
    """What a host does: something, the helper, and then its work, all of which must go as ever."""
    state(row)
    token = row.get_access_token()
    Group.objects.create(name="after")
    assert User.objects.filter(pk=row.user_id).exists()
    if writes_row:
        assert ThanksIOConnection.objects.filter(pk=row.pk).update(thanksio_user_id="host") == 1
    return token


def raises(row, **options):
    with transaction.atomic():
        use(row, **options)
        raise HostError


def commits(row, **options):
    with transaction.atomic():
        use(row, **options)


def rolls_back_a_savepoint(row, **options):
    with transaction.atomic():
        try:
            with transaction.atomic():
                use(row, **options)
                raise HostError
        except HostError:
            pass
        Group.objects.create(name="outer")


def rolls_back_both(row, **options):
    with transaction.atomic():
        try:
            with transaction.atomic(), transaction.atomic():
                use(row, **options)
                raise HostError
        except HostError:
            pass
        raise HostError


def sets_rollback(row, **options):
    with transaction.atomic():
        use(row, **options)
        transaction.set_rollback(True)


def rolls_back_a_savepoint_of_its_own(row, **options):
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SAVEPOINT the_hosts_own")
            use(row, **options)
            cursor.execute("ROLLBACK TO SAVEPOINT the_hosts_own")
        Group.objects.create(name="outer")


def breaks_a_block_without_savepoint(row, **options):
    with transaction.atomic():
        try:
            with transaction.atomic(savepoint=False):
                use(row, **options)
                raise HostError
        except HostError:
            pass


def closes_the_connection(row, **options):
    with transaction.atomic():
        use(row, **options)
        connection.close()


ENDINGS = [
    raises,
    commits,
    rolls_back_a_savepoint,
    rolls_back_both,
    sets_rollback,
    rolls_back_a_savepoint_of_its_own,
    breaks_a_block_without_savepoint,
    closes_the_connection,
]


def end(ending, row, **options):
    with suppress(HostError):
        ending(row, **options)


def assert_live(thanksio, row, *, version=2):
    """The row in the database and the instance hold the provider's live pair."""
    pair = thanksio.live_pair(thanksio.grant_of(row))
    stored = ThanksIOConnection.objects.get(pk=row.pk)
    assert (stored.refresh_token, stored.access_token, stored.version) == (
        pair.refresh_token,
        pair.access_token,
        version,
    )
    assert (row.refresh_token, row.access_token, row.version) == (pair.refresh_token, pair.access_token, version)
    assert (stored.lease_id, stored.status) == (None, "connected")


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
    row = connected()
    writes_row = variant not in SNAPSHOTS or state in (locked, updated)
    before = databases.session_count()
    end(ending, row, state=state, writes_row=writes_row)
    assert_live(thanksio, row)
    assert thanksio.count("refresh_token") == 1
    spare = 1 if variant == "pool" else 0  # the pool may keep another one
    assert databases.session_count(wanted=before) <= before + spare
    names = set(Group.objects.values_list("name", flat=True))
    assert ("after" in names) == (ending is commits)
    assert ("outer" in names) == (ending in (rolls_back_a_savepoint, rolls_back_a_savepoint_of_its_own))
    row.refresh(force=True)  # and the next renewal works
    assert_live(thanksio, row, version=3)


@every_variant
@pytest.mark.parametrize("commit", [True, False], ids=["commit", "rollback"])
def test_a_connection_that_was_made_in_this_transaction(thanksio, connected, variant, commit, caplog):
    before = databases.session_count()
    with transaction.atomic():
        row = connected()
        token = use(row, nothing)
        transaction.set_rollback(not commit)
    assert token == row.access_token
    spare = 1 if variant == "pool" else 0  # the pool may keep another one
    assert databases.session_count(wanted=before) <= before + spare
    if commit:
        assert_live(thanksio, row)
    else:
        assert not ThanksIOConnection.objects.exists()
    assert thanksio.count("refresh_token") == 1
    assert len(caplog.records) == 1


@every_variant
@every_state
@pytest.mark.parametrize("commit", [True, False], ids=["commit", "rollback"])
def test_with_autocommit_off(thanksio, connected, variant, state, commit):
    row = connected()
    transaction.set_autocommit(False)
    try:
        use(row, state, writes_row=variant not in SNAPSHOTS or state in (locked, updated))
        (transaction.commit if commit else transaction.rollback)()
        Group.objects.create(name="second")
        transaction.rollback()
    finally:
        transaction.set_autocommit(True)
    assert_live(thanksio, row)
    assert set(Group.objects.values_list("name", flat=True)) <= {"before", "after"}
    assert Group.objects.filter(name="after").exists() == commit
    assert thanksio.count("refresh_token") == 1


FAILURES = {
    "throttled": ({"status": 429, "times": None}, ThanksIOError),
    "server_error": ({"status": 500, "times": None}, OutcomeUnknown),
    "lost": ({"lose_reply": "before", "times": None}, OutcomeUnknown),
    "dead": ({"refuse": "invalid_grant", "times": None}, (ReconnectRequired, RefreshInProgress)),
}


@pytest.mark.parametrize(
    ("variant", "state", "failure"),
    [
        pytest.param(variant, state, failure, id=f"{variant}-{state.__name__}-{failure}")
        for variant, state, failure in product(databases.VARIANTS, STATES, FAILURES)
        if is_essential(variant, state, failure)
    ],
    indirect=["variant"],
)
def test_a_failed_renewal_leaves_the_transaction_usable(
    thanksio, connected, variant, state, failure, settings, monkeypatch
):
    monkeypatch.setattr("thanksio_connect.refresh.place.Place.second_look_seconds", 0.02)
    fault, error = FAILURES[failure]
    thanksio.next_token(**fault)
    row = connected()
    writes_row = variant not in SNAPSHOTS or state in (locked, updated)
    with transaction.atomic():
        state(row)
        with pytest.raises(error):
            row.get_access_token()
        Group.objects.create(name="after")
        if writes_row:
            assert ThanksIOConnection.objects.filter(pk=row.pk).update(thanksio_user_id="host") == 1
    assert Group.objects.filter(name="after").exists()
    stored = ThanksIOConnection.objects.get(pk=row.pk)
    assert (stored.version, stored.lease_id) == (1, None)
    assert stored.thanksio_user_id == ("host" if writes_row else str(row.user_id))
    thanksio.faults.clear()
    row.refresh(force=True)
    assert_live(thanksio, row)


@every_variant
@pytest.mark.parametrize("state", [locked, updated, has_child], ids=lambda state: state.__name__)
def test_one_warning_names_cause_and_cure_where_the_callers_connection_is_used(thanksio, connected, state, caplog):
    row = connected()
    caplog.set_level(logging.WARNING)
    started = time.monotonic()
    seconds = []
    thanksio.on_token(lambda record: seconds.append(time.monotonic() - started))
    with transaction.atomic():
        state(row)
        row.get_access_token()
    if KIND == "postgres" and state is has_child:  # FOR NO KEY UPDATE lives beside a child's key share lock
        assert caplog.messages == []
    else:
        [message] = caplog.messages
        cause = "one writer" if KIND == "sqlite" else "holds, or has just created"
        assert cause in message
        assert "Call connection.get_access_token() before the transaction begins" in message
    assert seconds[0] < 0.9  # no lock timeout was waited for: they are a second at least


@every_variant
@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_a_living_token_is_used_rather_than_renewed_under_the_callers_locks(thanksio, connected, state, caplog):
    row = connected(expires_in=3600)
    token = row.access_token
    soon, long_ago = timezone.now() + timedelta(seconds=100), timezone.now() - timedelta(hours=1)
    ThanksIOConnection._base_manager.filter(pk=row.pk).update(expires_at=soon, connected_at=long_ago)
    row.refresh_from_db()
    ours = KIND == "sqlite" or state in (locked, updated) or (KIND == "mariadb" and state is has_child)
    with transaction.atomic():
        state(row)
        got = row.get_access_token()
    assert thanksio.is_live(got)
    assert (got == token) is ours
    assert thanksio.count("refresh_token") == (0 if ours else 1)
    assert caplog.messages == []


@every_variant
def test_an_older_instance_in_a_transaction_uses_the_newer_token(thanksio, connected):
    """Also where the caller's snapshot still shows the spent one."""
    row = connected()
    old = ThanksIOConnection.objects.get(pk=row.pk)
    older = ThanksIOConnection.objects.get(pk=row.pk)
    row.refresh()
    with transaction.atomic():
        Group.objects.count()
        assert old.get_access_token() == row.access_token
    assert older.get_access_token() == row.access_token
    assert thanksio.count("refresh_token") == 1
