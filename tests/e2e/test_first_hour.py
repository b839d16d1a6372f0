"""The quickstart as printed: a fresh project, the stand-in, a browser; one order, and no second one by a reload."""

from __future__ import annotations

import ast
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from selenium import webdriver

from example_project.demo.processes import free_ports
from tests.docs_blocks import REPOSITORY, Block, blocks_for
from tests.e2e.person import Person

MOST_MINUTES, MOST_SETTINGS, MOST_LINES = 5, 4, 12
START_SECONDS = 60
ORDER = "POST   /api/v2/send/postcard  200"
BLOCKS = [block for block in blocks_for("quickstart") if block.page == "docs/quickstart.md"]


def story(name: str) -> str:
    [block] = [block for block in BLOCKS if block.marker == ("story", name)]
    return block.text


def write(block: Block, folder: Path) -> None:
    key, path = block.marker
    file = folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a" if key == "append" else "w", encoding="utf-8") as stream:
        stream.write("\n" + block.text)


@dataclass
class Newcomer:
    """Somebody with a shell in an empty folder, where ``python`` and ``django-admin`` are this environment's."""

    folder: Path
    standin_url: str
    site_url: str

    @property
    def environment(self) -> dict[str, str]:
        kept = {
            key: value for key, value in os.environ.items() if not key.startswith(("THANKSIO_", "DJANGO_", "FIELD_"))
        }
        path = os.pathsep.join([str(self.folder / ".bin"), kept["PATH"]])
        return kept | {"PATH": path, "PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": "1"}

    def give_python(self) -> None:
        (self.folder / ".bin").mkdir()
        for name, arguments in (("python", ""), ("django-admin", " -m django")):
            script = self.folder / ".bin" / name
            script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)}{arguments} "$@"\n')
            script.chmod(0o755)

    def types(self, commands: str) -> None:
        """Run the block with ``sh``, as it stands."""
        done = subprocess.run(
            ["sh", "-euc", commands], cwd=self.folder, env=self.environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def starts(self, command: str, ready_url: str, log: Path) -> subprocess.Popen[bytes]:
        with log.open("wb") as stream:
            words = ["sh", "-euc", f"exec {command}"]
            process = subprocess.Popen(
                words, cwd=self.folder, env=self.environment, stdout=stream, stderr=stream, start_new_session=True
            )
        deadline = time.monotonic() + START_SECONDS
        while not _answers(ready_url):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        return process

    @property
    def orders(self) -> int:
        return (self.folder / "standin.log").read_text().count(ORDER)


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).status_code < 500
    except requests.RequestException:
        return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, 15)
    process.wait(20)


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Newcomer]:
    """Has done what the quickstart says, block by block, and nothing else; the two servers have free ports."""
    began = time.monotonic()
    folder = tmp_path_factory.mktemp("mysite")
    standin_port, site_port = free_ports()
    newcomer = Newcomer(folder, f"http://127.0.0.1:{standin_port}", f"http://localhost:{site_port}")
    newcomer.give_python()
    newcomer.types(story("project"))
    for block in BLOCKS:
        if block.marker[0] in ("file", "append"):
            write(block, folder)
    command = story("stand-in").strip() + f" --port {standin_port}"
    processes = [newcomer.starts(command, newcomer.standin_url, folder / "standin.log")]
    try:
        newcomer.types(story("prepare"))
        server = f"set -a; . ./.env; set +a; exec {story('server').strip()} localhost:{site_port}"
        processes.append(newcomer.starts(f"sh -euc {shlex.quote(server)}", newcomer.site_url, folder / "server.log"))
        yield newcomer
    finally:
        for process in processes:
            _stop(process)
    assert time.monotonic() - began < MOST_MINUTES * 60
    assert "Traceback" not in (folder / "server.log").read_text()


@pytest.fixture
def person(chromium: webdriver.Chrome, newcomer: Newcomer, screenshots: Path) -> Person:
    return Person(chromium, newcomer.site_url, newcomer.standin_url, screenshots)


