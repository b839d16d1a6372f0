"""The tasks of Django's own, with the database backend ``django-tasks-db`` and its worker as a process."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import django
import pytest
from django.conf import settings
from django.contrib.auth.models import User

from tests.integration.refresh import databases
from tests.integration.refresh.processes import ROOT, SHARED_SETTINGS
from thanksio_connect.fields import utc_now
from thanksio_connect.models import ConnectionTokens
from thanksio_connect.testing import FakeThanksIO

HAS_TASKS = django.VERSION >= (6, 0)
if HAS_TASKS:
    pytest.importorskip("django_tasks_db", reason="needs django-tasks-db: it comes with the extra [test]")
needs_tasks = pytest.mark.skipif(not HAS_TASKS, reason="needs Django 6.0")
WORK_SECONDS = 60


@pytest.mark.skipif(HAS_TASKS, reason="needs a Django without tasks")
def test_without_django_6_the_module_says_so():
    with pytest.raises(ImportError, match=r"came with Django 6\.0"):
        importlib.import_module("thanksio_connect.django_tasks")


@pytest.fixture
def database(tmp_path: Path, django_db_blocker: Any) -> Iterator[dict[str, Any]]:
    made = databases.Database(tmp_path, f"test_thanksio_django_tasks_{os.getpid()}")
    with django_db_blocker.unblock():
        made.create()
        values = made.copy(databases.VARIANTS[0])
        with databases.using(values):
            yield values
        made.destroy()


class Project:
    """A project with ``django.tasks`` in the test's database."""

    def __init__(self, database: dict[str, Any], thanksio: FakeThanksIO) -> None:
        shared = {name: getattr(settings, name) for name in SHARED_SETTINGS if hasattr(settings, name)}
        values = {"DATABASES": {"default": database}, "THANKSIO_RATE_LIMIT_PER_MINUTE": 600, **thanksio.settings()}
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "DJANGO_SETTINGS_MODULE": "tests.tasks_project",
            "TASKS_PROJECT_SETTINGS": json.dumps(shared | values),
        }

    def manage(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "django", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=WORK_SECONDS,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    def enqueue(self, **arguments: Any) -> None:
        code = f"from thanksio_connect.django_tasks import refresh_due; refresh_due.enqueue(**{arguments!r})"
        self.manage("shell", "--no-imports", "-c", code)

    def work(self) -> str:
        """Do all that is queued, in a worker process."""
        return self.manage("db_worker", "--batch", "--interval", "0.1", "--no-startup-delay")


@pytest.fixture
def thanksio(database: dict[str, Any]) -> Iterator[FakeThanksIO]:
    with FakeThanksIO() as fake, fake.override_settings():
        for number in range(12):
            fake.connect(User.objects.create(username=f"user{number}"), expires_in=3600)
        ConnectionTokens.objects.update(next_refresh_at=utc_now() - timedelta(hours=1))
        yield fake


@pytest.fixture
def project(database: dict[str, Any], thanksio: FakeThanksIO) -> Project:
    made = Project(database, thanksio)
    made.manage("migrate", "--verbosity", "0")
    return made


@needs_tasks
def test_a_worker_renews_what_is_due_once_however_often_it_was_enqueued(project, thanksio):
    project.enqueue(every_seconds=60)
    project.enqueue(every_seconds=60)
    project.work()
    assert set(ConnectionTokens.objects.values_list("version", flat=True)) == {2}
    assert thanksio.count("refresh_token") == 12


@needs_tasks
def test_a_wait_that_thanksio_asks_for_outlives_the_task(project, thanksio):
    thanksio.next_token(status=429, headers={"Retry-After": "60"}, times=None)
    project.enqueue(every_seconds=30)
    project.work()
    project.enqueue(every_seconds=30)
    project.work()
    assert thanksio.count("refresh_token") <= 2  # the second one was under way


@needs_tasks
def test_a_wrong_secret_fails_the_task_and_condemns_nobody(project, thanksio):
    project.environment["TASKS_PROJECT_SETTINGS"] = json.dumps(
        json.loads(project.environment["TASKS_PROJECT_SETTINGS"]) | {"THANKSIO_CLIENT_SECRET": "wrong-secret-of-ours"}
    )
    project.enqueue()
    log = project.work()
    assert "wrong-secret-of-ours" not in log
    assert set(ConnectionTokens.objects.values_list("status", flat=True)) == {"connected"}
    assert thanksio.count("refresh_token") <= 16
