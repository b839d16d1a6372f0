"""The example product and the sandbox as processes on free ports, and Chromium to visit them with."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from example_project.demo import keys, processes
from tests.e2e.person import Person

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
CHROMEDRIVER = shutil.which("chromedriver")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--disable-dev-shm-usage",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if CHROMIUM and CHROMEDRIVER:
        return
    reason = "Chromium and its driver are not installed (Debian: apt install chromium chromium-driver)"
    for item in items:
        if item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.skip(reason=reason))


class Servers:
    """Product and sandbox, running."""

    def __init__(self, children: processes.Children, product_port: int, sandbox_port: int) -> None:
        self._children = children
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self.product = processes.Address("localhost", product_port)
        self.sandbox = processes.Address("127.0.0.1", sandbox_port)

    def start(self, part: str, address: processes.Address, ready_path: str) -> None:
        where = f"{address.host}:{address.port}"
        process = self._children.start(part, "-m", "example_project.demo.serve", part, where)
        processes.wait_until_ready(self._children, process, part, address.url + ready_path)
        self._running[part] = process

    def stop(self, part: str) -> None:
        """Take one away, as an outage would."""
        process = self._running.pop(part)
        process.terminate()
        process.wait(10)


def _serve(directory: Path) -> Iterator[Servers]:
    product_port, sandbox_port = processes.free_ports()
    addresses = f"http://localhost:{product_port}", f"http://127.0.0.1:{sandbox_port}"
    with processes.Children(keys.child_environment(directory, *addresses), directory) as children:
        processes.prepare(children)
        servers = Servers(children, product_port, sandbox_port)
        servers.start("product", servers.product, "/login/")
        servers.start("sandbox", servers.sandbox, "/login")
        yield servers


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    yield from _serve(tmp_path_factory.mktemp("demo"))


@pytest.fixture
def own_servers(tmp_path: Path) -> Iterator[Servers]:
    """A pair for a test that breaks it."""
    directory = tmp_path / "demo"
    directory.mkdir()
    yield from _serve(directory)


@pytest.fixture
def chromium(tmp_path: Path) -> Iterator[webdriver.Chrome]:
    """A fresh browser: no cookie, no history."""
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM or ""
    for flag in (*FLAGS, f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1280,900"):
        options.add_argument(flag)
    service = Service(CHROMEDRIVER)
    driver = webdriver.Chrome(options=options, service=service)
    driver.set_page_load_timeout(30)
    try:
        yield driver
    finally:
        driver.quit()


@pytest.fixture
def screenshots(tmp_path: Path) -> Path:
    """Where the pictures go: ``THANKSIO_SCREENSHOTS``, else the test's own folder."""
    directory = Path(os.environ.get("THANKSIO_SCREENSHOTS") or tmp_path / "screenshots")
    directory.mkdir(parents=True, exist_ok=True)
    return directory


@pytest.fixture
def person(chromium: webdriver.Chrome, servers: Servers, screenshots: Path) -> Person:
    """Somebody in front of the browser, signed in to the product, not connected to thanks.io."""
    return _sit_down(chromium, servers, screenshots)


@pytest.fixture
def person_with_own_servers(chromium: webdriver.Chrome, own_servers: Servers, screenshots: Path) -> Person:
    return _sit_down(chromium, own_servers, screenshots)


def _sit_down(chromium: webdriver.Chrome, servers: Servers, screenshots: Path) -> Person:
    person = Person(chromium, servers.product.url, servers.sandbox.url, screenshots)
    person.sign_in()
    person.disconnect_if_connected()
    person.go("/")
    return person
