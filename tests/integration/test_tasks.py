"""The Celery tasks: a real worker process, and a broker that is a folder, so that no service has to run."""

from __future__ import annotations

import contextlib
import json
import os
import re
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

from tests.integration.refresh import databases
from tests.integration.refresh.processes import ROOT, SHARED_SETTINGS
from thanksio_connect.fields import utc_now
from thanksio_connect.models import ConnectionTokens, ThanksIOConnection
from thanksio_connect.testing import FakeThanksIO

pytest.importorskip("celery", reason="needs Celery: it comes with the extra [test]")

BROKER_FOLDERS = {"data_folder_in": "queue", "data_folder_out": "queue", "control_folder": "control"}
START_SECONDS, WORK_SECONDS, STOP_SECONDS = 60, 30, 30
NO_RATE_LIMIT = {"thanksio_connect.refresh_one": {"rate_limit": None}}  # the tests don't wait a second for each row


class Project:
    """A project with Celery on the test's database. Starts workers, and sends them tasks, as processes."""

    def __init__(self, folder: Path, database: dict[str, Any], thanksio: FakeThanksIO) -> None:
        self.folder = folder
        broker = {name: str(folder / where) for name, where in BROKER_FOLDERS.items()}
        for where in broker.values():
            Path(where).mkdir(exist_ok=True)
        values = {
            "DATABASES": {"default": database},
            "CELERY_BROKER_URL": "folder://",
            "CELERY_BROKER_TRANSPORT_OPTIONS": {**broker, "polling_interval": 0.05},
            "CELERY_TASK_ANNOTATIONS": NO_RATE_LIMIT,
            "CELERY_BEAT_SCHEDULE_FILENAME": str(folder / "beat"),
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
            )

    def send(self, task: str, *arguments: str) -> None:
        assert self.celery("call", task, *arguments).wait(START_SECONDS) == 0, self.log()

    @contextlib.contextmanager
    def worker(self, *arguments: str, **overrides: Any) -> Iterator[None]:
        """A worker with two processes, ready; it is asked to stop at the end, and must do so by itself."""
        command = ("worker", "--loglevel", "INFO", "--concurrency", "2", "--without-gossip", "--without-mingle")
        process = self.celery(*command, *arguments, **overrides)
        try:
            self.wait_for_log(r"ready\.", 1, START_SECONDS)
            yield
            process.terminate()
            assert process.wait(STOP_SECONDS) == 0, self.log()
        finally:
            process.kill()
            process.wait()

    def wait_for_log(self, pattern: str, times: int, seconds: float = WORK_SECONDS) -> None:
        deadline = time.monotonic() + seconds
        while len(re.findall(pattern, self.log())) < times:
            assert time.monotonic() < deadline, f"{pattern} is not {times} times in the log:\n{self.log()}"
            time.sleep(0.05)

    def outcomes(self) -> list[str]:
        """What the finished ``refresh_one`` returned."""
        return sorted(re.findall(r"refresh_one\[[^]]+\] succeeded in [^:]+: '(\w+)'", self.log()))

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
def project(tmp_path: Path, database: dict[str, Any], thanksio: FakeThanksIO) -> Project:
    return Project(tmp_path, database, thanksio)


@pytest.fixture
def connect(thanksio: FakeThanksIO) -> Callable[..., ThanksIOConnection]:
    def make(name: str, *, is_due: bool = True) -> ThanksIOConnection:
        connection = thanksio.connect(User.objects.create(username=name))
        if is_due:
            rows = ConnectionTokens.objects.filter(connection=connection)
            rows.update(next_refresh_at=utc_now() - timedelta(minutes=1))
        return connection

    return make


def versions() -> dict[str, int]:
    return dict(ThanksIOConnection.objects.values_list("user__username", "tokens__version"))


def test_what_is_due_is_renewed_once_however_often_it_was_queued(project, connect, thanksio):
    """Beat asks every few minutes; whatever the workers have not reached by then is in the queue twice."""
    connect("ada"), connect("ben"), connect("fresh", is_due=False)
    for _time in range(2):
        project.send("thanksio_connect.refresh_due")
    with project.worker():
        project.wait_for_log(r"refresh_one\[[^]]+\] succeeded", 4)
    assert project.outcomes() == ["refreshed", "refreshed", "skipped", "skipped"]
    assert versions() == {"ada": 2, "ben": 2, "fresh": 1}
    assert thanksio.count(grant_type="refresh_token") == 2
    for connection in ThanksIOConnection.objects.all():
        assert thanksio.is_live(connection.tokens.access_token)
        assert connection.tokens.access_token.reveal() not in project.log()
        assert connection.tokens.refresh_token.reveal() not in project.log()


def test_beat_starts_it_by_the_name_in_the_documentation(project, connect):
    connect("ada")
    schedule = {"thanksio": {"task": "thanksio_connect.refresh_due", "schedule": 1}}
    with project.worker("--beat", CELERY_BEAT_SCHEDULE=schedule):
        project.wait_for_log(r"refresh_one\[[^]]+\] succeeded", 1)
    assert versions() == {"ada": 2}


def test_it_tries_again_when_thanksio_asks_to_wait(project, connect, thanksio):
    connect("ada")
    thanksio.next_token(status=429, headers={"Retry-After": "1"})
    project.send("thanksio_connect.refresh_due")
    with project.worker():
        project.wait_for_log(r"refresh_one\[[^]]+\] succeeded", 1)
    assert project.outcomes() == ["refreshed"]
    assert versions() == {"ada": 2}


def test_one_that_was_disconnected_meanwhile_is_skipped(project, connect, thanksio):
    connection = connect("ada")
    key = connection.pk
    connection.disconnect()
    project.send("thanksio_connect.refresh_one", "--args", json.dumps([key]))
    with project.worker():
        project.wait_for_log(r"refresh_one\[[^]]+\] succeeded", 1)
    assert project.outcomes() == ["skipped"]
    assert thanksio.count(grant_type="refresh_token") == 0


def test_a_wrong_secret_fails_the_task_and_condemns_nobody(project, connect, thanksio):
    connection = connect("ada")
    project.send("thanksio_connect.refresh_due")
    with project.worker(THANKSIO_CLIENT_SECRET="wrong-secret-of-ours"):
        project.wait_for_log(r"refresh_one\[[^]]+\] raised", 1)
    assert "invalid_client" in project.log()
    assert "wrong-secret-of-ours" not in project.log()
    connection.refresh_from_db()
    assert connection.is_connected
    assert thanksio.is_live(connection.tokens.access_token)
