"""The command as a process: bad input, and surroundings that fail. A sentence, an exit status, no traceback."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection

from tests.integration.refresh.databases import KIND
from tests.integration.refresh.processes import ROOT, SHARED_SETTINGS
from thanksio_connect.flows.sweep import SweepLease
from thanksio_connect.models import Sweep


class Command:
    """Starts ``refresh_thanksio_tokens`` on the test's database."""

    def __init__(self, database: dict[str, Any]) -> None:
        shared = {name: getattr(settings, name) for name in SHARED_SETTINGS if hasattr(settings, name)}
        self.values: dict[str, Any] = {**shared, "DATABASES": {"default": database}}
        self.environment: dict[str, str] = {}

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        environment = {
            **{name: value for name, value in os.environ.items() if name != "COLUMNS"},  # xdist sets it
            "PYTHONPATH": str(ROOT),
            "DJANGO_SETTINGS_MODULE": "tests.celery_project.settings",
            "CELERY_PROJECT_SETTINGS": json.dumps(self.values),
            **self.environment,
        }
        return subprocess.Popen(
            [sys.executable, "-m", "django", "refresh_thanksio_tokens", *arguments],
            env=environment,
            text=True,
            **({"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options),
        )

    def run(self, *arguments: str, **options: Any) -> tuple[int, str, str]:
        process = self.start(*arguments, **options)
        out, errors = process.communicate(timeout=120)
        assert "Traceback" not in errors, errors
        return process.returncode, out or "", errors


@pytest.fixture
def command(database, thanksio) -> Command:
    return Command(database)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--workers", "0"], "no whole number above 0"),
        (["--workers", "100000"], "more than 64"),
        (["--rate", "0"], "no number from 1 on"),
        (["--rate", "0.000001"], "no number from 1 on"),  # the next turn would have been two years later, for all
        (["--time-budget", "banana"], "write 90s, 30m, 12h"),
        (["--within", "-1d"], "--within"),
        (["--within=-1d"], "write 90s, 30m, 12h"),
        (["--limit", "0"], "no whole number above 0"),
        (["--user", "nobody"], "No user has the username or primary key 'nobody'"),
        (["--user", "9" * 40], "No user has the username"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_arguments_are_a_sentence_and_2(command, arguments, words):
    status, _out, errors = command.run(*arguments)
    assert (status, words in errors) == (2, True), errors


def test_a_user_without_connection_is_2(command):
    User.objects.create(username="ada")
    status, out, errors = command.run("--user", "ada", "--json")
    assert (status, json.loads(out)["stopped_by"]) == (2, "nobody")
    assert "None of these users is connected" in errors


def test_tables_that_are_missing_are_a_sentence_and_2(command):
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE thanksio_connect_sweep RENAME TO hidden_sweep")
    try:
        status, _out, errors = command.run()
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE hidden_sweep RENAME TO thanksio_connect_sweep")
    assert (status, "manage.py migrate" in errors) == (2, True), errors


def test_a_database_that_is_down_at_the_start_is_a_sentence_and_2(command, tmp_path):
    down = {"NAME": str(tmp_path / "no" / "such.sqlite3")} if KIND == "sqlite" else {"PORT": "1", "HOST": "127.0.0.1"}
    command.values["DATABASES"]["default"] = {**command.values["DATABASES"]["default"], **down}
    status, out, errors = command.run("--json")
    assert (status, json.loads(out)["stopped_by"]) == (2, "database")
    assert "The database can't be used" in errors


@pytest.mark.parametrize("closed", ["closed", "full", "broken"])
def test_a_stdout_that_takes_nothing_costs_nothing(command, fleet, closed):
    some = fleet(5)
    options: dict[str, Any] = {}
    if closed == "full":
        options["stdout"] = os.open("/dev/full", os.O_WRONLY)
    elif closed == "broken":
        reader, writer = os.pipe()
        os.close(reader)
        options["stdout"] = writer
    else:
        options["preexec_fn"] = lambda: os.close(1)
    status, _out, errors = command.run("--rate", "6000", **options)
    if "stdout" in options:
        os.close(options["stdout"])
    assert (status, some.renewed(), errors) == (0, 5, "")


def test_ctrl_c_lets_what_is_in_flight_be_saved(command, fleet, thanksio):
    some = fleet(10)
    fault = thanksio.next_token(hold="after")
    process = command.start("--rate", "60", "--json")
    fault.wait_reached(60)
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    fault.release()
    out, errors = process.communicate(timeout=60)
    summary = json.loads(out)
    assert (process.returncode, summary["stopped_by"], "Traceback" in errors) == (1, "interrupted", False)
    assert summary["refreshed"] == some.renewed() == some.posts()


def test_a_second_run_says_who_is_at_it(command, fleet):
    some = fleet(3)
    lease = SweepLease.take()
    assert isinstance(lease, SweepLease)
    status, out, _errors = command.run()
    assert (status, str(os.getpid()) in out, some.posts()) == (0, True, 0)
    assert command.run("--user", "healthy-0", "--rate", "6000")[0] == 0
    assert some.renewed() == 1


def test_verbosity_0_says_nothing_of_a_second_run(command, fleet):
    """cron mails what is printed."""
    fleet(1)
    assert isinstance(SweepLease.take(), SweepLease)
    assert command.run("-v", "0") == (0, "", "")


def test_a_run_that_was_killed_is_replaced_within_a_minute(command, fleet, thanksio):
    fleet(3)
    fault = thanksio.next_token(hold="before")
    process = command.start()
    fault.wait_reached(60)
    process.kill()
    process.communicate()
    fault.release()
    row, began = Sweep.objects.get(), time.time()
    assert row.lease_id
    assert row.lease_expires_at.timestamp() - began <= 60
    Sweep.objects.update(lease_expires_at=row.started_at)  # the minute is over
    status, out, _errors = command.run("--rate", "6000", "--json")
    assert (status, json.loads(out)["refreshed"]) == (0, 2)  # the third has a dead holder's lease


@pytest.mark.skipif(KIND != "sqlite" or os.geteuid() != 0, reason="needs SQLite, and root to mount a small disk")
def test_a_full_disk_is_a_sentence_and_loses_nothing(command, fleet, tmp_path):
    some = fleet(6)
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(disk)], capture_output=True).returncode:
        pytest.skip("may not mount")
    try:
        place = disk / "db.sqlite3"
        shutil.copy(connection.settings_dict["NAME"], place)
        with contextlib.suppress(OSError), open(disk / "filler", "wb", buffering=0) as filler:
            while True:
                filler.write(b"x" * 512)
        command.values["DATABASES"]["default"] = {**command.values["DATABASES"]["default"], "NAME": str(place)}
        status, out, errors = command.run("--json")
    finally:
        subprocess.run(["umount", str(disk)], check=False)
    assert (status, json.loads(out)["stopped_by"], some.posts()) == (2, "database", 0)
    assert "The database can't be used" in errors
