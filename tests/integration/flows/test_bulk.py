"""The bulk refresh and its command, against a real provider."""

import io
import json
from datetime import timedelta
from itertools import islice

import pytest
from cryptography.fernet import Fernet
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.db import connection

from thanksio_connect.fields import utc_now
from thanksio_connect.flows.bulk import BulkRefresh
from thanksio_connect.flows.selection import Selection
from thanksio_connect.models import ConnectionTokens, ThanksIOConnection
from thanksio_connect.testing import FakeThanksIO

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def thanksio():
    with FakeThanksIO() as server, server.override_settings():
        yield server


@pytest.fixture
def connect(thanksio):
    """Make a connected user; ``due`` moves the row's due time into the past."""

    def make(name, *, due=True, expires_in=3600):
        user = get_user_model().objects.create(username=name)
        connection = ThanksIOConnection.objects.connect(user, thanksio.issue(expires_in=expires_in))
        if due:
            ConnectionTokens.objects.filter(connection=connection).update(next_refresh_at=utc_now() - timedelta(1))
        return connection

    return make


def run(*args, **kwargs):
    """The command's summary and exit status."""
    out = io.StringIO()
    status = 0
    try:
        call_command(
            "refresh_thanksio_tokens", *args, "--json", "--rate", "6000", "--workers", "1", stdout=out, **kwargs
        )
    except CommandError as error:
        status = error.returncode
    return json.loads(out.getvalue()), status


def counts(summary):
    """What is not zero."""
    return {name: value for name, value in summary.items() if value and isinstance(value, int) and value is not True}


def test_renews_what_is_due_and_nothing_else(connect, thanksio):
    due, fresh = connect("due"), connect("fresh", due=False)
    summary, status = run()
    assert 0 < summary.pop("duration_seconds") < 10
    assert (summary, status) == (
        {
            "refreshed": 1,
            "skipped": 0,
            "elsewhere": 0,
            "transient": 0,
            "reconnect_required": 0,
            "undecryptable": 0,
            "remaining": 0,
            "stopped_by": "",
            "not_renewed": [],
            "not_renewed_left_out": 0,
            "reasons": {},
            "dry_run": False,
            "note": "",
        },
        0,
    )
    due.refresh_from_db()
    fresh.refresh_from_db()
    assert (due.tokens.version, fresh.tokens.version) == (2, 1)
    assert thanksio.is_live(due.tokens.access_token)
    assert run()[0]["refreshed"] == 0


def test_dry_run_renews_nothing(connect, thanksio):
    connect("due")
    summary, status = run("--dry-run")
    assert (counts(summary), status) == ({"remaining": 1}, 0)
    assert thanksio.count("refresh_token") == 0


def test_within_takes_what_expires_soon(connect):
    connect("soon", due=False, expires_in=3600)
    connect("later", due=False, expires_in=900_000)
    assert counts(run("--within", "2h")[0]) == {"refreshed": 1}


def test_all_takes_every_working_connection_once(connect):
    for number in range(5):
        connect(f"user{number}", due=False)
    assert counts(run("--all")[0]) == {"refreshed": 5}


def test_user_by_name_or_key(connect):
    first, second = connect("first", due=False), connect("second", due=False)
    connect("third")
    assert counts(run("--user", "first", "--user", str(second.user_id))[0]) == {"refreshed": 2}
    first.refresh_from_db()
    assert first.tokens.version == 2


def test_an_unknown_user_is_an_error_that_names_it(connect):
    connect("first")
    with pytest.raises(CommandError, match="nobody") as caught:
        call_command("refresh_thanksio_tokens", "--user", "nobody")
    assert caught.value.returncode == 2


def test_limit_leaves_the_rest_and_says_so(connect):
    for number in range(3):
        connect(f"user{number}")
    summary, status = run("--limit", "2")
    assert (counts(summary), summary["stopped_by"], status) == ({"refreshed": 2, "remaining": 1}, "limit", 0)


def test_one_failing_row_stops_nobody(connect, thanksio):
    connect("a")
    dead = connect("b")
    connect("c")
    thanksio.revoke(dead)
    summary, status = run()
    assert (counts(summary), status) == ({"refreshed": 2, "reconnect_required": 1}, 1)
    dead.refresh_from_db()
    assert dead.needs_reconnect


def test_wrong_client_secret_stops_at_once_with_2(connect, thanksio, settings):
    for number in range(3):
        connect(f"user{number}")
    settings.THANKSIO_CLIENT_SECRET = "wrong"
    summary, status = run()
    assert (counts(summary), summary["stopped_by"], status) == ({"remaining": 3}, "configuration", 2)
    assert thanksio.count("refresh_token") == 1
    assert set(ConnectionTokens.objects.values_list("failure_count", "status")) == {(0, "connected")}


