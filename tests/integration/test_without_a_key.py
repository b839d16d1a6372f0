"""Without a usable FIELD_ENCRYPTION_KEY Django starts, most commands run, and the check says what to do."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

ROOT = Path(__file__).parents[2]
A, B = Fernet.generate_key().decode(), Fernet.generate_key().decode()
UNUSABLE = {"missing": "none", "empty": "", "short": "short", "half": f"{A},{B[:20]}"}
USABLE = {"one": A, "two in one string": f"{A},{B}", "with spaces": f" {A} , {B} "}


def run(key, code):
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=ROOT,
        env=os.environ
        | {"PYTHONPATH": str(ROOT), "KEYLESS": key, "DJANGO_SETTINGS_MODULE": "tests.keyless_project.settings"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


SEVERAL_COMMANDS = """
import django
from django.core.management import ManagementUtility
django.setup()
for command in ("--version", "help", "help refresh_thanksio_tokens", "collectstatic --noinput --dry-run",
                "makemigrations thanksio_connect --check --dry-run --skip-checks", "check"):
    print(command, flush=True)
    try:
        ManagementUtility(["manage.py", *command.split()]).execute()
    except SystemExit as end:
        assert not end.code or command == "check", end.code
"""


@pytest.mark.parametrize("key", UNUSABLE.values(), ids=UNUSABLE)
def test_what_needs_no_token_runs_and_the_check_is_an_error_in_words(key):
    result = run(key, SEVERAL_COMMANDS)
    assert result.stdout.splitlines()[-1] == "check", result.stderr
    assert result.returncode == 0, result.stderr
    assert result.stderr.count("(thanksio_connect.E016) FIELD_ENCRYPTION_KEY is m") == 1, result.stderr
    assert "Traceback" not in result.stderr
    assert A[:10] not in result.stderr


@pytest.mark.parametrize("key", USABLE.values(), ids=USABLE)
def test_with_one_the_check_is_content_and_the_library_encrypts_with_the_newest(key):
    result = run(
        key,
        """
import django
from django.core.management import call_command
django.setup()
call_command("check")
from encrypted_model_fields import fields
print(fields.encrypt_str("x").decode())
""",
    )
    assert result.returncode == 0, result.stderr
    assert Fernet(A).decrypt(result.stdout.splitlines()[-1]) == b"x"


def test_the_projects_own_encrypted_fields_wait_for_the_real_key():
    result = run("none", "from tests.keyless_project.drive import main; main()")
    assert result.stdout.splitlines()[-1:] == ["ok"], result.stderr
