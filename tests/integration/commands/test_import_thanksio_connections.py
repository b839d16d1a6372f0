"""Connections out of the real packages' tables; in a process of their own, because their apps have to be installed."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.db import connection

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


@pytest.mark.skipif(connection.vendor == "mysql", reason="MariaDB ends the test's transaction at a new table")
@pytest.mark.django_db
def test_a_row_of_a_table_is_named_by_its_primary_key_and_one_of_a_view_by_its_number():
    columns = "SELECT id, id + 1000 AS user_id, username AS access_token, email AS refresh_token FROM auth_user"
    get_user_model().objects.create(pk=70, username="ada")
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE VIEW old_view AS {columns}")
        cursor.execute("CREATE TABLE old_tokens (key_ integer PRIMARY KEY, user_id integer, access_token varchar(9))")
        cursor.execute("INSERT INTO old_tokens VALUES (7, 1070, 'a')")
    for source, name in (("old_tokens", "row 7 of old_tokens"), ("old_view", "row 1 of old_view")):
        options = ["--table", source, "--expires-at-column", "", "--refresh-token-column", ""]
        out = io.StringIO()
        with pytest.raises(CommandError):
            call_command("import_thanksio_connections", "--from", "table", *options, stdout=out)
        assert out.getvalue().startswith(f"{name}: there is no user 1070.")
