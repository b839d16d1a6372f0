"""Each command with a database that is down, no tables, a wrong key, no secret, a closed pipe ends with a sentence."""

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
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


ENVIRONMENT = NOWHERE | {
    "PYTHONDEVMODE": "",
    "PYTHONPATH": str(ROOT),
    "DJANGO_SETTINGS_MODULE": "tests.settings",
    "THANKSIO_TEST_DATABASE": "sqlite",
}


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
        env=os.environ | ENVIRONMENT | {"THANKSIO_TEST_SQLITE_FILE": str(tmp_path / "db.sqlite3")} | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


EACH = """
import django, json, os, sys, traceback
from django.conf import settings
from django.core.management import execute_from_command_line as main
{setup}
django.setup()
children = []
for number, command in enumerate(json.loads(sys.argv[1])):
    if not (child := os.fork()):
        for descriptor, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(f"{{sys.argv[2]}}/{{number}}.{{name}}", os.O_CREAT | os.O_WRONLY), descriptor)
        status = 1
        try:
            main(["manage.py", *command])
            status = 0
        except SystemExit as error:
            status = error.code
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    children.append(child)
for child in children:
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def run_each(commands, tmp_path, *, setup="", **environment):
    """Several commands in the same surroundings, side by side, a process each."""
    folder = Path(tempfile.mkdtemp(dir=tmp_path.parent))
    process = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", EACH.format(setup=setup), json.dumps(list(commands)), str(folder)],
        cwd=ROOT,
        env=os.environ | ENVIRONMENT | {"THANKSIO_TEST_SQLITE_FILE": str(tmp_path / "db.sqlite3")} | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    for number, (command, status) in enumerate(zip(commands, process.stdout.split(), strict=True)):
        texts = [(folder / f"{number}.{name}").read_text() for name in ("out", "err")]
        yield subprocess.CompletedProcess(command, int(status), *texts)


def assert_said(results, words, status=2):
    for result in results:
        assert result.returncode == status, result
        assert words in result.stdout + result.stderr, result
        assert "Traceback" not in result.stderr, result


@pytest.fixture(scope="module")
def migrated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("migrated")
    assert run(["migrate"], folder).returncode == 0
    return folder


def test_a_file_that_can_not_be_opened(tmp_path):
    results = run_each(COMMANDS.values(), tmp_path / "nowhere")
    assert_said(results, "The database can't be used (OperationalError).")


def test_a_server_that_is_down(tmp_path):
    """A sweep waits longer for a server: tests/integration/flows/test_refresh_thanksio_tokens.py has it."""
    pytest.importorskip("psycopg", reason="needs PostgreSQL's driver")
    down = {"THANKSIO_TEST_DATABASE": "postgres", "POSTGRES_PORT": str(free_port()), "THANKSIO_TEST_SQLITE_FILE": ""}
    commands = [command for name, command in COMMANDS.items() if name != "refresh"]
    assert_said(run_each(commands, tmp_path, **down), "The database can't be used (OperationalError).")


def test_no_tables(tmp_path):
    results = list(run_each(COMMANDS.values(), tmp_path))
    assert_said(results, "Run manage.py migrate")
    assert not [each for each in results if "trying again" in each.stderr]


@pytest.mark.parametrize("key", ["None", "'short'"])
def test_no_key(key, migrated):
    commands = [COMMANDS[name] for name in ("doctor", "import", "reencrypt", "refresh")]
    results = run_each(commands, migrated, setup=f"settings.FIELD_ENCRYPTION_KEY = {key}")
    assert_said(results, "FIELD_ENCRYPTION_KEY is m")


def test_counting_needs_neither_key_nor_secret(migrated):
    setup = "settings.FIELD_ENCRYPTION_KEY = None; settings.THANKSIO_CLIENT_SECRET = ''"
    assert_said(run_each([COMMANDS["status"], COMMANDS["openmetrics"]], migrated, setup=setup), "", status=0)


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


def test_a_pipe_that_nobody_reads_keeps_the_exit_status(migrated):
    for whole in run_each(COMMANDS.values(), migrated):
        cut = run(whole.args, migrated, shell_tail="| true")
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
    reencrypted, refreshed, result = run_each(
        [COMMANDS["reencrypt"], [*COMMANDS["refresh"], "--user", "alice"], COMMANDS["doctor"]], migrated, setup=setup
    )
    assert reencrypted.returncode == 1
    assert (refreshed.returncode, "Traceback" in refreshed.stderr) == (1, False)
    assert "alice (connection 1): not renewed: FIELD_ENCRYPTION_KEY does not fit (undecryptable)" in refreshed.stdout
    assert result.returncode == 2
    assert "Put that one back." in result.stdout
