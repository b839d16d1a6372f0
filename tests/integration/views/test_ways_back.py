"""No dead ends, and nothing said twice: where a user comes from, who is signed in, which account."""

from __future__ import annotations

import pytest
from django.http import HttpResponse
from django.template import engines
from django.urls import include, path

from tests.integration.browsing import CONNECT, DISCONNECT, STATUS, Browser, messages_of
from thanksio_connect.models import ThanksIOConnection

pytestmark = pytest.mark.django_db
BUTTONS = {
    "default": "{% thanksio_connect_button %}",
    "explicit": "{% thanksio_connect_button next='/welcome/' %}",
    "off": "{% thanksio_connect_button next='' %}",
    "notice": "{% thanksio_reconnect_notice %}",
}


def page(request, button):
    source = "{% load thanksio_connect %}" + BUTTONS[button]
    return HttpResponse(engines["django"].from_string(source).render({}, request))


urlpatterns = [
    path("thanksio/", include("thanksio_connect.urls")),
    path("accounts/", include("django.contrib.auth.urls")),
    path("letters/<str:button>/", page),
]
pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]


@pytest.mark.parametrize(
    ("button", "expected"),
    [("default", 'value="/letters/default/?page=2"'), ("explicit", 'value="/welcome/"'), ("off", None)],
)
def test_what_the_button_carries(browser, button, expected):
    html = browser.get(f"/letters/{button}/?page=2").content.decode()
    assert expected in html if expected else 'name="next"' not in html


def test_the_projects_own_landing_page_wins_over_the_default(browser, settings):
    settings.THANKSIO_CONNECTED_URL = "/hooray/"
    assert 'name="next"' not in browser.get("/letters/default/").content.decode()
    assert 'value="/welcome/"' in browser.get("/letters/explicit/").content.decode()


def test_a_forms_answer_is_no_place_to_come_back_to(browser):
    assert 'name="next"' not in browser.post("/letters/default/").content.decode()


def test_back_where_the_button_stood_with_one_message(browser, thanksio):
    response = browser.get(browser.allow(thanksio, next="/letters/default/?page=2"))
    assert response["Location"] == "/letters/default/?page=2"
    assert messages_of(response) == ["Your thanks.io account is connected."]


def test_on_the_status_page_nothing_is_said_twice(browser, thanksio):
    callback = browser.allow(thanksio)
    for _ in range(2):
        response = browser.get(callback)
        assert (response["Location"], messages_of(response)) == (STATUS, [])
    assert browser.get(STATUS).content.decode().count("connected since") == 1


def test_connected_leads_to_the_status_page_and_back(browser, user, thanksio):
    thanksio.connect(user)
    assert f'href="{STATUS}?next=%2Fletters%2Fdefault%2F"' in browser.get("/letters/default/").content.decode()
    html = browser.get(f"{STATUS}?next=/letters/default/").content.decode()
    assert '<a class="thanksio-link" href="/letters/default/">Back to where you were</a>' in html
    assert f'href="{DISCONNECT}?next=%2Fletters%2Fdefault%2F"' in html
    assert "evil" not in browser.get(f"{STATUS}?next=https://evil.example/").content.decode()


def test_without_next_the_landing_page_or_the_home_page(browser, settings):
    assert "thanksio-back" not in browser.get(STATUS).content.decode()  # this project has no home
    settings.THANKSIO_CONNECTED_URL = "/hooray/"
    assert 'href="/hooray/">Back to the site' in browser.get(STATUS).content.decode()
    settings.THANKSIO_CONNECTED_URL = ""
    settings.ROOT_URLCONF = "tests.e2e.bases.urls"
    assert 'href="/">Back to the site' in browser.get(STATUS).content.decode()


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [("", "", "alice"), ("Alice", "Liddell", "Alice Liddell (alice)"), ("alice", "", "alice")],
)
def test_who_is_signed_in(browser, user, thanksio, first, last, expected):
    user.first_name, user.last_name = first, last
    user.save()
    for address in (STATUS, CONNECT):
        assert f"<dd>{expected}</dd>" in browser.get(address).content.decode()
    thanksio.connect(user)
    assert f"<dd>{expected}</dd>" in browser.get(DISCONNECT).content.decode()


def test_a_name_is_no_markup(browser, user):
    user.first_name = "<script>alert(1)</script>"
    user.save()
    assert "<script>" not in browser.get(STATUS).content.decode()


def test_which_account_where_that_is_known(browser, user, thanksio):
    thanksio.connect(user, user_id=48211)
    assert "<dd>48211</dd>" in browser.get(STATUS).content.decode()
    ThanksIOConnection.objects.update(thanksio_user_id="")
    assert "thanks.io account</dt>" not in browser.get(STATUS).content.decode()


def test_an_error_page_leads_on_and_back(browser, thanksio):
    thanksio.next_token(status=500)
    response = browser.get(browser.allow(thanksio, next="/letters/default/"))
    assert response.status_code == 502
    assert '<a class="thanksio-link" href="/letters/default/">Not now</a>' in response.content.decode()


@pytest.mark.parametrize(("value", "expected"), [(True, 1), (False, 0), ("maybe", 0)])
def test_the_stylesheet_is_off_by_one_setting(browser, settings, value, expected):
    settings.THANKSIO_STYLESHEET = value
    html = browser.get(STATUS).content.decode()
    assert html.count('<link rel="stylesheet" href="/static/thanksio_connect/thanksio_connect.css">') == expected


@pytest.mark.parametrize("address", [STATUS, "/thanksio/callback/?state=s&code=c"])
def test_a_stylesheet_that_was_not_collected_breaks_no_page(browser, settings, caplog, address):
    storage = {"BACKEND": "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"}
    settings.STORAGES = settings.STORAGES | {"staticfiles": storage}
    response = browser.get(address)
    assert response.status_code in (200, 400)
    assert "stylesheet" not in response.content.decode()
    assert "have no style" in caplog.text


def test_two_visitors_are_not_mixed_up(user):
    assert Browser().get(STATUS)["Location"].startswith("/accounts/login/")
