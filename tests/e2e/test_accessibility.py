"""axe-core finds no violation of WCAG 2.2 A and AA on any page, in any state: light, dark, wide, narrow, mirrored.

Each page also fits at 200 % zoom and at 320 CSS pixels (WCAG 1.4.10), and with a reader's text spacing (1.4.12).
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from selenium import webdriver

from tests.e2e.audit import AXE, LOOKS, MISSING, Audit
from tests.e2e.person import Person
from tests.e2e.product import product_beside
from thanksio_connect.testing import ThanksIOServer

pytestmark = [pytest.mark.browser, pytest.mark.skipif(not AXE.exists(), reason=MISSING)]

ESTIMATE, ORDERS, SEND = "/estimate/postcard", "/orders/list", "/send/postcard"


@pytest.fixture(params=LOOKS)
def language(request: pytest.FixtureRequest) -> str:
    return request.param


def speak(person: Person, language: str) -> None:
    person.go("/login/")
    person.driver.add_cookie({"name": "postlight_language", "value": language, "path": "/"})


def test_every_page_of_product_and_sandbox(person_with_own_servers: Person, language: str):
    person = person_with_own_servers
    speak(person, language)
    audit = Audit(person, language)

    def visit(path: str, name: str) -> None:
        person.go(path)
        audit.page(name)

    visit("/", "home, not connected")
    assert person.find("html").get_attribute("dir") == ("rtl" if language == "ar" else "ltr")
    visit("/orders/", "orders, not connected")
    visit("/thanksio/", "connection, none")
    visit("/thanksio/connect/", "connect")
    visit("/nothing/", "404")
    visit("/thanksio/callback/?state=unknown&code=unknown", "callback, unknown state")
    person.press(".thanksio-button--connect")
    audit.page("sandbox sign-in")
    person.fill({"username": "demo", "password": "wrong"})
    person.press("form button[type=submit]")
    audit.page("sandbox sign-in, refused")
    person.fill({"username": "demo", "password": "demo"})
    person.press("form button[type=submit]")
    audit.page("sandbox consent")
    consent = person.driver.current_url
    person.driver.get(re.sub(r"client_id=\w+", "client_id=nobody", consent))
    audit.page("sandbox consent, unknown client")
    person.driver.get(f"{person.sandbox_url}/")
    audit.page("sandbox dashboard, empty")
    person.driver.get(consent)
    person.deny()
    audit.page("denied")
    person.connect()
    audit.page("connected")
    visit("/", "home, connected")
    visit("/orders/", "orders, none")
    visit("/thanksio/", "connection")
    visit("/thanksio/connect/", "connect again")
    visit("/thanksio/disconnect/", "disconnect")
    visit("/postcards/new/", "compose")
    person.press(".compose-submit button")
    audit.page("compose, incomplete")
    person.review()
    audit.page("review")
    person.press(".checkout form button.primary")
    audit.page("order")
    person.find(".confirm summary").click()
    audit.page("order, about to cancel")
    person.press(".confirm button")
    audit.page("order, cancelled")
    person.send(name="Grace Hopper")
    visit("/orders/", "orders")
    visit("/", "home")
    visit("/postcards/new/list/", "compose to a list")
    person.find("#id_message").send_keys("Dear customers")
    person.press(".compose-submit button")
    audit.page("review, to a list")
    person.press(".checkout form button.primary")
    audit.page("order, to a list")
    person.driver.get(f"{person.sandbox_url}/")
    audit.page("sandbox dashboard")
    person.press("form[action*=revoke] button")
    audit.page("sandbox dashboard, revoked")
    visit("/orders/", "orders, reconnect")
    visit("/", "home, reconnect")
    visit("/thanksio/", "connection, reconnect")
    person.press("form[action*=logout] button")
    audit.page("sign-in")
    person.fill({"username": "demo", "password": "wrong"})
    person.press("main form button[type=submit]")
    audit.page("sign-in, refused")
    assert audit.complaints == []


@pytest.fixture
def thanksio() -> Iterator[ThanksIOServer]:
    with ThanksIOServer() as server:
        yield server


Visitor = Callable[..., Person]


@pytest.fixture
def visitor(chromium: webdriver.Chrome, screenshots: Path, thanksio: ThanksIOServer, language: str) -> Visitor:
    def sit_down(product_url: str) -> Person:
        person = Person(chromium, product_url, thanksio.url, screenshots)
        person.sign_in()
        speak(person, language)
        return person

    return sit_down


def test_every_page_of_a_failure(
    visitor: Visitor, thanksio: ThanksIOServer, tmp_path: Path, prepared_demo: Path, language: str
):
    with product_beside(thanksio, tmp_path, prepared_demo) as product_url:
        person = visitor(product_url)
        audit = Audit(person, language)
        thanksio.next_token(lose_reply="before")
        person.go("/thanksio/connect/")
        person.press(".thanksio-button--connect")
        audit.page("callback, thanks.io does not answer")
        person.press(".thanksio-button--connect")
        assert person.is_at_product
        thanksio.next_api(ORDERS, status=500, body="<h1>x")
        person.go("/orders/")
        audit.page("orders, unusable answer")
        thanksio.next_api(ESTIMATE, status=422, body={"message": "no", "errors": {"recipients.0.city": ["Unknown."]}})
        person.review()
        audit.page("compose, refused by thanks.io")
        person.review()
        thanksio.next_api(SEND, status=402, body={"message": "no", "code": "api_disabled_payment_failures"})
        person.press(".checkout form button.primary")
        audit.page("review, payment needed")
        person.review()
        thanksio.next_api(SEND, lose_reply="before")
        person.press(".checkout form button.primary")
        audit.page("sending, outcome unknown")
        person.press(".checkout form button.primary")
        audit.page("sending, not found")
        person.go("/")
        audit.page("home, outcome unknown")
        person.go("/orders/999999/")
        audit.page("order of somebody else")
        _show_bounce_page(person)
        audit.page("callback, bounce")
        person.go("/")
        person.driver.delete_cookie("postlight_csrf")
        person.press("form[action*=logout] button")
        audit.page("403, form too old")
        with sqlite3.connect(tmp_path / "product.sqlite3") as database:
            database.execute("DROP TABLE product_postcard")
        database.close()
        person.go("/")
        audit.page("500")
        assert person.heading
    assert audit.complaints == []


def _show_bounce_page(person: Person) -> None:
    """The page leads on at once (WCAG 2.2.1 allows that, at a delay of zero): hold it, to look at it."""
    page = requests.get(f"{person.product_url}/thanksio/callback/?state=unknown&code=unknown", timeout=10).text
    held, refreshes = re.subn(r'<meta http-equiv="refresh" content="0; url=[^"]+">', "", page)
    assert refreshes == 1
    person.driver.get("about:blank")
    person.driver.execute_script("document.open(); document.write(arguments[0]); document.close();", held)


def test_page_of_a_site_that_is_not_set_up(
    visitor: Visitor, thanksio: ThanksIOServer, tmp_path: Path, prepared_demo: Path, language: str
):
    with product_beside(thanksio, tmp_path, prepared_demo, THANKSIO_CLIENT_ID="") as product_url:
        person = visitor(product_url)
        audit = Audit(person, language)
        person.go("/thanksio/connect/")
        audit.page("connect, not set up")
        assert person.has(".thanksio-button--back")
    assert audit.complaints == []
