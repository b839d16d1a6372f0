"""No row stops or starves another, whatever is wrong with it; and no failure looks like success."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from datetime import timedelta

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from tests.integration.flows.fleet import KINDS, SIZE, SLOW_SECONDS, counts, run
from thanksio_connect.models import ConnectionTokens, Sweep

FAST = ("--rate", "6000")
FEW = {"slow": 1, "revoked": 2}  # thanks.io, or the second look at a verdict, takes seconds for each


@pytest.fixture(autouse=True)
def impatient(settings, thanksio):
    """A provider that is slow for longer than anybody waits."""
    settings.THANKSIO_READ_TIMEOUT_SECONDS = SLOW_SECONDS / 2


@pytest.mark.parametrize("workers", [(), ("--workers", "1")], ids=["default", "one"])
@pytest.mark.parametrize("kind", KINDS)
def test_one_run_renews_all_that_can_be_renewed(fleet, kind, workers):
    some = fleet(12, **{kind: FEW.get(kind, 5)})
    summary, status = run(*FAST, *workers)
    assert some.renewed() == 12
    assert status == (0 if kind in ("locked", "no_refresh_token", "throttled", "slow", "scope") else 1)
    assert summary["remaining"] == 0


@pytest.mark.parametrize("kind", KINDS)
def test_with_a_limit_the_poisoned_rows_are_passed_after_some_runs(fleet, kind):
    some = fleet(8, **{kind: FEW.get(kind, 12)})
    for _run in range(5):
        run(*FAST, "--limit", "6")
    assert some.renewed() == 8


@pytest.mark.parametrize("kind", ["lost_key", "no_refresh_token", "locked"])
def test_rows_for_which_nothing_is_sent_cost_no_time_and_no_place(fleet, kind):
    """150 rows of a lost key, a limit and a budget: four runs renewed none of the others."""
    some = fleet(10, **{kind: 40})
    run("--rate", "600", "--limit", "10", "--time-budget", "9s")  # 50 turns would take 5 seconds
    assert (some.renewed(), some.posts()) == (10, 10)


def refuse_writes(condition):
    """A rule of the project's own on our table: a trigger that raises."""
    table = ConnectionTokens._meta.db_table
    sql = {
        "sqlite": [
            f"CREATE TRIGGER host_rule BEFORE UPDATE ON {table} WHEN {condition} BEGIN SELECT RAISE(ABORT, 'no'); END"
        ],
        "mysql": [
            f"CREATE TRIGGER host_rule BEFORE UPDATE ON {table} FOR EACH ROW "
            f"IF {condition} THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no'; END IF"
        ],
        "postgresql": [
            "CREATE OR REPLACE FUNCTION host_rule() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'no'; END $$",
            f"CREATE TRIGGER host_rule BEFORE UPDATE ON {table} FOR EACH ROW WHEN ({condition}) "
            "EXECUTE FUNCTION host_rule()",
        ],
    }
    with connection.cursor() as cursor:
        for each in sql[connection.vendor]:
            cursor.execute(each)


@pytest.fixture
def host_rule(fleet):
    yield refuse_writes
    with connection.cursor() as cursor:
        on_table = f" ON {ConnectionTokens._meta.db_table}" if connection.vendor == "postgresql" else ""
        cursor.execute(f"DROP TRIGGER host_rule{on_table}")


@pytest.mark.parametrize("workers", ["1", "4"])
def test_rows_that_the_database_refuses_to_write_stop_nobody(fleet, host_rule, workers):
    """Three of them, and every run ended there: as if the database were down, or on PostgreSQL as if they were gone."""
    some = fleet(12, scope=5)
    host_rule(" OR ".join(f"OLD.id = '{key}'" for key in some.poison["scope"]))
    summary, status = run(*FAST, "--workers", workers)
    assert (some.renewed(), summary["transient"], status) == (12, 5, 1)
    assert {row["outcome"] for row in summary["not_renewed"]} == {"database"}


def test_a_database_that_writes_no_row_at_all_is_2(fleet, host_rule):
    some = fleet(12)
    host_rule("OLD.version = 1")
    summary, status = run(*FAST, "--workers", "1")
    assert (summary["stopped_by"], status, some.posts()) == ("database", 2, 0)
    assert summary["transient"] < 12


def no_tenant(connection):
    raise LookupError("no tenant")


