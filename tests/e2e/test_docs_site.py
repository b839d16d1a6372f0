"""The documentation as built: no warning, every public name in the inventory, links that lead somewhere, a search."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from tests.e2e.person import WIDTHS, Person
from tests.unit.test_public_surface import PUBLIC
from thanksio_connect import signals
from thanksio_connect.templatetags.thanksio_connect import register

pytest.importorskip("furo", reason="the extra docs is not installed")
pytest.importorskip("myst_parser", reason="the extra docs is not installed")

DOCS = Path(__file__).resolve().parents[2] / "docs"
WITH_DIAGRAMS = ("how_it_works", "architecture")


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", DOCS, target]
    quiet = {**os.environ, "PYTHONDEVMODE": ""}  # it shows what is deprecated in Sphinx's own extensions
    done = subprocess.run(command, capture_output=True, text=True, env=quiet)
    assert (done.returncode, done.stderr) == (0, "")
    return target


# The inventory


@pytest.fixture(scope="session")
def inventory(site: Path) -> dict[str, set[str]]:
    """Kind of object -> names, of the ``py`` domain."""
    from sphinx.util.inventory import InventoryFile

    with (site / "objects.inv").open("rb") as stream:
        data = InventoryFile.load(stream, "", lambda base, path: path)
    return {kind.removeprefix("py:"): set(names) for kind, names in data.items() if kind.startswith("py:")}


def names_of(item: type) -> list[str]:
    """Where users import it from."""
    module = item.__module__
    for front in ("thanksio_connect.models", "thanksio_connect.testing", "thanksio_connect.webhooks"):
        if module.startswith(f"{front}.") and hasattr(sys.modules[front], item.__name__):
            module = front
    return [f"{module}.{item.__name__}"]


def test_every_public_class_is_in_the_inventory(inventory):
    known = inventory["class"] | inventory["exception"]
    wanted = {name for item in PUBLIC for name in names_of(item)}
    assert wanted - known == set()
    assert len(wanted) == len({item.__qualname__ + item.__module__ for item in PUBLIC})


def test_every_public_method_is_in_the_inventory(inventory):
    known = set().union(*inventory.values())
    missing = [
        f"{name}.{member}"
        for item in PUBLIC
        for name in names_of(item)
        for member, value in vars(item).items()
        if not member.startswith("_") and (inspect.isfunction(value) or isinstance(value, property))
        if value.__doc__ and f"{name}.{member}" not in known
    ]
    engine_only = {"was_read_within", "doubt", "adopt"}
    assert [name for name in missing if name.rpartition(".")[2] not in engine_only] == []


def test_every_signal_and_tag_is_in_the_inventory(inventory):
    all_signals = {name for name, item in vars(signals).items() if isinstance(item, signals.Signal)}
    assert {f"thanksio_connect.signals.{name}" for name in all_signals} <= inventory["data"]
    tags = {f"thanksio_connect.templatetags.thanksio_connect.{name}" for name in register.tags}
    assert tags <= inventory["function"]
    assert {f"thanksio_connect.tasks.{name}" for name in ("refresh_due", "refresh_chunk")} <= inventory["function"]


# Links and assets


class Page(HTMLParser):
    """The ids and the addresses of one page."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.assets: list[str] = []
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {key: value or "" for key, value in attrs}
        self.ids |= {values[key] for key in ("id", "name") if key in values}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if tag in ("script", "img", "iframe") and "src" in values:
            self.assets.append(values["src"])
        if tag == "link" and values.get("rel") in ("stylesheet", "preload", "icon"):
            self.assets.append(values["href"])


@pytest.fixture(scope="session")
def built(site: Path) -> dict[Path, Page]:
    return {file: Page(file) for file in site.rglob("*.html")}


def test_every_internal_link_leads_to_a_place_on_a_page(built):
    lost = []
    for file, page in built.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or file.name in ("search.html", "genindex.html", "py-modindex.html"):
                continue
            target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            ids = built[target].ids if target in built else {parts.fragment}
            if not target.exists() or (parts.fragment and unquote(parts.fragment) not in ids):
                lost.append((file.name, link))
    assert lost == []


def test_no_page_asks_another_site_for_anything(built):
    foreign = {asset for page in built.values() for asset in page.assets if urlsplit(asset).netloc}
    assert foreign == set()


def test_external_links_are_https(built):
    plain = {link for page in built.values() for link in page.links if link.startswith("http://")}
    assert {link for link in plain if urlsplit(link).hostname not in ("localhost", "127.0.0.1")} == set()


# In a browser


@pytest.fixture
def person(chromium: webdriver.Chrome, site: Path, screenshots: Path) -> Person:
    return Person(chromium, site.as_uri(), "none", screenshots)


@pytest.mark.browser
@pytest.mark.parametrize(
    ("word", "page"),
    [
        ("webhook", "api/webhooks"),
        ("consent", "how_it_works"),
        ("500", "faq"),
        ("500", "errors"),
        ("lease", "how_it_works"),
    ],
)
def test_search_finds(person: Person, word, page):
    person.go(f"/search.html?q={word}")
    waiting = WebDriverWait(person.driver, 20)
    waiting.until(lambda driver: driver.find_elements(By.CSS_SELECTOR, "#search-results li a"))
    waiting.until(lambda driver: "matching" in driver.find_element(By.CSS_SELECTOR, ".search-summary").text)
    links = person.driver.find_elements(By.CSS_SELECTOR, "#search-results li a")
    addresses = [urlsplit(link.get_attribute("href")).path for link in links]
    assert any(address.endswith(f"/{page}.html") for address in addresses), addresses


@pytest.mark.browser
@pytest.mark.parametrize("page", ["index", "quickstart", "comparison", "demo", *WITH_DIAGRAMS, "reference/models"])
def test_pages_fit_every_window_in_both_schemes(person: Person, page):
    person.go(f"/{page}.html")
    person.picture(f"docs-{page.replace('/', '-')}")
    assert set(WIDTHS) == {1280, 390}


@pytest.mark.browser
@pytest.mark.parametrize("page", WITH_DIAGRAMS)
def test_no_label_of_a_diagram_leaves_it(person: Person, page):
    """Measured by the browser: each text lies within its drawing, and none lies upon another."""
    person.go(f"/{page}.html")
    boxes = person.driver.execute_script(
        """return [...document.querySelectorAll('.diagram svg')].map(svg => ({
            width: svg.viewBox.baseVal.width, height: svg.viewBox.baseVal.height,
            texts: [...svg.querySelectorAll('text')].map(text => {
                const box = text.getBBox(); return [text.textContent, box.x, box.y, box.width, box.height];
            })}))"""
    )
    assert boxes
    for drawing in boxes:
        for words, x, y, width, height in drawing["texts"]:
            assert x >= 0, words
            assert y >= -1, words
            assert x + width <= drawing["width"], words
            assert y + height <= drawing["height"] + 1, words
        for one in drawing["texts"]:
            for other in drawing["texts"]:
                assert one is other or not _overlap(one, other), (one, other)


def _overlap(one: list[float], other: list[float]) -> bool:
    _, x, y, width, height = one
    _, left, top, wide, high = other
    return x < left + wide and left < x + width and y + 3 < top + high - 3 and top + 3 < y + height - 3


def test_every_image_has_words(built):
    source = "".join(page.read_text(encoding="utf-8") for page in DOCS.rglob("*.md"))
    images = len(re.findall(r"^```\{image\}", source, re.MULTILINE))
    assert len(re.findall(r"^:alt: \S", source, re.MULTILINE)) == images
