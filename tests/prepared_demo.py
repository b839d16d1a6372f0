"""The demo's databases, made once for all workers of a run: each test that needs the demo gets a copy."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from example_project.demo import keys, processes

WAIT_SECONDS = 120


@pytest.fixture(scope="session")
def prepared_demo(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """A demo's directory with keys and databases; copy it, and leave it as it is."""
    folder = tmp_path_factory.getbasetemp()
    if hasattr(request.config, "workerinput"):
        folder = folder.parent  # all workers' own
    template, done = folder / "demo-template", folder / "demo-template-is-ready"
    try:
        template.mkdir()
    except FileExistsError:
        _wait_for(done)
    else:
        environment = keys.child_environment(template, "http://localhost:1", "http://127.0.0.1:1")
        with processes.Children(environment, template) as children:
            processes.prepare(children)
        done.touch()
    return template


def _wait_for(file: Path) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not file.exists():
        assert time.monotonic() < deadline, "another worker could not prepare the demo"
        time.sleep(0.05)


def copy_demo(template: Path, directory: Path) -> None:
    """Give a demo's directory the keys and databases; its logs and addresses stay its own."""
    directory.mkdir(exist_ok=True)
    for file in template.iterdir():
        if file.suffix == ".sqlite3" or file.name == "demo.env":
            shutil.copy(file, directory)
