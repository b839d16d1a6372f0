"""What would stop the first click is found by manage.py check, and nothing else is."""

from __future__ import annotations

from types import ModuleType

import pytest
from django.conf.urls.i18n import i18n_patterns
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.core.checks import Error, Warning
from django.db import connections
from django.test.utils import override_script_prefix
from django.urls import get_script_prefix, include, path, re_path, set_script_prefix

from thanksio_connect import checks_surroundings as checks

OWN = include("thanksio_connect.urls")


class OwnAuthentication(AuthenticationMiddleware):
    """A project's."""


def project(*patterns) -> ModuleType:
    module = ModuleType("project_urls")
    module.urlpatterns = list(patterns)
    return module


def ids(found) -> list[str]:
    return [message.id.removeprefix("thanksio_connect.") for message in found]


def test_the_test_project_has_nothing_to_complain_of():
    assert checks.check_login() + checks.check_users_and_sessions() + checks.check_one_callback() == []


@pytest.mark.parametrize(
    "url", ["/accounts/login/", "/accounts/login", "login", "admin:login", "https://sso.example/in"]
)
def test_a_login_page_that_is_there(settings, url):
    settings.LOGIN_URL = url
    assert checks.check_login() == []


def test_a_login_page_that_the_locale_middleware_finds(settings):
    settings.ROOT_URLCONF = project(*i18n_patterns(path("login/", include("thanksio_connect.urls"))))
    settings.LOGIN_URL = "/login/"
    assert checks.check_login() == []


def test_the_default_of_a_fresh_project_leads_nowhere(settings):
    settings.ROOT_URLCONF = project(path("thanksio/", OWN))
    [found] = checks.check_login()
    assert (found.__class__, ids([found])) == (Warning, ["W010"])
    assert "/accounts/login/" in found.msg
    assert "admin:login" in found.hint


def test_a_name_of_no_url(settings):
    settings.LOGIN_URL = "sign-in"
    [found] = checks.check_login()
    assert (found.__class__, ids([found])) == (Error, ["E020"])


@pytest.mark.parametrize(
    ("missing", "expected"),
    [
        ("django.contrib.auth.middleware.AuthenticationMiddleware", ["W011"]),
        ("django.contrib.sessions.middleware.SessionMiddleware", ["W012"]),
    ],
)
def test_middleware_that_is_missing(settings, missing, expected):
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if name != missing] + ["nowhere.Middleware"]
    assert ids(checks.check_users_and_sessions()) == expected


def test_middleware_of_the_projects_own_counts(settings):
    usual = "django.contrib.auth.middleware.AuthenticationMiddleware"
    settings.MIDDLEWARE = [f"{__name__}.OwnAuthentication" if name == usual else name for name in settings.MIDDLEWARE]
    assert checks.check_users_and_sessions() == []


@pytest.mark.parametrize(("engine", "expected"), [("db", ["W012"]), ("signed_cookies", [])])
def test_the_session_app_is_needed_for_its_table(settings, monkeypatch, engine, expected):
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{engine}"
    known = checks.apps.is_installed
    monkeypatch.setattr(checks.apps, "is_installed", lambda name: name != "django.contrib.sessions" and known(name))
    assert ids(checks.check_users_and_sessions()) == expected


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (path("thanksio/", OWN), []),
        (path("<slug:tenant>/thanksio/", OWN), ["W014"]),
        (re_path(r"^(?P<tenant>\w+)/", include(([path("thanksio/", OWN)], "portal"))), ["W014"]),
    ],
)
def test_one_callback_or_many(settings, pattern, expected):
    settings.ROOT_URLCONF = project(pattern)
    assert ids(checks.check_one_callback()) == expected
    settings.THANKSIO_REDIRECT_URI = "https://shop.example/thanksio/callback/"
    assert checks.check_one_callback() == []


def test_a_callback_for_each_language(settings):
    settings.ROOT_URLCONF = project(*i18n_patterns(path("thanksio/", OWN)))
    [found] = checks.check_one_callback()
    assert ids([found]) == ["W013"]
    settings.THANKSIO_REDIRECT_URI = "not a URL"
    assert checks.check_one_callback() == []  # E003 says enough


