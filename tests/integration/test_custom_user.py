"""A user model with a UUID key and no username (a process of its own: a project has one user model)."""

import os
import subprocess
import sys
from pathlib import Path


def test_the_whole_story_with_a_uuid_user_model():
    root = Path(__file__).parents[2]
    result = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.custom_user.drive"],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.stdout.splitlines()[-1:] == ["ok"], result.stderr
