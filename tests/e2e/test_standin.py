"""The stand-in's own pages, as a newcomer meets them in a browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from selenium import webdriver

from tests.e2e.audit import AXE, MISSING, Audit
from tests.e2e.person import Person
from thanksio_connect.models import ThanksIOConnection
from thanksio_connect.testing import FakeThanksIO

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.e2e.bases.urls")]


@pytest.fixture
def thanksio() -> Iterator[FakeThanksIO]:
    with FakeThanksIO(auto_allow=False) as server, server.override_settings():
        yield server


@pytest.fixture
def person(chromium: webdriver.Chrome, live_server, screenshots: Path, thanksio: FakeThanksIO) -> Person:
    client = Client()
    client.force_login(get_user_model().objects.create_user("ann"))
    person = Person(chromium, live_server.url, thanksio.url, screenshots)
    person.go("/nothing/")
    person.driver.add_cookie({"name": "sessionid", "value": client.cookies["sessionid"].value, "path": "/"})
    return person


def test_allow_and_deny(person: Person):
    person.go("/thanksio/connect/")
    person.press(".thanksio-button--connect")
    assert person.is_at_sandbox
    person.press("button[value=deny]")
    assert "You did not allow the connection to thanks.io." in person.find("body").text
    person.press(".thanksio-button--connect")
    person.press("button[value=allow]")
    assert ThanksIOConnection.objects.get().is_connected
    assert person.is_at_product


def test_access_is_removed_where_the_page_that_disconnects_says(person: Person, thanksio: FakeThanksIO):
    thanksio.connect(get_user_model().objects.get())
    person.go("/thanksio/disconnect/")
    person.press("p a.thanksio-link")
    assert person.driver.current_url == f"{thanksio.url}/profile/api"
    person.press("form button")
    assert "0 connections have access" in person.text
    assert [grant.cause_of_death for grant in thanksio.grants] == ["revoked_by_user"]


@pytest.mark.skipif(not AXE.exists(), reason=MISSING)
def test_its_pages_are_accessible(person: Person, thanksio: FakeThanksIO):
    audit = Audit(person)
    person.driver.get(thanksio.url)
    audit.page("standin-home")
    person.go("/thanksio/connect/")
    person.press(".thanksio-button--connect")
    audit.page("standin-consent")
    thanksio.connect(get_user_model().objects.get())
    person.driver.get(f"{thanksio.url}/profile/api")
    audit.page("standin-access")
    person.driver.get(f"{thanksio.authorize_url}?client_id=another")
    audit.page("standin-refused")
    assert audit.complaints == []
