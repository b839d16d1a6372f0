"""The main job without a mouse (WCAG 2.1.1, 2.4.3, 2.4.7) and without script."""

from __future__ import annotations

from typing import Any

import pytest
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from tests.e2e.person import WAIT_SECONDS, Person

pytestmark = pytest.mark.browser

# What has the focus: its words, whether it shows, and whether the outline around it can be seen.
FOCUSED = """
const element = document.activeElement;
if (element === document.body) return null;
const style = getComputedStyle(element), box = element.getBoundingClientRect();
const label = element.labels?.[0]?.innerText.trim();
return {
    words: label || element.innerText.trim() || element.getAttribute("aria-label"),
    outlined: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
    in_view: box.width > 0 && box.top >= 0 && box.left >= 0
        && box.bottom <= innerHeight && box.right <= innerWidth,
};
"""


class Typist:
    """Somebody with nothing but a keyboard."""

    def __init__(self, person: Person) -> None:
        self._driver = person.driver

    def press(self, key: str) -> None:
        self._driver.switch_to.active_element.send_keys(key)

    def tab(self) -> dict[str, Any] | None:
        """Move on and say where to; every stop must be seen. ``None`` at the end of the page."""
        self.press(Keys.TAB)
        focused = self._driver.execute_script(FOCUSED)
        if focused:
            assert focused["outlined"], focused
            assert focused["in_view"], focused
        return focused

    def stops(self) -> list[str]:
        """Every stop of the page, in order."""
        found = []
        while focused := self.tab():
            found.append(focused["words"])
        return found

    def tab_to(self, words: str) -> None:
        while focused := self.tab():
            if words in focused["words"]:
                return
        raise AssertionError(f"Tab never reaches {words}")

    def enter(self, expected_css: str) -> None:
        """Press Enter and wait for the page that it leads to."""
        self.press(Keys.ENTER)
        changing = [WebDriverException]  # the driver has several names for a page that goes away while it looks
        WebDriverWait(self._driver, WAIT_SECONDS, ignored_exceptions=changing).until(
            lambda driver: (
                driver.find_element(By.CSS_SELECTOR, expected_css).is_displayed()
                and driver.execute_script("return document.readyState") == "complete"
            )
        )

    def enter_password(self, name: str, expected_css: str) -> None:
        """The field for the name has the focus already."""
        self.press(name)
        self.tab()
        self.press(name)
        self.enter(expected_css)


@pytest.mark.parametrize("width", [1280, 390])
def test_tab_goes_through_the_page_as_it_is_read(person: Person, width: int):
    person.driver.set_window_size(width, 900)
    typist = Typist(person)
    person.go("/")
    menu = ["Skip to the content", "Postlight", "Home", "Write", "Orders", "Connection", "Sign out"]
    assert typist.stops()[:9] == [*menu, "Write a postcard", "Connect thanks.io"]
    person.go("/thanksio/connect/")
    assert typist.stops() == [*menu, "Continue to thanks.io", "Cancel"]


def test_connecting_and_disconnecting_by_keyboard(person: Person):
    typist = Typist(person)
    person.press("form[action*=logout] button")
    typist.enter_password("demo", ".connection-panel")
    typist.tab_to("Connect thanks.io")
    typist.enter("#id_password, button[name=allow]")
    if person.has("#id_password"):
        typist.enter_password("demo", "button[name=allow]")
    typist.tab_to("Allow")
    typist.enter(".messages")
    assert person.messages == ["Your thanks.io account is connected."]
    person.go("/thanksio/")
    typist.tab_to("Disconnect")
    typist.enter(".thanksio-button--disconnect")
    typist.tab_to("Disconnect thanks.io")
    typist.enter(".thanksio-status--none")
    assert person.messages == []  # the status page says it
    assert person.has(".thanksio-button--connect")


def test_skip_link_leads_to_the_content(person: Person):
    typist = Typist(person)
    typist.tab()
    typist.press(Keys.ENTER)
    assert typist.tab()["words"] == "Write a postcard"


def test_everything_works_without_script(person: Person):
    person.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    person.driver.get("data:text/html,<title>off</title><script>document.title = 'on'</script>")
    assert person.driver.title == "off"
    person.connect()
    assert person.messages == ["Your thanks.io account is connected."]
    person.send(name="Plain Paula")
    assert person.heading == "To Plain Paula"
    person.disconnect()
    assert person.has(".thanksio-button--connect")
