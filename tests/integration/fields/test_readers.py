"""Real packages that read every model field see masks: an audit log, a history, serializers, exports, error pages."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


def test_no_reader_finds_a_token_and_none_writes_its_mask_back(tmp_path):
    for package in ("auditlog", "import_export", "rest_framework", "simple_history"):
        pytest.importorskip(package)
    root = Path(__file__).parents[3]
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.readers_project.drive"],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root), "READERS_DATABASE": str(tmp_path / "readers.sqlite3")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.stdout.splitlines()[-1:] == ["ok"], result.stderr
