"""Somebody in front of the browser: what they do at the product and at thanks.io's stand-in, and what they see."""

from __future__ import annotations

from pathlib import Path

from selenium.common.exceptions import NoSuchElementException, WebDriverException
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from tests.e2e.letters import LETTER

WAIT_SECONDS = 15
WIDTHS = (1280, 390)


class Person:
    """Drives one browser. Every step waits for the page that it leads to."""

    def __init__(self, driver: Chrome, product_url: str, sandbox_url: str, screenshots: Path) -> None:
        self.driver = driver
        self.product_url = product_url
        self.sandbox_url = sandbox_url
        self._screenshots = screenshots

    # Looking

    @property
    def is_at_product(self) -> bool:
        return self.driver.current_url.startswith(f"{self.product_url}/")

    @property
    def is_at_sandbox(self) -> bool:
        return self.driver.current_url.startswith(f"{self.sandbox_url}/")

    @property
    def heading(self) -> str:
        return self.driver.find_element(By.TAG_NAME, "h1").text

    @property
    def text(self) -> str:
        return self.driver.find_element(By.TAG_NAME, "main").text

    @property
    def messages(self) -> list[str]:
        return [element.text for element in self.driver.find_elements(By.CSS_SELECTOR, ".messages .notice")]

    def find(self, css: str) -> WebElement:
        try:
            return self.driver.find_element(By.CSS_SELECTOR, css)
        except NoSuchElementException:
            raise AssertionError(f"no {css} at {self.driver.current_url}:\n{self.driver.page_source}") from None

    def has(self, css: str) -> bool:
        return bool(self.driver.find_elements(By.CSS_SELECTOR, css))

    def wait_for(self, css: str, start: str) -> None:
        """Wait until the page shows it, with no doing of anybody's."""
        waiting = WebDriverWait(self.driver, WAIT_SECONDS, ignored_exceptions=[WebDriverException])
        waiting.until(lambda driver: driver.find_element(By.CSS_SELECTOR, css).text.startswith(start), f"no {start}")

    def cookies(self) -> dict[str, dict[str, object]]:
        """The cookies of the page's host, by name."""
        return {cookie["name"]: cookie for cookie in self.driver.get_cookies()}

    def picture(self, name: str) -> None:
        """Save the whole page at each width, light and dark; a page that scrolls sideways is a failure."""
        for width in WIDTHS:
            for scheme in ("light", "dark"):
                self._take(name, width, scheme)
        self.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})

    def _take(self, name: str, width: int, scheme: str) -> None:
        preferences = {"prefers-color-scheme": scheme, "prefers-reduced-motion": "reduce"}
        features = [{"name": name, "value": value} for name, value in preferences.items()]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        size = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        page_width, page_height = self.driver.execute_script(
            "const page = document.documentElement; return [page.scrollWidth, page.scrollHeight];"
        )
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size | {"height": page_height})
        suffix = "" if scheme == "light" else "-dark"
        self.driver.save_screenshot(str(self._screenshots / f"{name}-{width}{suffix}.png"))
        assert page_width <= width, f"{name} scrolls sideways at {width} px: {page_width} px"

    # Doing

    def go(self, path: str) -> None:
        self.driver.get(self.product_url + path)

    def press(self, css: str) -> None:
        """Press what leads to another page, and wait until that is there."""
        element = self.find(css)
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
        page = self.find("html")
        element.click()
        changing = [WebDriverException]  # the driver has several names for a page that goes away while it looks
        waiting = WebDriverWait(self.driver, WAIT_SECONDS, ignored_exceptions=changing)
        waiting.until(
            lambda driver: _is_gone(page) and driver.execute_script("return document.readyState") == "complete"
        )

    def sign_in(self, username: str = "demo") -> None:
        self.go("/login/")
        self.fill({"username": username, "password": username})
        self.press("main form button[type=submit]")
        assert self.is_at_product

    def disconnect_if_connected(self) -> None:
        self.go("/thanksio/")
        if self.has(".thanksio-link--disconnect"):
            self.disconnect()

    def disconnect(self) -> None:
        self.go("/thanksio/disconnect/")
        self.press(".thanksio-button--disconnect")

    def start_connecting(self, path: str = "/", button: str = ".thanksio-button--connect") -> None:
        """Press the button and get as far as the question at thanks.io, signing in there if it asks."""
        self.go(path)
        self.press(button)
        assert self.is_at_sandbox, self.driver.current_url
        if self.has("#id_password"):
            self.fill({"username": "demo", "password": "demo"})
            self.press("main form button[type=submit], form button[type=submit]")
        assert self.has("button[name=allow]"), self.driver.current_url

    def allow(self) -> None:
        self.press("button[name=allow]")

    def deny(self) -> None:
        self.press(".decision button:not([name])")

    def connect(self, path: str = "/") -> None:
        self.start_connecting(path)
        self.allow()

    def revoke_at_thanksio(self) -> None:
        """Take the product's access away, on thanks.io's side."""
        self.driver.get(f"{self.sandbox_url}/")
        self.press("form[action*=revoke] button")

    def write(self, **changes: str) -> None:
        """Fill in a postcard and go on to its review."""
        self.go("/postcards/new/")
        self.fill(LETTER | changes)

    def review(self, **changes: str) -> None:
        self.write(**changes)
        self.press(".compose-submit button")

    def send(self, **changes: str) -> None:
        self.review(**changes)
        self.press(".checkout form button.primary")

    def fill(self, values: dict[str, str]) -> None:
        for name, value in values.items():
            field = self.find(f"#id_{name}")
            field.clear()
            field.send_keys(value)


def _is_gone(element: WebElement) -> bool:
    try:
        element.is_enabled()
    except Exception:
        return True
    return False