@pytest.mark.browser
def test_the_first_order_in_a_browser(person: Person, newcomer: Newcomer):
    person.go("/")
    person.picture("first-hour-start")
    person.press(".thanksio-button--connect")
    person.fill({"username": "ann", "password": "ann"})
    person.press("input[type=submit]")
    person.press(".thanksio-button--connect")  # Continue to thanks.io
    assert person.is_at_sandbox
    person.press("button[value=allow]")
    assert person.driver.current_url == f"{newcomer.site_url}/"
    person.picture("first-hour-connected")
    assert newcomer.orders == 0

    person.press("form[action='/send/'] button")

    assert newcomer.orders == 1
    assert re.search(r"thanks\.io took the order \d+\.", person.find("body").text)
    person.picture("first-hour-sent")
    person.driver.refresh()
    person.driver.back()
    person.driver.forward()
    assert newcomer.orders == 1
    assert [entry for entry in person.driver.get_log("browser") if "500" in entry["message"]] == []


def test_the_same_over_http(newcomer: Newcomer):
    site = requests.Session()

    def page(path: str, **form: str) -> requests.Response:
        if not form:
            return site.get(newcomer.site_url + path, timeout=30)
        form["csrfmiddlewaretoken"] = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', last.text)[1]
        return site.post(newcomer.site_url + path, form, headers={"Referer": newcomer.site_url}, timeout=30)

    last = page("/thanksio/connect/?next=/")
    assert last.url.startswith(f"{newcomer.site_url}/admin/login/?next=")
    last = page(last.url.removeprefix(newcomer.site_url), username="ann", password="ann")
    assert site.get(f"{newcomer.site_url}/send/", timeout=30).status_code == 405
    before = newcomer.orders
    last = page("/thanksio/connect/", next="/")
    assert last.url.startswith(newcomer.standin_url)
    last = site.post(last.url, {"answer": "allow"}, timeout=30)
    assert last.url == f"{newcomer.site_url}/"
    last = page("/send/", again="1")
    assert re.fullmatch(rf"{newcomer.site_url}/\?order=\d+", last.url)
    assert newcomer.orders == before + 1
    assert site.get(last.url, timeout=30).status_code == 200
    assert newcomer.orders == before + 1


def test_a_newcomer_types_little():
    """Settings count as settings; of the other files each line counts that is code and no import."""
    source = {path: "" for _, path in (block.marker for block in BLOCKS) if path.endswith(".py")}
    for block in BLOCKS:
        if block.marker[1] in source:
            source[block.marker[1]] += block.text
    settings = [line for line in own_lines(source.pop("mysite/settings.py")) if re.match(r"[A-Z_]+ \+?= ", line)]
    lines = [line for text in source.values() for line in own_lines(text)]

    assert len(settings) <= MOST_SETTINGS, settings
    assert len(lines) <= MOST_LINES, "\n".join(lines)


def own_lines(source: str) -> list[str]:
    tree = ast.parse(source)
    imported = {
        number
        for node in tree.body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for number in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    lines = enumerate(source.splitlines(), 1)
    return [
        line for number, line in lines if line.strip() and not line.lstrip().startswith("#") and number not in imported
    ]


def test_the_readme_prints_the_same_steps():
    readme = [block for block in blocks_for("quickstart") if block.page == "README.md"]

    assert [(block.marker, block.text) for block in readme] == [(block.marker, block.text) for block in BLOCKS]


def test_the_view_has_no_way_out_without_an_answer():
    [view] = [block for block in BLOCKS if block.marker[1] == "postcards/views.py"]
    [function] = [node for node in ast.parse(view.text).body if isinstance(node, ast.FunctionDef)]

    assert [decorator.id for decorator in function.decorator_list] == ["require_POST", "login_required"]
    [trying, last] = function.body
    assert isinstance(last, ast.Return)
    assert all(isinstance(handler.body[-1], ast.Return) for handler in trying.handlers)
