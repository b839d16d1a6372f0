"""The Celery tasks: a real worker process, and a broker that is a folder, so that no service has to run."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User

from tests.integration.brokers import Broker
from tests.integration.flows.fleet import KINDS, SIZE, SLOW_SECONDS, Fleet
from tests.integration.refresh import databases
from tests.integration.refresh.processes import ROOT, SHARED_SETTINGS
from thanksio_connect.fields import utc_now
from thanksio_connect.models import ConnectionTokens, ThanksIOConnection
from thanksio_connect.testing import FakeThanksIO

Celery = pytest.importorskip("celery", reason="needs Celery: it comes with the extra [test]").Celery
pytest.importorskip("kombu.transport").TRANSPORT_ALIASES["folder"] = "tests.celery_folder:Transport"

START_SECONDS, WORK_SECONDS, STOP_SECONDS = 150, 60, 30
BROKERS = ["folder", "redis", "amqp"]
CHUNK_DONE = r"refresh_chunk\[[^]]+\] succeeded"


class Project:
    """A project with Celery on the test's database. Starts workers, and sends them tasks, as processes."""

    def __init__(self, folder: Path, database: dict[str, Any], thanksio: FakeThanksIO, broker: Broker) -> None:
        self.folder = folder
        self.broker = broker
        values = {
            "DATABASES": {"default": database},
            "CELERY_BEAT_SCHEDULE_FILENAME": str(folder / "beat"),
            "THANKSIO_RATE_LIMIT_PER_MINUTE": 6000,
            **broker.settings,
        }
        shared = {name: getattr(settings, name) for name in SHARED_SETTINGS if hasattr(settings, name)}
        self.settings = shared | values | thanksio.settings()

    def celery(self, *arguments: str, **overrides: Any) -> subprocess.Popen[str]:
        """Run ``celery`` with these further settings; its output goes to :meth:`log`."""
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "DJANGO_SETTINGS_MODULE": "tests.celery_project.settings",
            "CELERY_PROJECT_SETTINGS": json.dumps(self.settings | overrides),
        }
        with (self.folder / "log").open("a") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "celery", "-A", "tests.celery_project", *arguments],
                cwd=self.folder,
                env=environment,
                stdout=log,
                stderr=log,
                text=True,
                start_new_session=True,
            )

    def send(self, task: str, *arguments: object) -> None:
        """Queue a task from this process."""
        app = Celery("sender", set_as_current=False)
        app.conf.update({name.removeprefix("CELERY_").lower(): value for name, value in self.broker.settings.items()})
        with app.connection_for_write() as connection:
            app.send_task(task, arguments, connection=connection)
        app.close()

    @contextlib.contextmanager
    def worker(self, *arguments: str, is_killed: bool = False, **overrides: Any) -> Iterator[subprocess.Popen[str]]:
        """A worker with two processes, ready; it is asked to stop at the end, and must do so by itself."""
        command = ("worker", "--loglevel", "INFO", "--concurrency", "2", "--without-gossip", "--without-mingle")
        ready = len(re.findall(r"ready\.", self.log())) if (self.folder / "log").exists() else 0
        process = self.celery(*command, *arguments, **overrides)
        try:
            self.wait_for_log(r"ready\.", ready + 1, START_SECONDS)
            yield process
            if not is_killed:
                process.terminate()
                assert process.wait(STOP_SECONDS) == 0, self.log()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def wait_for_log(self, pattern: str, times: int, seconds: float = WORK_SECONDS) -> None:
        deadline = time.monotonic() + seconds
        while len(re.findall(pattern, self.log())) < times:
            assert time.monotonic() < deadline, f"{pattern} is not {times} times in the log:\n{self.log()}"
            time.sleep(0.05)

    def chunks(self) -> int:
        """How many chunks were received."""
        return len(re.findall(r"refresh_chunk\[[^]]+\] received", self.log()))

    def log(self) -> str:
        return (self.folder / "log").read_text()


@pytest.fixture
def database(tmp_path: Path, django_db_blocker: Any) -> Iterator[dict[str, Any]]:
    """A database that processes can share, for this test alone."""
    made = databases.Database(tmp_path, f"test_thanksio_tasks_{os.getpid()}")
    with django_db_blocker.unblock():
        made.create()
        values = made.copy(databases.VARIANTS[0])
        with databases.using(values):
            yield values
        made.destroy()


