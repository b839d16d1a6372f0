"""What a machine can tell about a page's accessibility: axe-core in the browser, and whether it reflows.

axe-core comes from npm (``npm ci --prefix tests/e2e``). The driver runs it, which no Content-Security-Policy prevents.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tests.e2e.person import Person

AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"
MISSING = "axe-core is not installed (npm ci --prefix tests/e2e)"
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
RUN = """
const done = arguments[arguments.length - 1];
// axe takes a page without a background for white; under a dark color-scheme it is not
if (getComputedStyle(document.body).backgroundColor === "rgba(0, 0, 0, 0)") document.body.style.background = "Canvas";
axe.run(document, {runOnly: {type: "tag", values: arguments[0]}, resultTypes: ["violations"]}).then(
    found => done(found.violations.flatMap(rule => rule.nodes.map(
        node => `${rule.id}: ${node.target.join(" ")}: ${node.failureSummary.replace(/\\s+/g, " ")}`))),
    error => done([`axe failed: ${error}`]));
"""
WIDEST = """
const page = document.documentElement;
if (page.scrollWidth <= page.clientWidth) return null;
const far = element => Math.max(element.getBoundingClientRect().right, -element.getBoundingClientRect().left);
const widest = [...document.body.querySelectorAll("*")].reduce((a, b) => far(b) > far(a) ? b : a);
return `${page.scrollWidth} px wide, at ${widest.tagName}.${widest.className}`;
"""
# WCAG 1.4.12: what a reader may set, without loss
SPACING = """
const sheet = new CSSStyleSheet();
sheet.replaceSync(`
    * { line-height: 1.5 !important; letter-spacing: 0.12em !important; word-spacing: 0.16em !important; }
    p { margin-block-end: 2em !important; }`);
document.adoptedStyleSheets = arguments[0] ? [sheet] : [];
"""


class Look(NamedTuple):
    """A window and the reader's preference. ``zoom``: device pixels a CSS pixel, so 640 at 2 is 1280 px at 200 %."""

    width: int
    scheme: str = "light"
    zoom: int = 1


LOOKS = {
    "en": [Look(1280), Look(1280, "dark"), Look(390), Look(390, "dark")],
    "ar": [Look(1280), Look(390, "dark")],
}
NARROW = [Look(640, zoom=2), Look(320)]


class Audit:
    """Collects what is wrong with the pages that a person comes along."""

    def __init__(self, person: Person, language: str = "en") -> None:
        self._person = person
        self._driver = person.driver
        self._looks = LOOKS[language]
        self._seen: set[str] = set()
        self.complaints: list[str] = []

    def page(self, name: str) -> None:
        """Judge the page that is shown now. With ``THANKSIO_SCREENSHOTS`` it is photographed as well."""
        assert name not in self._seen
        self._seen.add(name)
        self._driver.execute_script(AXE.read_text(encoding="utf-8"))
        for look in self._looks:
            with self._seen_as(look):
                for complaint in self._driver.execute_async_script(RUN, TAGS):
                    self._complain(name, look, complaint)
        for look in NARROW:
            with self._seen_as(look):
                self._must_fit(name, look)
        with self._seen_as(NARROW[0]):
            self._driver.execute_script(SPACING, True)
            self._must_fit(f"{name}, with text spacing", NARROW[0])
            self._driver.execute_script(SPACING, False)
        if os.environ.get("THANKSIO_SCREENSHOTS"):
            self._person.picture(name)

    def _must_fit(self, name: str, look: Look) -> None:
        if widest := self._driver.execute_script(WIDEST):
            self._complain(name, look, f"scrolls sideways: {widest}")

    def _complain(self, name: str, look: Look, complaint: str) -> None:
        self.complaints.append(f"{name} at {look.width} px, {look.scheme}: {complaint}")

    @contextmanager
    def _seen_as(self, look: Look) -> Iterator[None]:
        preferences = {"prefers-color-scheme": look.scheme, "prefers-reduced-motion": "reduce"}
        size: dict[str, Any] = {"width": look.width, "height": 844, "deviceScaleFactor": look.zoom, "mobile": False}
        features = [{"name": name, "value": value} for name, value in preferences.items()]
        self._driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        self._driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        try:
            yield
        finally:
            self._driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
            self._driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
