"""Inside a site that hands every link and form to a script (htmx's ``hx-boost``, Turbo): ours work all the same.

A boosted form is sent by fetch, and fetch does not follow a redirect to thanks.io. htmx and Turbo come from npm
(``npm ci --prefix tests/e2e``).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib.auth import get_user_model
from django.http import HttpRequest, HttpResponse
from django.template import engines
from django.test import Client
from django.urls import include, path
from selenium import webdriver
from selenium.webdriver.support.wait import WebDriverWait

from tests.e2e.person import Person
from thanksio_connect.models import ConnectionTokens, ThanksIOConnection
from thanksio_connect.testing import FakeThanksIO

MODULES = Path(__file__).parent / "node_modules"
SCRIPTS = {
    "htmx": (MODULES / "htmx.org/dist/htmx.min.js", '<body hx-boost="true">', "return typeof window.htmx"),
    "turbo": (MODULES / "@hotwired/turbo/dist/turbo.es2017-umd.js", "<body>", "return typeof window.Turbo"),
}
BASE = """{% load i18n %}<!DOCTYPE html><html lang="en"><head><title>{% block title %}A site{% endblock %}</title>
<script src="/script.js"></script></head>BODY<main>{% block content %}{% endblock %}</main></body></html>"""
PAGE = """{% extends "thanksio_connect/base.html" %}{% load thanksio_connect %}{% block content %}<h1>A page</h1>
{% thanksio_reconnect_notice %}<div id="button">{% thanksio_connect_button %}</div>
<form id="control" method="post" action="/boosted/">{% csrf_token %}<button>Boosted</button></form>
<a id="to-connect" href="/thanksio/connect/?next=/">Connect</a>
<a id="to-status" href="/thanksio/">Status</a>{% endblock %}"""
pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(
        not all(script.exists() for script, _, _ in SCRIPTS.values()),
        reason="htmx and Turbo are not installed (npm ci --prefix tests/e2e)",
    ),
]
served: dict[str, bytes] = {}
fetched: list[str] = []


def page(request: HttpRequest) -> HttpResponse:
    return HttpResponse(engines["django"].from_string(PAGE).render({}, request))


def boosted(request: HttpRequest) -> HttpResponse:
    """Note how a form of the site itself is sent: by fetch, else the site would prove nothing."""
    fetched.append(request.headers["Sec-Fetch-Mode"])
    return page(request)


def script(request: HttpRequest) -> HttpResponse:
    return HttpResponse(served["script"], content_type="text/javascript")


urlpatterns = [
    path("", page),
    path("boosted/", boosted),
    path("script.js", script),
    path("thanksio/", include("thanksio_connect.urls")),
]


@pytest.fixture
def thanksio() -> Iterator[FakeThanksIO]:
    with FakeThanksIO() as server, server.override_settings():
        yield server


@pytest.fixture(params=SCRIPTS)
def site(request: pytest.FixtureRequest, settings, tmp_path: Path) -> str:
    source, body, present = SCRIPTS[request.param]
    (tmp_path / "templates" / "thanksio_connect").mkdir(parents=True)
    (tmp_path / "templates" / "thanksio_connect" / "base.html").write_text(BASE.replace("BODY", body))
    (engine,) = settings.TEMPLATES
    settings.TEMPLATES = [engine | {"DIRS": [tmp_path / "templates"]}]
    settings.ROOT_URLCONF = __name__
    served["script"] = source.read_bytes()
    fetched.clear()
    return present


@pytest.fixture
def person(site: str, chromium: webdriver.Chrome, live_server, screenshots: Path, thanksio: FakeThanksIO) -> Person:
    client = Client()
    client.force_login(get_user_model().objects.create_user("ann"))
    person = Person(chromium, live_server.url, thanksio.url, screenshots)
    person.go("/script.js")
    person.driver.add_cookie({"name": "sessionid", "value": client.cookies["sessionid"].value, "path": "/"})
    person.go("/")
    assert person.driver.execute_script(site) != "undefined"
    return person


def arrive(person: Person, css: str) -> None:
    """Wait for what a script puts into the page."""
    WebDriverWait(person.driver, 10).until(lambda driver: person.has(css))


def test_the_site_does_send_its_own_forms_by_fetch(person: Person):
    person.find("#control button").click()
    WebDriverWait(person.driver, 10).until(lambda driver: fetched)
    assert fetched == ["cors"]


def test_the_button_and_the_notice(person: Person):
    person.press("#button button")
    assert ThanksIOConnection.objects.get().is_connected
    assert person.driver.current_url == f"{person.product_url}/"
    ConnectionTokens.objects.update(status="reconnect_required")
    person.go("/")
    person.press(".thanksio-notice button")
    assert ThanksIOConnection.objects.get().is_connected


def test_the_connect_page_reached_by_a_boosted_link(person: Person):
    person.find("#to-connect").click()
    arrive(person, ".thanksio-link")
    person.press(".thanksio-button--connect")
    assert ThanksIOConnection.objects.get().is_connected
    assert person.driver.current_url == f"{person.product_url}/"


def test_the_status_page_and_the_page_that_disconnects(person: Person, thanksio: FakeThanksIO):
    thanksio.connect(get_user_model().objects.get())
    person.find("#to-status").click()
    arrive(person, ".thanksio-link--disconnect")
    person.find(".thanksio-link--disconnect").click()
    arrive(person, ".thanksio-button--disconnect")
    person.press(".thanksio-button--disconnect")
    assert not ThanksIOConnection.objects.exists()
    person.press(".thanksio-button--connect")
    assert ThanksIOConnection.objects.get().is_connected


def test_the_error_page(person: Person):
    person.go("/thanksio/callback/?state=unknown&code=unknown")
    person.press(".thanksio-button--connect")
    assert ThanksIOConnection.objects.get().is_connected