def test_missing_client_id_is_2(connect, settings):
    connect("a")
    settings.THANKSIO_CLIENT_ID = ""
    assert run()[1] == 2


def test_a_wrong_key_stops_sends_nothing_and_heals(connect, thanksio, settings):
    for number in range(4):
        connect(f"user{number}")
    right = settings.FIELD_ENCRYPTION_KEY
    settings.FIELD_ENCRYPTION_KEY = Fernet.generate_key().decode()
    summary, status = run()
    assert (summary["undecryptable"], status) == (3, 2)
    assert thanksio.count("refresh_token") == 0
    settings.FIELD_ENCRYPTION_KEY = right
    assert counts(run("--all")[0]) == {"refreshed": 4}


def test_tokens_that_thanksio_cannot_read_stop_the_run_if_they_are_all(connect, thanksio):
    for number in range(12):
        connect(f"user{number}")
    fault = thanksio.next_token(refuse="undecryptable", times=None)
    summary, status = run()
    assert (counts(summary), status) == ({"undecryptable": 6, "remaining": 6}, 2)  # three by chance
    assert (summary["stopped_by"], thanksio.count("refresh_token")) == ("configuration", 6)
    assert set(ConnectionTokens.objects.values_list("status", flat=True)) == {"connected"}
    assert fault.used == 6


def test_tokens_that_thanksio_cannot_read_stop_nobody_else(connect, thanksio):
    for number in range(5):
        connect(f"user{number}")
    thanksio.next_token(refuse="undecryptable", times=3)
    summary, status = run()
    assert (counts(summary), status) == ({"refreshed": 2, "undecryptable": 3}, 1)


def test_rows_of_a_lost_key_do_not_starve_the_others(connect, settings):
    right = settings.FIELD_ENCRYPTION_KEY
    settings.FIELD_ENCRYPTION_KEY = Fernet.generate_key().decode()
    for number in range(4):
        connect(f"lost{number}")
    settings.FIELD_ENCRYPTION_KEY = right
    connect("kept")
    summary, status = run()
    assert (counts(summary), status) == ({"refreshed": 1, "undecryptable": 4}, 1)


def test_throttling_pauses_the_run_and_then_goes_on(connect, thanksio):
    connect("a")
    connect("b")
    thanksio.next_token(status=429, headers={"Retry-After": "1"})
    assert counts(run()[0]) == {"refreshed": 1, "transient": 1}


def test_time_budget_zero_starts_nothing(connect, thanksio):
    connect("a")
    summary, status = run("--time-budget", "0s")
    assert (counts(summary), summary["stopped_by"], status) == ({"remaining": 1}, "time_budget", 1)
    assert thanksio.count("refresh_token") == 0


@pytest.mark.parametrize("value", ["nonsense", "-1d", "7 years", "", "99999999w"])
def test_a_nonsensical_duration_is_refused(value):
    with pytest.raises(CommandError, match="within"):
        call_command("refresh_thanksio_tokens", f"--within={value}")


def test_several_pages_are_each_handled_once(connect, thanksio, monkeypatch):
    monkeypatch.setattr("thanksio_connect.flows.selection.PAGE_SIZE", 2)
    for number in range(5):
        connect(f"user{number}")
    assert BulkRefresh(Selection(), rate_per_minute=6000).run().refreshed == 5
    assert thanksio.count("refresh_token") == 5


@pytest.mark.skipif(settings.DATABASE != "sqlite", reason="needs SQLite, which compares times as text")
def test_a_time_written_by_hand_does_not_select_its_row_for_ever(connect):
    connect("due")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE thanksio_connect_connectiontokens SET next_refresh_at = '2020-01-01 00:00:00+00:00'")
    assert len(list(islice(Selection().pages(), 3))) == 1


BY_HAND = {"sqlite": ["''", "1700000000", "0"], "mariadb": ["'0000-00-00 00:00:00'"], "postgres": ["'0001-01-01'"]}


@pytest.mark.parametrize("written", BY_HAND[settings.DATABASE])
@pytest.mark.parametrize("column", ["next_refresh_at", "obtained_at"])
def test_what_is_no_moment_stops_nobody(connect, column, written):
    """Somebody's own SQL, to make a row due: each run ended with a traceback."""
    odd, _ada = connect("odd"), connect("ada")
    with connection.cursor() as cursor:
        if settings.DATABASE == "mariadb":
            cursor.execute("SET SESSION sql_mode = ''")
        table = "thanksio_connect_connectiontokens"
        cursor.execute(f"UPDATE {table} SET {column} = {written} WHERE connection_id = %s", [odd.pk])
        if settings.DATABASE == "mariadb":
            cursor.execute("SET SESSION sql_mode = DEFAULT")
    call_command("thanksio_status", stdout=io.StringIO())
    assert run()[0]["refreshed"] == 2
