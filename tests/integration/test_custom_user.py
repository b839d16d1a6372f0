"""User models with a UUID key and no username (a process of its own each: a project has one user model)."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("project", ["custom_user", "staff_project"])
def test_the_whole_story_with_a_uuid_user_model(project):
    root = Path(__file__).parents[2]
    result = subprocess.run(
        [sys.executable, "-W", "error", "-m", f"tests.{project}.drive"],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.stdout.splitlines()[-1:] == ["ok"], result.stderr
