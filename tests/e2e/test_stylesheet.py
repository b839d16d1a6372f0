"""The app's own pages in a bare project, with the app's stylesheet and without: accessible, and nothing said twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from selenium import webdriver
from selenium.webdriver.common.by import By

from tests.e2e.audit import AXE, MISSING, Audit
from tests.e2e.person import Person
from thanksio_connect.models import ConnectionTokens
from thanksio_connect.testing import FakeThanksIO

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(not AXE.exists(), reason=MISSING),
]
SHEET = "return [...document.styleSheets].map(sheet => new URL(sheet.href).pathname)"


@pytest.fixture
def thanksio() -> Iterator[FakeThanksIO]:
    with FakeThanksIO() as server, server.override_settings():
        yield server


@pytest.fixture
def person(chromium: webdriver.Chrome, live_server, settings, screenshots: Path, thanksio: FakeThanksIO) -> Person:
    settings.ROOT_URLCONF = "tests.e2e.bases.urls"
    (engine,) = settings.TEMPLATES
    settings.TEMPLATES = [engine | {"DIRS": [Path(__file__).parent / "bases" / "templates"]}]
    user = get_user_model().objects.create_user("ann", first_name="Ann", last_name="Smith")
    client = Client()
    client.force_login(user)
    person = Person(chromium, live_server.url, thanksio.url, screenshots)
    person.go("/nothing/")
    person.driver.add_cookie({"name": "sessionid", "value": client.cookies["sessionid"].value, "path": "/"})
    return person


@pytest.mark.parametrize("language", ["en", "ar"])
@pytest.mark.parametrize("is_styled", [True, False], ids=["styled", "bare"])
def test_every_page_and_state(person: Person, thanksio: FakeThanksIO, settings, is_styled: bool, language: str):
    settings.THANKSIO_STYLESHEET = is_styled
    person.driver.add_cookie({"name": "django_language", "value": language, "path": "/"})
    audit = Audit(person, language)
    look = "styled" if is_styled else "bare"

    def visit(path: str, name: str) -> None:
        person.go(path)
        sheets = person.driver.execute_script(SHEET)
        assert sheets == (["/static/thanksio_connect/thanksio_connect.css"] if is_styled else [])
        assert person.find("html").get_attribute("dir") == ("rtl" if language == "ar" else "ltr")
        audit.page(f"{look}-{language}-{name}")

    visit("/thanksio/", "none")
    visit("/thanksio/connect/?next=/", "connect")
    visit("/thanksio/callback/?state=unknown&code=unknown", "error")
    thanksio.deny()
    person.go("/thanksio/connect/")
    person.press("main button[type=submit]")
    audit.page(f"{look}-{language}-denied")
    thanksio.allow()
    person.press("main button[type=submit]")
    assert "Ann Smith (ann)" in person.text
    assert person.driver.find_elements(By.CSS_SELECTOR, ".thanksio-message") == []
    ConnectionTokens.objects.get().connection.__class__.objects.update(thanksio_user_id="48211")
    visit("/thanksio/?next=/", "connected")
    assert "48211" in person.text
    visit("/thanksio/disconnect/", "disconnect")
    settings.THANKSIO_CLIENT_ID = ""
    visit("/thanksio/connect/", "not-set-up")
    ConnectionTokens.objects.update(status="reconnect_required")
    visit("/thanksio/", "reconnect")
    assert audit.complaints == []


@pytest.mark.parametrize(("path", "css"), [("/thanksio/", ".thanksio-button--reconnect")])
def test_reconnect_is_the_strongest_thing_on_its_page(person: Person, thanksio: FakeThanksIO, path: str, css: str):
    connection = thanksio.connect(get_user_model().objects.get())
    ConnectionTokens.objects.filter(connection=connection).update(status="reconnect_required")
    person.go(path)
    button, link = person.find(css), person.find(".thanksio-link--disconnect")
    ground = "return getComputedStyle(arguments[0]).backgroundColor"
    assert person.driver.execute_script(ground, button) == "rgb(11, 90, 143)"
    assert person.driver.execute_script(ground, link) == "rgba(0, 0, 0, 0)"


def test_the_button_leads_back_to_where_it_stood(person: Person, thanksio: FakeThanksIO):
    person.go("/?from=here")
    person.press(".thanksio-button--connect")
    assert person.driver.current_url == f"{person.product_url}/?from=here"
    person.press(".thanksio-button--connected")
    person.press(".thanksio-back a")
    assert person.driver.current_url == f"{person.product_url}/?from=here"