@pytest.mark.parametrize("size", [1, 30])
def test_sessions_that_can_not_be_prepared_are_2(fleet, settings, size):
    """The threads of the last rows failed when nobody looked any more: exit status 0, and nothing was renewed."""
    fleet(size)
    settings.THANKSIO_PREPARE_SESSION = f"{__name__}.no_tenant"
    summary, status = run(*FAST, "--workers", "4")
    assert (summary["stopped_by"], summary["refreshed"], status) == ("database", 0, 2)


def test_what_nobody_foresaw_comes_out_of_the_last_row_too(fleet, monkeypatch):
    fleet(1)

    def renew_row(tokens, *, force):
        raise ZeroDivisionError

    monkeypatch.setattr("thanksio_connect.flows.bulk.renew_row", renew_row)
    with pytest.raises(ZeroDivisionError):
        run(*FAST, "--workers", "4")


def test_a_limit_is_kept_by_any_number_of_workers(fleet):
    some = fleet(40)
    expected = {**run("--dry-run")[0], **EXACT, "remaining": 33}
    summary, status = run(*FAST, "--limit", "7", "--workers", "16")
    assert (summary | {"duration_seconds": 0}, status) == (expected | {"duration_seconds": 0}, 0)
    assert some.posts() == 7


EXACT = {"refreshed": 7, "dry_run": False, "stopped_by": "limit"}


@pytest.mark.parametrize("option", [("--all",), ("--within", "2h")], ids=["all", "within"])
def test_what_is_not_due_is_renewed_in_turns(fleet, option):
    some = fleet(6)
    later = timezone.now() + timedelta(minutes=20)
    ConnectionTokens.objects.update(next_refresh_at=later)
    for expected in (2, 4, 6, 6):
        run(*FAST, *option, "--limit", "2")
        assert some.renewed() == expected
    assert some.posts() == 8


@pytest.mark.parametrize("workers", ["1", "4"])
def test_a_time_budget_that_is_used_up_is_no_interruption(fleet, workers):
    """cron's line with --time-budget ended with 1 and "The run was interrupted" whenever there was more to do."""
    some = fleet(12)
    summary, status = run("--rate", "120", "--time-budget", "2s", "--workers", workers)
    assert (summary["stopped_by"], summary["note"], status) == ("time_budget", "", 0)
    assert 0 < some.renewed() < 12
    Sweep.objects.update(requests_until=timezone.now() + timedelta(minutes=10))  # others have taken all turns
    summary, status = run("--time-budget", "2s", "--workers", workers)
    assert (summary["stopped_by"], status) == ("time_budget", 1)
    assert summary["note"] == "Nothing of what is due was renewed. The next run goes on with the rest."


def test_all_begins_with_what_is_due(fleet):
    some = fleet(6)
    ConnectionTokens.objects.exclude(pk=some.healthy[3]).update(next_refresh_at=timezone.now() + timedelta(hours=1))
    run(*FAST, "--all", "--limit", "1")
    assert ConnectionTokens.objects.get(pk=some.healthy[3]).version == 2


def test_all_renews_each_once(fleet):
    some = fleet(12, locked=2)
    ConnectionTokens.objects.filter(pk__in=some.healthy[:8]).update(next_refresh_at=timezone.now() + timedelta(hours=1))
    assert counts(run(*FAST, "--all")[0]) == {"refreshed": 12, "skipped": 2}
    assert some.posts() == 12


@pytest.mark.parametrize("budget", [(), ("--time-budget", "3s")], ids=["no budget", "budget"])
@pytest.mark.parametrize("headers", [{}, {"Retry-After": "1"}], ids=["no Retry-After", "Retry-After"])
def test_a_thanksio_that_throttles_all_is_no_success_and_is_left_alone(fleet, thanksio, headers, budget):
    some = fleet(20)
    thanksio.next_token(status=429, headers=headers, times=None)
    summary, status = run(*FAST, "--workers", "1", *budget)
    assert status == 1
    assert summary["stopped_by"] in ("throttled", "time_budget")
    assert some.posts() <= 6
    assert "Nothing of what is due was renewed." in summary["note"]


def test_a_thanksio_that_is_down_is_asked_a_few_times(fleet, thanksio):
    some = fleet(20)
    thanksio.next_token(status=500, times=None)
    summary, status = run(*FAST, "--workers", "1")
    assert (status, summary["stopped_by"], some.posts()) == (1, "unavailable", 6)
    thanksio.faults.clear()
    assert counts(run(*FAST)[0])["refreshed"] == 14  # the others wait a minute


