"""The statements that touch the token row, and what they do to a schema that is not theirs.

Broken on purpose, these fail: a claim that is not repeatable, a store by the lease, a verdict that changes the version.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, connection, transaction
from django.test.utils import CaptureQueriesContext

from tests.integration.browsing import Browser
from tests.integration.refresh.databases import KIND, TOKEN_TABLE
from tests.integration.refresh.pairs import access, assert_live, fresh, row, update
from tests.integration.refresh.states import servers_only
from thanksio_connect.client.tokens import TokenSet
from thanksio_connect.models import ConnectionTokens, ThanksIOConnection
from thanksio_connect.refresh import statements
from thanksio_connect.refresh.token_row import Failure, Key, new_id, renewed_values

MINE, THEIRS = new_id(), new_id()


@pytest.fixture
def held(connected):
    return connected()


def key_of(held, version=1):
    return Key(ConnectionTokens, held.tokens.pk, held.pk, version)


def claim(held, lease, *, version=1, seconds=60.0, outcome_is_unknown=False):
    asked = statements.Lease(lease, seconds, 1.0, outcome_is_unknown)
    return in_a_transaction(statements.claim, key_of(held, version), asked)


def in_a_transaction(step, *arguments, **options):
    with transaction.atomic():
        return step("default", *arguments, **options)


def test_a_claim_is_exclusive_and_repeatable_and_reads_the_row(held):
    first, again, other = claim(held, MINE), claim(held, MINE), claim(held, THEIRS)
    assert (first.taken, again.taken, other.taken) == (True, True, False)
    assert [each.row.values["lease_id"] for each in (first, again, other)] == [MINE, MINE, MINE]
    assert other.row.lease_lives
    assert not first.row.values["outcome_unknown"]
    assert first.row.refresh_token == held.tokens.refresh_token


def test_a_claim_of_another_version_or_of_no_row_takes_nothing(held):
    assert (claim(held, MINE, version=7).taken, row(held)["lease"]) == (False, False)
    ThanksIOConnection.objects.all().delete()
    assert claim(held, MINE).row is None


def test_a_claim_over_a_dead_holders_lease_says_that_its_request_may_have_been_processed(held):
    claim(held, THEIRS, seconds=-1)
    taken = claim(held, MINE)
    assert (taken.taken, taken.row.values["outcome_unknown"]) == (True, True)
    assert row(held)["outcome_unknown"]


def test_a_claim_before_the_second_sending_remembers_the_first(held):
    claim(held, MINE)
    again = claim(held, MINE, outcome_is_unknown=True)
    assert (again.taken, again.row.values["outcome_unknown"]) == (True, True)


@pytest.mark.parametrize("lease", [None, MINE, THEIRS], ids=["no lease", "mine", "theirs"])
def test_a_store_goes_by_row_and_version_alone_and_heals_a_verdict(held, lease):
    update(held, status="reconnect_required", last_error_code="invalid_grant", lease_id=lease)
    values = renewed_values(1, TokenSet("access-2", "refresh-2", expires_in=3600))
    for _again in range(2):  # its reply was lost
        assert in_a_transaction(statements.store, key_of(held), values).stands
    assert row(held) == {
        "access_token": "access-2",
        "refresh_token": "refresh-2",
        "status": "connected",
        "version": 2,
        "last_error_code": "",
        "failure_count": 0,
        "outcome_unknown": False,
        "lease": False,
    }


@pytest.mark.parametrize(("stored", "since", "stands"), [(3, None, False), (1, 1, True), (2, 1, True), (4, 1, False)])
def test_a_store_over_another_version_stands_if_that_was_spent(held, stored, since, stands):
    update(held, version=stored)
    values = renewed_values(2, TokenSet("access-3", "refresh-3", expires_in=3600))
    assert in_a_transaction(statements.store, key_of(held, 2), values, since=since).stands is stands
    assert (row(held)["access_token"] == "access-3") is stands


def test_after_a_reconnect_nothing_finds_the_row(held, thanksio):
    old = key_of(held)
    thanksio.connect(held.user)
    now = row(held)
    values = renewed_values(1, TokenSet("access-2", "refresh-2", expires_in=3600))
    assert in_a_transaction(statements.store, old, values).row is None
    assert not in_a_transaction(statements.conclude, old, "invalid_grant", access_token_dead=True)
    in_a_transaction(statements.release, old, MINE)
    assert in_a_transaction(statements.load, old) is None
    assert row(held) == now


def test_a_failure_is_recorded_under_the_own_lease_alone(held):
    """Whoever took the lease over has noted that the outcome is unknown."""
    mine = claim(held, MINE).row
    in_a_transaction(statements.fail, key_of(held), MINE, mine, Failure("server_error", outcome_unknown=True))
    assert (row(held)["last_error_code"], row(held)["failure_count"], row(held)["lease"]) == ("server_error", 1, False)
    update(held, outcome_unknown=False, last_error_code="", failure_count=0, lease_id=THEIRS)
    before = row(held)
    in_a_transaction(statements.fail, key_of(held), MINE, mine, Failure("server_error", outcome_unknown=True))
    assert row(held) == before


def test_a_verdict_is_written_once_and_keeps_the_version(held):
    claim(held, MINE)
    conclude = partial(in_a_transaction, statements.conclude, key_of(held), "invalid_grant", access_token_dead=False)
    assert (conclude(), conclude()) == (True, False)
    stored = row(held)
    assert (stored["status"], stored["version"], stored["lease"]) == ("reconnect_required", 1, False)


def test_a_lease_is_given_back_by_its_holder_alone(held):
    claim(held, MINE)
    in_a_transaction(statements.release, key_of(held), THEIRS)
    assert row(held)["lease"]
    in_a_transaction(statements.release, key_of(held), MINE)
    assert not row(held)["lease"]


def test_a_renewal_in_autocommit_takes_few_statements(thanksio, held):
    with CaptureQueriesContext(connection) as queries:
        held.get_access_token()
    sent = [query["sql"] for query in queries.captured_queries]
    own = [sql for sql in sent if not sql.startswith(("BEGIN", "COMMIT", "PRAGMA"))]
    assert len(own) == (3 if KIND == "mariadb" else 2), own


# A schema from before, or of another version


def change(*statements_):
    with connection.cursor() as cursor:
        for statement in statements_:
            cursor.execute(statement)


@pytest.fixture
def own_schema(database, connected, request):
    """The token table as it was is put back afterwards."""
    backup = f"{TOKEN_TABLE}_backup"
    if KIND == "sqlite":  # each test has a file of its own
        yield
        change("PRAGMA foreign_keys = OFF", f"DROP TABLE IF EXISTS {TOKEN_TABLE}", f"CREATE TABLE {TOKEN_TABLE} (id)")
        return
    change(f"ALTER TABLE {TOKEN_TABLE} RENAME TO {backup}")
    like = f"(LIKE {backup} INCLUDING ALL)" if KIND == "postgres" else f"LIKE {backup}"
    change(f"CREATE TABLE {TOKEN_TABLE} {like}")
    yield
    change(f"DROP TABLE IF EXISTS {TOKEN_TABLE}", f"ALTER TABLE {backup} RENAME TO {TOKEN_TABLE}")


def shorten(column, length):
    if KIND == "postgres":
        return f"ALTER TABLE {TOKEN_TABLE} ALTER COLUMN {column} TYPE varchar({length})"
    return f"ALTER TABLE {TOKEN_TABLE} MODIFY {column} varchar({length}) NULL"


@pytest.fixture
def browser(thanksio):
    client = Browser()
    client.force_login(User.objects.create(username="ada"))
    return client


def critical(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.CRITICAL]


@pytest.mark.parametrize("how", ["a column is missing", "the table is missing"])
def test_a_callback_finds_out_before_the_code_is_spent(thanksio, browser, own_schema, how):
    callback = browser.allow(thanksio)
    column, table = f"ALTER TABLE {TOKEN_TABLE} DROP COLUMN scope", f"DROP TABLE {TOKEN_TABLE}"
    change(column if how == "a column is missing" else table)
    answer = browser.get(callback)
    assert answer.status_code == 500
    assert thanksio.count("authorization_code") == 0


@servers_only
@pytest.mark.parametrize("how", ["too short", "one more"])
def test_what_a_callback_has_got_is_not_lost_without_a_line_that_names_the_cure(
    thanksio, browser, own_schema, how, caplog
):
    callback = browser.allow(thanksio)
    change(
        shorten("access_token", 40)
        if how == "too short"
        else f"ALTER TABLE {TOKEN_TABLE} ADD COLUMN of_a_later_version integer NOT NULL CHECK (of_a_later_version > 0)"
    )
    answer = browser.get(callback)
    assert answer.status_code == 500
    assert thanksio.count("authorization_code") == 1
    [message] = critical(caplog)
    assert "manage.py migrate" in message
    assert not ConnectionTokens.objects.exists()


@servers_only
def test_a_lease_that_is_too_long_for_its_column_sends_nothing_and_takes_no_living_token(
    thanksio, connected, own_schema
):
    """MariaDB before 10.7 had a char(32) for what is an UUID of 36 characters since."""
    change(shorten("lease_id", 8))
    held = connected()
    with pytest.raises(DatabaseError):
        held.get_access_token()
    assert thanksio.count("refresh_token") == 0
    soon = datetime.now(UTC) + timedelta(seconds=100)
    update(held, expires_at=soon, obtained_at=soon - timedelta(hours=1))
    assert fresh(held).get_access_token() == access(held)


@servers_only
def test_a_pair_that_is_too_long_for_its_column_is_a_critical_line(thanksio, connected, own_schema, caplog):
    held = connected()
    assert held.get_access_token() == assert_live(thanksio, held)
    change(shorten("access_token", 3000))
    thanksio.next_token(token_length=4000)
    with pytest.raises(DatabaseError):
        held.refresh(force=True)
    [message] = critical(caplog)
    assert f"thanks.io connection {held.pk}" in message
    assert "manage.py migrate" in message
