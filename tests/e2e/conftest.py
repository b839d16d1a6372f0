"""The example product and the sandbox as processes on free ports, and Chromium to visit them with."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from example_project.demo import keys, processes
from tests.e2e.person import Person
from tests.prepared_demo import copy_demo

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
WINDOW = (1280, 900)
AS_FRESH: tuple[tuple[str, dict[str, object]], ...] = (
    ("Network.clearBrowserCookies", {}),
    ("Network.clearBrowserCache", {}),
    ("Page.resetNavigationHistory", {}),
    ("Emulation.setScriptExecutionDisabled", {"value": False}),
    ("Emulation.clearDeviceMetricsOverride", {}),
    ("Emulation.setEmulatedMedia", {"media": "", "features": []}),
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


def _serve(directory: Path, template: Path) -> Iterator[Servers]:
    copy_demo(template, directory)
    product_port, sandbox_port = processes.free_ports()
    addresses = f"http://localhost:{product_port}", f"http://127.0.0.1:{sandbox_port}"
    with processes.Children(keys.child_environment(directory, *addresses), directory) as children:
        processes.prepare(children)
        servers = Servers(children, product_port, sandbox_port)
        servers.start("product", servers.product, "/login/")
        servers.start("sandbox", servers.sandbox, "/login")
        yield servers


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory, prepared_demo: Path) -> Iterator[Servers]:
    yield from _serve(tmp_path_factory.mktemp("demo"), prepared_demo)


@pytest.fixture
def own_servers(tmp_path: Path, prepared_demo: Path) -> Iterator[Servers]:
    """A pair for a test that breaks it."""
    yield from _serve(tmp_path / "demo", prepared_demo)


@pytest.fixture
def chromium(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[webdriver.Chrome]:
    """A browser as good as fresh: no cookie, no cache, no history, no page, and nothing that a test has set.

    One process serves the session: starting it costs more than most tests. A test on ``live_server`` gets one of its
    own, for the server's threads end with the browser's connections, and may not outlive the test on SQLite.
    """
    if "live_server" in request.fixturenames:
        with _running(tmp_path / "profile") as driver:
            yield driver
        return
    driver = request.getfixturevalue("shared_chromium")
    driver.get("about:blank")
    driver.set_window_size(*WINDOW)
    for command, arguments in AS_FRESH:
        driver.execute_cdp_cmd(command, arguments)
    driver.get_log("browser")  # reading empties it
    yield driver


@pytest.fixture(scope="session")
def shared_chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    with _running(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


@contextmanager
def _running(profile: Path) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM or ""
    for flag in (*FLAGS, f"--user-data-dir={profile}", f"--window-size={WINDOW[0]},{WINDOW[1]}"):
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=Service(CHROMEDRIVER))
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
