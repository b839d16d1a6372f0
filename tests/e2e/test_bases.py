"""The app's pages inside three bare sites: they inherit the site's look, and stay accessible in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from selenium import webdriver

from tests.e2e.audit import AXE, MISSING, Audit
from tests.e2e.person import Person
from thanksio_connect.models import ConnectionTokens
from thanksio_connect.testing import FakeThanksIO

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(not AXE.exists(), reason=MISSING),
]
BASES = Path(__file__).parent / "bases"


@pytest.fixture(params=["plain", "bootstrap_like", "tailwind_like"])
def base(request: pytest.FixtureRequest, settings) -> str:
    (engine,) = settings.TEMPLATES
    settings.TEMPLATES = [engine | {"DIRS": [BASES / request.param / "templates", BASES / "templates"]}]
    static = BASES / request.param / "static"
    settings.STATICFILES_DIRS = [static] if static.exists() else []
    settings.ROOT_URLCONF = "tests.e2e.bases.urls"
    return request.param


@pytest.fixture
def thanksio() -> Iterator[FakeThanksIO]:
    with FakeThanksIO() as server, server.override_settings():
        yield server


@pytest.fixture
def person(chromium: webdriver.Chrome, base: str, live_server, screenshots: Path, thanksio: FakeThanksIO) -> Person:
    client = Client()
    client.force_login(get_user_model().objects.create_user("alice"))
    person = Person(chromium, live_server.url, thanksio.url, screenshots)
    person.go("/nothing/")
    person.driver.add_cookie({"name": "sessionid", "value": client.cookies["sessionid"].value, "path": "/"})
    return person


def test_every_page_and_state_inside_another_site(person: Person, base: str):
    audit = Audit(person)

    def visit(path: str, name: str) -> None:
        person.go(path)
        assert person.has("header, nav") == (base != "plain")
        audit.page(f"{base} {name}")

    visit("/", "page, not connected")
    visit("/thanksio/", "connection, none")
    visit("/thanksio/connect/", "connect")
    visit("/thanksio/callback/?state=unknown&code=unknown", "callback, unknown state")
    person.go("/thanksio/connect/")
    person.press("main button[type=submit]")
    assert "Your thanks.io account has been connected since" in person.find("body").text
    audit.page(f"{base} connected")
    visit("/", "page, connected")
    visit("/thanksio/disconnect/", "disconnect")
    ConnectionTokens._base_manager.update(status="reconnect_required")
    visit("/", "page, reconnect")
    visit("/thanksio/", "connection, reconnect")
    assert audit.complaints == []
