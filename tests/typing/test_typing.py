"""A project that types its code, with what the documentation tells it to write: mypy --strict and pyright have no word.

Under django-stubs; pyright runs without a plugin, so it knows what the annotations say and no more.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mypy_django_plugin", reason="django-stubs is not installed (extra lint)", exc_type=ImportError)

REPOSITORY = Path(__file__).resolve().parents[2]
SHOP = REPOSITORY / "tests" / "typing" / "shop"
BIN = Path(sys.executable).parent
PYRIGHT = shutil.which("pyright", path=str(BIN))
VIEW = """
def wrong(user: User) -> None:
    number: int = ThanksIOConnection.objects.for_user(user).get_access_token()
    ThanksIOConnection.objects.for_user("ann")
    ThanksIOConnection.objects.nothing()
    ThanksIOConnection.objects.for_user(user).api.send.postcard(mesage="typo")
    ThanksIOConnection.objects.for_user(user).api.estimate.postcard(message="Hi")["data"]["total"]
"""


def mypy(file: Path, cache: Path) -> str:
    command = [sys.executable, "-m", "mypy", "--config-file", SHOP / "mypy.ini", "--cache-dir", cache, file]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, env=_environment())
    return done.stdout + done.stderr


def pyright(file: Path, folder: Path) -> list[str]:
    config = {"include": [os.path.relpath(file, folder)], "extraPaths": [str(REPOSITORY)], "typeCheckingMode": "strict"}
    (folder / "pyrightconfig.json").write_text(json.dumps(config))
    command = [PYRIGHT, "-p", folder, "--pythonpath", sys.executable, "--outputjson"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=_environment())
    return [f"{each['range']['start']['line'] + 1}: {each['message']}" for each in _found(done.stdout)]


def _found(output: str) -> list[dict]:
    report = json.loads(output[output.index("{") :])
    assert report["summary"]["filesAnalyzed"] == 1, output
    return report["generalDiagnostics"]


def _environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(REPOSITORY), "PYTHONDEVMODE": "", "PYTHONWARNINGS": ""}


def test_mypy(tmp_path: Path):
    pytest.importorskip("mypy", reason="mypy is not installed (extra lint)", exc_type=ImportError)
    assert mypy(SHOP / "views.py", tmp_path) == "Success: no issues found in 1 source file\n"


def test_mypy_finds_a_mistake(tmp_path: Path):
    file = tmp_path / "views.py"
    file.write_text((SHOP / "views.py").read_text() + VIEW)
    assert mypy(file, tmp_path / "cache").count(" error: ") == 5


@pytest.mark.skipif(not PYRIGHT, reason="pyright is not installed (extra lint)")
def test_pyright(tmp_path: Path):
    assert pyright(SHOP / "views.py", tmp_path) == []


@pytest.mark.skipif(not PYRIGHT, reason="pyright is not installed (extra lint)")
def test_pyright_finds_a_mistake(tmp_path: Path):
    file = tmp_path / "views.py"
    file.write_text((SHOP / "views.py").read_text() + VIEW)
    first = len((SHOP / "views.py").read_text().splitlines())
    lines = {int(each.partition(":")[0]) - first for each in pyright(file, tmp_path)}
    assert lines >= {3, 4, 5, 6, 7}