def test_refusals_for_all_stop_before_everybody_is_condemned(fleet, thanksio):
    """As with the address of another system: each grant is unknown there."""
    fleet(12)
    thanksio.next_token(refuse="invalid_grant", times=None)
    summary, status = run(*FAST, "--workers", "1")
    assert (status, summary["stopped_by"], summary["reconnect_required"]) == (2, "configuration", 6)
    assert ConnectionTokens.objects.filter(status="connected").count() == 6


def test_another_client_for_all_stops_the_run_and_says_so(fleet, thanksio):
    fleet(30)
    thanksio.next_token(refuse="client_mismatch", times=None)
    summary, status = run(*FAST, "--workers", "1")
    assert (status, summary["stopped_by"]) == (2, "configuration")
    assert "THANKSIO_CLIENT_ID" in summary["note"]
    assert ConnectionTokens.objects.filter(status="connected").count() == 30


def test_what_another_process_renews_meanwhile_is_no_failure(fleet):
    """The page was read before: nothing is due any more, and nobody needs to look."""
    some = fleet(1)
    tokens = ConnectionTokens.objects.get()
    from thanksio_connect.flows.renew_row import renew_row
    from thanksio_connect.refresh import doors

    doors.renew(ConnectionTokens.objects.get())
    assert renew_row(tokens).outcome == "elsewhere"
    assert some.posts() == 1


def test_an_outage_and_page_reloads_do_not_keep_the_command_away(fleet, thanksio):
    """Ten reloads within a backoff made it 5.3 hours."""
    some = fleet(1)
    ConnectionTokens.objects.update(expires_at=timezone.now() - timedelta(minutes=1))
    thanksio.next_token(status=502, times=None)
    for _reload in range(10):
        with pytest.raises(Exception, match=r"thanks\.io"):
            ConnectionTokens.objects.get().connection.get_access_token()
    row = ConnectionTokens.objects.get()
    assert row.next_refresh_at <= timezone.now() + timedelta(seconds=61)
    assert some.posts() <= 2


def test_a_fleet_with_poison_of_every_kind_needs_little_more_than_the_healthy_alone(fleet):
    share = max(1, SIZE * 5 // 100 // len(KINDS))
    poison = dict.fromkeys(KINDS, share)
    healthy = SIZE - sum(poison.values())
    some = fleet(healthy, **poison)
    some.let_wait_for(seconds=1)
    budget = math.ceil(1.2 * healthy / 10)  # 600 a minute
    summary, status = run("--rate", "600", "--time-budget", f"{budget}s")
    assert (some.renewed(), status) == (healthy, 1)
    assert summary["remaining"] == 0


def test_the_rate_is_kept_all_the_time(fleet, thanksio):
    """``--rate 600``: with ``THANKSIO_TEST_FLEET=1000`` over a whole minute."""
    count = SIZE * 6 // 10
    some = fleet(count)
    times: list[float] = []
    thanksio.on_token(lambda record: times.append(time.monotonic()))
    assert run("--rate", "600")[1] == 0
    assert some.renewed() == len(times) == count
    assert max(sum(start <= each < start + 1 for each in times) for start in times) <= 15
    assert 11.5 / 119 <= (times[-1] - times[0]) / (count - 1) <= 0.1 * 600 / 570


class TestADroppedSession:
    """The server ends sessions: a restart, a time limit on idle ones, an administrator."""

    pytestmark = pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has no sessions that end")

    def kill(self) -> None:
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                cursor.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            else:
                cursor.execute(
                    "SELECT id FROM information_schema.processlist WHERE db = database() AND id <> connection_id()"
                )
                for (number,) in cursor.fetchall():
                    with contextlib.suppress(OperationalError):  # it may have ended by itself
                        cursor.execute(f"KILL {number}")

    @pytest.mark.parametrize("workers", ["1", "4"])
    def test_costs_nothing(self, fleet, workers, monkeypatch):
        monkeypatch.setattr("thanksio_connect.flows.selection.PAGE_SIZE", 10)
        some = fleet(60)
        done = threading.Event()

        def killer() -> None:
            try:
                while not done.wait(0.3):
                    self.kill()
            finally:
                connection.close()

        thread = threading.Thread(target=killer)
        thread.start()
        try:
            summary, status = run("--rate", "1800", "--workers", workers)
        finally:
            done.set()
            thread.join()
            connection.close()  # perhaps it was ended last
        assert (counts(summary), status) == ({"refreshed": 60}, 0)
        assert some.posts() == 60
