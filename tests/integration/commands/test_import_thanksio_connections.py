"""Connections out of the real packages' tables; in a process of their own, because their apps have to be installed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

ROOT = Path(__file__).resolve().parents[3]


def test_from_allauth_social_auth_and_a_table():
    pytest.importorskip("allauth")
    pytest.importorskip("social_django")
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-W", "ignore", "--ds=tests.import_project.settings"]
    result = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "tests/import_project/cases.py"],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("source", ["allauth", "social-auth"])
@pytest.mark.django_db
def test_a_package_that_is_not_installed_is_a_sentence(source):
    with pytest.raises(CommandError, match="is not in INSTALLED_APPS") as caught:
        call_command("import_thanksio_connections", "--from", source)
    assert caught.value.returncode == 2
