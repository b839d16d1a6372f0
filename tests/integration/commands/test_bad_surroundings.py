"""Each command with a database that is down, no tables, a wrong key, no secret, a closed pipe ends with a sentence."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from tests.integration.client_server import free_port

ROOT = Path(__file__).resolve().parents[3]
COMMANDS = {
    "doctor": ["thanksio_doctor"],
    "status": ["thanksio_status"],
    "openmetrics": ["thanksio_status", "--openmetrics"],
    "import": ["import_thanksio_connections", "--from", "table", "--table", "auth_user"],
    "reencrypt": ["reencrypt_thanksio_tokens"],
    "refresh": ["refresh_thanksio_tokens"],
}
NOWHERE = {f"THANKSIO_{name}_URL": "http://127.0.0.1:9/" for name in ("AUTHORIZE", "TOKEN", "API")}


def run(command, tmp_path, *, setup="", shell_tail="", **environment):
    """The command as an operator types it. ``setup`` is Python that runs once the settings are there."""
    code = (
        "import sys; from django.conf import settings\n"
        f"{setup}\n"
        "from django.core.management import execute_from_command_line as main\n"
        "main(['manage.py', *sys.argv[1:]])"
    )
    return subprocess.run(
        ["bash", "-c", f'set -o pipefail; "$0" -W ignore -c "$@" {shell_tail}', sys.executable, code, *command],
        cwd=ROOT,
        env=os.environ
        | NOWHERE
        | {
            "PYTHONDEVMODE": "",
            "PYTHONPATH": str(ROOT),
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "THANKSIO_TEST_DATABASE": "sqlite",
            "THANKSIO_TEST_SQLITE_FILE": str(tmp_path / "db.sqlite3"),
        }
        | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture(scope="module")
def migrated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("migrated")
    assert run(["migrate"], folder).returncode == 0
    return folder


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_file_that_can_not_be_opened(command, tmp_path):
    result = run(command, tmp_path / "nowhere")
    assert result.returncode == 2
    assert "The database can't be used (OperationalError)." in result.stdout + result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("command", [COMMANDS[name] for name in COMMANDS if name != "refresh"])
def test_a_server_that_is_down(command, tmp_path):
    """A sweep waits longer for a server: tests/integration/flows/test_refresh_thanksio_tokens.py has it."""
    pytest.importorskip("psycopg", reason="needs PostgreSQL's driver")
    down = {"THANKSIO_TEST_DATABASE": "postgres", "POSTGRES_PORT": str(free_port()), "THANKSIO_TEST_SQLITE_FILE": ""}
    result = run(command, tmp_path, **down)
    assert result.returncode == 2
    assert "The database can't be used (OperationalError)." in result.stdout + result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_no_tables(command, tmp_path):
    result = run(command, tmp_path)
    assert result.returncode == 2
    assert "Run manage.py migrate" in result.stdout + result.stderr
    assert "Traceback" not in result.stderr
    assert "trying again" not in result.stderr


@pytest.mark.parametrize("command", [COMMANDS[name] for name in ("doctor", "import", "reencrypt", "refresh")])
@pytest.mark.parametrize("key", ["None", "'short'"])
def test_no_key(command, key, migrated):
    result = run(command, migrated, setup=f"settings.FIELD_ENCRYPTION_KEY = {key}")
    assert result.returncode == 2
    assert "FIELD_ENCRYPTION_KEY is m" in result.stdout + result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("command", [COMMANDS["status"], COMMANDS["openmetrics"]])
def test_counting_needs_neither_key_nor_secret(command, migrated):
    setup = "settings.FIELD_ENCRYPTION_KEY = None; settings.THANKSIO_CLIENT_SECRET = ''"
    assert run(command, migrated, setup=setup).returncode == 0


@pytest.mark.parametrize("command", [COMMANDS["doctor"], COMMANDS["refresh"]])
def test_no_secret(command, migrated):
    result = run(command, migrated, setup="settings.THANKSIO_CLIENT_SECRET = ''")
    assert result.returncode == 2
    assert "THANKSIO_CLIENT_SECRET is not set." in result.stdout + result.stderr
    assert "Traceback" not in result.stderr


def test_somebody_else_has_the_database_locked(migrated):
    with closing(sqlite3.connect(migrated / "db.sqlite3", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        result = run(COMMANDS["doctor"], migrated, setup="settings.DATABASES['default']['OPTIONS'] = {'timeout': 0.5}")
    assert "A row could not be claimed just now: somebody has it locked." in result.stdout
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_pipe_that_nobody_reads_keeps_the_exit_status(command, migrated):
    whole = run(command, migrated)
    cut = run(command, migrated, shell_tail="| true")
    assert cut.returncode == whole.returncode
    assert "Traceback" not in cut.stderr
    assert "BrokenPipe" not in cut.stderr


def test_colours_are_for_terminals_and_no_line_needs_a_wide_one(migrated):
    narrow = {"COLUMNS": "20"}
    assert "\x1b[" not in run(["thanksio_doctor"], migrated, **narrow).stdout
    assert "\x1b[" in run(["thanksio_doctor", "--force-color"], migrated, **narrow).stdout
    assert run(["import_thanksio_connections", "--help"], migrated, **narrow).returncode == 0


def test_a_key_that_fits_nothing_is_status_1_for_reencrypt_and_2_for_the_doctor(migrated):
    setup = (
        "import django; django.setup()\n"
        "from django.contrib.auth import get_user_model\n"
        "from thanksio_connect.models import ThanksIOConnection\n"
        "user, _ = get_user_model().objects.get_or_create(username='alice')\n"
        "ThanksIOConnection.objects.connect(user, {'access_token': 'a', 'refresh_token': 'r'})\n"
        f"settings.FIELD_ENCRYPTION_KEY = {Fernet.generate_key().decode()!r}"
    )
    assert run(COMMANDS["reencrypt"], migrated, setup=setup).returncode == 1
    result = run([*COMMANDS["refresh"], "--user", "alice"], migrated, setup=setup)
    assert (result.returncode, "Traceback" in result.stderr) == (1, False)
    assert "alice (connection 1): not renewed: FIELD_ENCRYPTION_KEY does not fit (undecryptable)" in result.stdout
    result = run(COMMANDS["doctor"], migrated, setup=setup)
    assert result.returncode == 2
    assert "Put that one back." in result.stdout
