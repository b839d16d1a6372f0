"""User models with a UUID key and no username (a process of its own each: a project has one user model)."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


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


def test_the_template_of_the_page_is_the_one_that_was_tried():
    """A link from the user's page, for a user model of one's own: ``docs/admin.md``."""
    name = "tests/staff_project/templates/admin/staff_project/person/change_form_object_tools.html"
    page = (ROOT / "docs" / "admin.md").read_text(encoding="utf-8")
    assert re.findall(r"```django\n(.*?)```", page, re.DOTALL) == [(ROOT / name).read_text(encoding="utf-8")]
