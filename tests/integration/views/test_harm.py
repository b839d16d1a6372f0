"""Whoever means harm: addresses that a request brings along, old callbacks asked for again and again, odd mounts."""

from __future__ import annotations

import time
from types import ModuleType

import pytest
from django.http import HttpResponse
from django.template import engines
from django.urls import include, path, re_path

from tests.integration.browsing import CALLBACK, CONNECT, STATUS, Browser, connection_of, path_of, query_of
from thanksio_connect.models import AuthorizationRequest, ThanksIOConnection

pytestmark = pytest.mark.django_db
OWN = include("thanksio_connect.urls")


def page(request, **captured):
    source = "{% load thanksio_connect %}{% thanksio_connect_button %}"
    return HttpResponse(engines["django"].from_string(source).render({}, request))


def project(*patterns) -> ModuleType:
    module = ModuleType("project_urls")
    module.urlpatterns = [*patterns, path("accounts/", include("django.contrib.auth.urls"))]
    return module


def ask(browser: Browser, address: str) -> HttpResponse:
    """As a server gives the path to Django; the test client by itself takes ``//evil.example/`` for a host."""
    where, _, query = address.partition("?")
    return browser.get("/", PATH_INFO=where, QUERY_STRING=query)


@pytest.mark.parametrize("prefix", ["//evil.example/", "///evil.example/", "/\\evil.example/", "/x/"])
def test_the_page_that_comes_again_leads_to_this_site(settings, prefix):
    settings.ROOT_URLCONF = project(re_path(r"thanksio/", OWN))
    response = ask(Browser(), f"{prefix}thanksio/callback/?state=s&code=c")
    assert response.status_code == 200
    assert 'content="0; url=/thanksio/callback/?state=s' in response.content.decode()
    assert "evil" not in response.content.decode()


@pytest.mark.parametrize("prefix", ["//evil.example/", "/x/"])
def test_no_page_repeats_the_address_that_it_was_asked_by(browser, thanksio, settings, prefix):
    settings.ROOT_URLCONF = project(re_path(r"thanksio/", OWN))
    thanksio.connect(browser_user := ThanksIOConnection._meta.get_field("user").related_model.objects.get())
    for name in ("", "connect/", "disconnect/", "callback/?state=x&code=y"):
        assert "evil" not in ask(browser, f"{prefix}thanksio/{name}").content.decode(), name
    assert "evil" not in ask(Browser(), f"{prefix}thanksio/connect/")["Location"]
    assert connection_of(browser_user)


def test_the_buttons_way_back_stays_on_this_site(browser, settings):
    settings.ROOT_URLCONF = project(path("thanksio/", OWN), re_path(r"page/", page))
    html = ask(browser, "//evil.example/page/").content.decode()
    assert 'action="/thanksio/connect/"' in html
    assert 'name="next"' not in html


def test_an_old_callback_holds_no_worker(browser, user, thanksio, django_assert_max_num_queries):
    callback = browser.allow(thanksio)
    AuthorizationRequest.objects.all().delete()
    started = time.monotonic()
    for _ in range(20):
        with django_assert_max_num_queries(5):
            response = browser.get(callback)
        assert response.status_code == 200
        assert "refresh" in response.content.decode()
    assert time.monotonic() - started < 3
    assert thanksio.requests == [thanksio.requests[0]]  # the authorization page, and nothing since


def test_a_double_click_ends_at_the_connection(browser, user, thanksio):
    callback = browser.allow(thanksio)
    AuthorizationRequest.objects.all().delete()  # the first of the two has just consumed it
    again = callback
    for looks in range(1, 3):
        content = browser.get(again).content.decode()
        again = f"{callback}&returned={looks}"
        assert f"returned={looks}" in content
        assert 'content="1; url=' in content
    thanksio.connect(user)
    assert browser.get(again)["Location"] == STATUS


def test_it_does_not_come_again_for_ever(browser, thanksio):
    callback = browser.allow(thanksio)
    AuthorizationRequest.objects.all().delete()
    response = browser.get(f"{callback}&returned=4")
    assert response.status_code == 409
    assert "was used already, and your account is not connected" in response.content.decode()


MOUNTS = {
    "a tenant": ([path("<slug:tenant>/thanksio/", OWN), path("<slug:tenant>/page/<int:pk>/", page)], "/acme/"),
    "a tenant, by a pattern": (
        [re_path(r"^(?P<tenant>\w+)/thanksio/", OWN), re_path(r"^(?P<tenant>\w+)/page/(?P<pk>\d+)/$", page)],
        "/acme/",
    ),
    "a tenant around a namespace": (
        [path("<slug:tenant>/", include(([path("thanksio/", OWN), path("page/<int:pk>/", page)], "portal")))],
        "/acme/",
    ),
    "an unnamed group": ([re_path(r"^(acme|other)/thanksio/", OWN)], "/acme/"),
}


@pytest.mark.parametrize("mount", MOUNTS)
def test_under_a_captured_part(browser, user, thanksio, settings, mount):
    patterns, base = MOUNTS[mount]
    settings.ROOT_URLCONF = project(*patterns)
    own = f"{base}thanksio/"
    assert f'action="{own}connect/"' in browser.get(own).content.decode()
    if mount != "an unnamed group":  # another page can't know it
        assert f'action="{own}connect/"' in browser.get(f"{base}page/7/").content.decode()
    started = browser.post(f"{own}connect/")["Location"]
    assert query_of(started)["redirect_uri"] == f"https://testserver{own}callback/"
    assert browser.get(path_of(thanksio.visit(started)))["Location"] == own
    assert connection_of(user)
    assert browser.post(f"{own}disconnect/")["Location"] == own
    assert Browser().get(f"{own}connect/")["Location"] == f"/accounts/login/?next={own}connect/"


def test_the_button_where_the_pages_are_not_included(browser, settings, caplog):
    settings.ROOT_URLCONF = project(path("page/", page))
    shown = browser.get("/page/").content.decode()
    assert "not set up on this site yet" in shown
    assert "urls" not in shown
    settings.DEBUG = True
    assert "include(&quot;thanksio_connect.urls&quot;)" in browser.get("/page/").content.decode()
    assert "leads nowhere" in caplog.text


def test_without_the_users_middleware_the_error_says_what_to_add(settings):
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if "auth" not in name and "messages" not in name]
    browser = Browser(raise_request_exception=False)
    with pytest.raises(Exception, match=r"AuthenticationMiddleware to MIDDLEWARE"):
        Browser().get(CONNECT)
    assert browser.get(f"{CALLBACK}?state=s&code=c").status_code == 503