@pytest.fixture
def thanksio(database: dict[str, Any]) -> Iterator[FakeThanksIO]:
    with FakeThanksIO() as fake, fake.override_settings():
        yield fake


@pytest.fixture
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broker]:
    made = Broker(getattr(request, "param", "folder"), tmp_path)
    yield made
    if made.door is not None:
        made.door.close()


@pytest.fixture
def project(tmp_path: Path, database: dict[str, Any], thanksio: FakeThanksIO, broker: Broker) -> Project:
    return Project(tmp_path, database, thanksio, broker)


@pytest.fixture
def connect(thanksio: FakeThanksIO) -> Callable[..., ThanksIOConnection]:
    def make(name: str, *, is_due: bool = True) -> ThanksIOConnection:
        connection = thanksio.connect(User.objects.create(username=name), expires_in=3600)
        if is_due:
            rows = ConnectionTokens.objects.filter(connection=connection)
            rows.update(next_refresh_at=utc_now() - timedelta(minutes=1))
        return connection

    return make


def versions() -> dict[str, int]:
    return dict(ConnectionTokens.objects.values_list("connection__user__username", "version"))


def wait_until(is_so: Callable[[], object], seconds: float = WORK_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("pool", ["prefork", "threads"])
@pytest.mark.parametrize("broker", BROKERS, indirect=True)
def test_what_is_due_is_renewed_once_however_often_it_was_queued(project, connect, thanksio, pool):
    """Beat asks every few minutes, and chunks that are not done are not dealt out again."""
    connect("ada"), connect("ben"), connect("fresh", is_due=False)
    for _time in range(2):
        project.send("thanksio_connect.refresh_due")
    with project.worker("--pool", pool):
        project.wait_for_log(CHUNK_DONE, 1)
        project.wait_for_log(r"refresh_due\[[^]]+\] succeeded", 2)
    assert versions() == {"ada": 2, "ben": 2, "fresh": 1}
    assert thanksio.count(grant_type="refresh_token") == 2
    for tokens in ConnectionTokens.objects.all():
        assert thanksio.is_live(tokens.access_token.reveal())
        assert tokens.access_token.reveal() not in project.log()
        assert tokens.refresh_token.reveal() not in project.log()


@pytest.mark.parametrize("broker", ["redis", "amqp"], indirect=True)
def test_a_worker_that_is_killed_in_mid_chunk_costs_one_row_a_while(project, connect, thanksio):
    for number in range(8):
        connect(f"user{number}")
    fault = thanksio.next_token(hold="before")
    project.send("thanksio_connect.refresh_due")
    with project.worker(is_killed=True, THANKSIO_RATE_LIMIT_PER_MINUTE=60) as process:
        fault.wait_reached(WORK_SECONDS)
        os.killpg(process.pid, signal.SIGKILL)
    fault.release()
    with project.worker():
        wait_until(lambda: sum(version > 1 for version in versions().values()) >= 7)
    assert set(ConnectionTokens.objects.values_list("status", flat=True)) == {"connected"}


@pytest.mark.parametrize("broker", ["redis", "amqp"], indirect=True)
def test_a_broker_whose_connections_drop_costs_nothing(project, connect, thanksio, broker):
    for number in range(20):
        connect(f"user{number}")
    project.send("thanksio_connect.refresh_due")
    with project.worker(THANKSIO_RATE_LIMIT_PER_MINUTE=300):
        wait_until(lambda: thanksio.count("refresh_token") >= 5)
        broker.door.cut()
        wait_until(lambda: set(versions().values()) == {2})
        connect("later")
        wait_until(lambda: ConnectionTokens.objects.filter(next_refresh_at__lt=utc_now()).count() == 1)
        project.send("thanksio_connect.refresh_due")
        wait_until(lambda: versions()["later"] == 2 or project.send("thanksio_connect.refresh_due"))
    assert thanksio.count("refresh_token") == 21


def test_beat_starts_it_by_the_name_in_the_documentation_and_piles_up_nothing(project, connect, thanksio):
    for number in range(20):
        connect(f"user{number}")
    schedule = {"thanksio": {"task": "thanksio_connect.refresh_due", "schedule": 0.5}}
    with project.worker("--beat", CELERY_BEAT_SCHEDULE=schedule, THANKSIO_RATE_LIMIT_PER_MINUTE=120):
        wait_until(lambda: set(versions().values()) == {2})
    assert thanksio.count("refresh_token") == 20
    assert len(re.findall(r"refresh_due\[[^]]+\] succeeded", project.log())) >= 8
    assert project.chunks() <= 2


def test_a_wait_that_thanksio_asks_for_is_kept_by_all_tasks(project, connect, thanksio):
    """20 due rows and ``Retry-After: 60`` were 20 requests within the minute."""
    keys = [connect(f"user{number}").tokens.pk for number in range(20)]
    until = (utc_now() + timedelta(seconds=300)).isoformat()
    thanksio.next_token(status=429, headers={"Retry-After": "60"}, times=None)
    for start in range(0, 20, 5):
        project.send("thanksio_connect.refresh_chunk", keys[start : start + 5], until)
    with project.worker(THANKSIO_RATE_LIMIT_PER_MINUTE=60):
        project.wait_for_log(r"refresh_chunk\[[^]]+\] (succeeded|raised)", 4)
    assert 1 <= thanksio.count("refresh_token") <= 2  # the second one was under way
    project.send("thanksio_connect.refresh_due")
    with project.worker():
        project.wait_for_log(r"refresh_due\[[^]]+\] succeeded", 1)
    assert 1 <= thanksio.count("refresh_token") <= 2


def test_four_workers_keep_one_pace(project, connect, thanksio):
    """With ``THANKSIO_TEST_FLEET=1000`` over a whole minute."""
    count = max(120, SIZE * 6 // 10)
    keys = [connect(f"user{number}").tokens.pk for number in range(count)]
    times: list[float] = []
    thanksio.on_token(lambda record: times.append(time.monotonic()))
    until = (utc_now() + timedelta(seconds=count)).isoformat()
    for start in range(0, count, 30):
        project.send("thanksio_connect.refresh_chunk", keys[start : start + 30], until)
    with project.worker("--concurrency", "4", THANKSIO_RATE_LIMIT_PER_MINUTE=600):
        project.wait_for_log(CHUNK_DONE, count // 30, WORK_SECONDS + count / 10)
    assert len(times) == count
    assert max(sum(start <= each < start + 1 for each in times) for start in times) <= 15
    assert 11.5 / 119 <= (times[-1] - times[0]) / (count - 1) <= 13 / 119  # seconds apart, at ten a second


def test_a_chunk_whose_rows_were_disconnected_meanwhile_does_nothing(project, connect, thanksio):
    connection = connect("ada")
    key, until = connection.tokens.pk, (utc_now() + timedelta(minutes=1)).isoformat()
    connection.disconnect()
    project.send("thanksio_connect.refresh_chunk", [key], until)
    with project.worker():
        project.wait_for_log(CHUNK_DONE, 1)
    assert thanksio.count(grant_type="refresh_token") == 0


def test_a_wrong_secret_fails_the_task_and_condemns_nobody(project, connect, thanksio):
    connection = connect("ada")
    project.send("thanksio_connect.refresh_due")
    with project.worker(THANKSIO_CLIENT_SECRET="wrong-secret-of-ours"):
        project.wait_for_log(r"refresh_chunk\[[^]]+\] raised", 1)
    assert "invalid_client" in project.log()
    assert "wrong-secret-of-ours" not in project.log()
    connection.refresh_from_db()
    assert connection.is_connected


def test_a_fleet_with_poison_of_every_kind_needs_little_more_than_the_healthy_alone(project, thanksio, database):
    """As by the command: ``THANKSIO_TEST_FLEET=1000`` for a large one."""
    poison = dict.fromkeys(KINDS, max(1, SIZE * 5 // 100 // len(KINDS)))
    fleet = Fleet(thanksio, database, SIZE - sum(poison.values()), poison)
    fleet.let_wait_for(seconds=1)
    times: list[float] = []
    thanksio.on_token(lambda record: times.append(time.monotonic()))
    limits = {"THANKSIO_RATE_LIMIT_PER_MINUTE": 600, "THANKSIO_READ_TIMEOUT_SECONDS": SLOW_SECONDS / 2}
    project.send("thanksio_connect.refresh_due")
    try:
        with project.worker("--concurrency", "4", **limits):
            wait_until(lambda: fleet.renewed() == len(fleet.healthy), WORK_SECONDS + SIZE)
    finally:
        fleet.close()
    assert times[-1] - times[0] <= 1.2 * len(fleet.healthy) / 10  # seconds, at ten a second
