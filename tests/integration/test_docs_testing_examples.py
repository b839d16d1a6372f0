"""The examples of the testing page are a product with tests: written out as they stand, they run and pass."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "testing.md"
BLOCK = re.compile(r"^```\{code-block\} \S+\n:caption: (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

SETTINGS = """
from tests.settings import *

INSTALLED_APPS = [*INSTALLED_APPS, "shop"]
ROOT_URLCONF = "shop.urls"
"""

if not PAGE.exists():
    pytest.skip("the documentation is not shipped here", allow_module_level=True)


def test_every_example_passes(tmp_path):
    blocks = dict(BLOCK.findall(PAGE.read_text(encoding="utf-8")))
    assert set(blocks) == {
        "conftest.py",
        "shop/views.py",
        "shop/urls.py",
        "shop/templates/shop/home.html",
        "tests/test_send.py",
        "tests/test_bad_hour.py",
        "tests/test_reconnect.py",
    }
    # "tests" is taken by the app's own, whose settings the product borrows.
    files = {name.replace("tests/", "shop/"): text for name, text in blocks.items()}
    files |= {"shop/__init__.py": "", "product_settings.py": SETTINGS}
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    options = ["-q", "-p", "no:cacheprovider", "-c", os.devnull, "--ds", "product_settings"]
    options += ["--rootdir", str(tmp_path), "--confcutdir", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "pytest", *options, "."],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])},
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    tests = sum(text.count("def test_") for text in blocks.values())
    assert f"{tests} passed" in done.stdout