@pytest.mark.parametrize(
    ("pattern", "where", "expected"),
    [
        (path("thanksio/", OWN), "/thanksio/callback/", []),
        (path("thanksio/", OWN), "/thanksio/callback", []),  # CommonMiddleware adds the slash, and keeps the query
        (path("thanksio/", OWN), "/thanksio/", ["W017"]),
        (path("thanksio/", OWN), "/", ["W017"]),
        (path("<slug:tenant>/thanksio/", OWN), "/acme/thanksio/callback/", []),
        (path("portal/", include(([path("mail/", OWN)], "portal"))), "/portal/mail/callback/", []),
        (path("", include([])), "/anywhere/", []),  # W003 says enough
    ],
)
def test_the_callback_is_at_the_redirect_uri(settings, pattern, where, expected):
    settings.ROOT_URLCONF = project(pattern)
    settings.THANKSIO_REDIRECT_URI = f"https://shop.example{where}"
    assert ids(checks.check_redirect_uri()) == expected
    settings.THANKSIO_REDIRECT_URI = "not a URL"
    assert checks.check_redirect_uri() == []  # E003 says enough


def test_the_callback_below_a_prefix_and_in_a_language(settings):
    settings.ROOT_URLCONF = project(*i18n_patterns(path("thanksio/", OWN)))
    settings.THANKSIO_REDIRECT_URI = "https://shop.example/app/en/thanksio/callback/"
    assert ids(checks.check_redirect_uri()) == ["W017"]
    with override_script_prefix("/app/"):
        assert checks.check_redirect_uri() == []


@pytest.mark.django_db
def test_tables(monkeypatch):
    assert checks.check_tables(databases=["default"]) == []
    assert checks.check_tables(databases=None) == []
    present = [name for name in connections["default"].introspection.table_names() if "connectiontokens" not in name]
    monkeypatch.setattr(connections["default"].introspection, "table_names", lambda: present)
    [found] = checks.check_tables(databases=["default"])
    assert ids([found]) == ["W015"]
    assert "thanksio_connect_connectiontokens" in found.msg
    assert "migrate" in found.hint


@pytest.mark.parametrize("quote", ["'", '"'])
@pytest.mark.parametrize("name", ["THANKSIO_CLIENT_SECRET", "THANKSIO_API_URL", "THANKSIO_PKCE"])
def test_quotes_that_docker_keeps(settings, monkeypatch, quote, name):
    from thanksio_connect.checks import check_settings

    if hasattr(settings, name):
        delattr(settings, name)
    monkeypatch.setenv(name, f"{quote}s3cr3t{quote}")
    [found] = check_settings()
    assert "is in quotes" in found.msg
    assert name in found.msg
    assert "s3cr3t" not in str(found)


@pytest.mark.parametrize(
    ("url", "urlconf", "expected"),
    [
        ("", "tests.urls", []),
        ("https://shop.example/thanksio/webhooks/", "tests.webhook_project_urls", []),
        ("https://shop.example/thanksio/webhooks", "tests.webhook_project_urls", []),
        ("https://shop.example/thanksio/webhooks/", "tests.urls", ["thanksio_connect.W018"]),
        ("https://shop.example/", "tests.webhook_project_urls", ["thanksio_connect.W018"]),
        ("https://shop.example/thanksio/", "tests.webhook_project_urls", ["thanksio_connect.W018"]),
        ("http://shop.example/", "tests.urls", []),  # E026
    ],
)
def test_webhooks_that_would_get_a_404_are_told(settings, url, urlconf, expected):
    settings.THANKSIO_WEBHOOKS_URL, settings.ROOT_URLCONF = url, urlconf
    assert [message.id for message in checks.check_webhooks()] == expected


def test_a_site_below_a_prefix_is_found(settings):
    settings.THANKSIO_WEBHOOKS_URL = "https://shop.example/shop/thanksio/webhooks/"
    settings.ROOT_URLCONF = "tests.webhook_project_urls"
    before = get_script_prefix()
    set_script_prefix("/shop/")
    try:
        assert checks.check_webhooks() == []
    finally:
        set_script_prefix(before)
