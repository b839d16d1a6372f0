"""Host projects that are unlike the others: nobody is stranded, and nothing is lost."""

from types import ModuleType

import pytest
from django.conf.urls.i18n import i18n_patterns
from django.contrib import admin
from django.db import connection as database
from django.http import HttpResponse
from django.template import engines
from django.urls import include, path
from django.views.i18n import set_language

from tests.integration.browsing import (
    CALLBACK,
    CONNECT,
    DISCONNECT,
    STATUS,
    Browser,
    connection_of,
    make_user,
    messages_of,
    path_of,
    query_of,
)
from thanksio_connect import checks, signals
from thanksio_connect.flows.browser import COOKIE_NAME
from thanksio_connect.models import AuthorizationRequest, ThanksIOConnection
from thanksio_connect.testing import FakeThanksIO

pytestmark = pytest.mark.django_db

MIDDLEWARE = "tests.integration.attack_middleware"


def page_with_tags(request):
    source = "{% load thanksio_connect %}{% thanksio_connect_button next='/x/' %}{% thanksio_reconnect_notice %}"
    return HttpResponse(engines["django"].from_string(source).render({}, request))


def project(*patterns):
    """A URLconf with the usual rest."""
    usual = [
        path("admin/", admin.site.urls),
        path("accounts/", include("django.contrib.auth.urls")),
        path("language/", set_language, name="set_language"),
        path("product/", page_with_tags),
    ]
    module = ModuleType("project_urls")
    module.urlpatterns = [*usual, *patterns]
    return module


OWN = include("thanksio_connect.urls")
MOUNTS = {
    "a namespace around it": (
        project(path("portal/", include(([path("thanksio/", OWN)], "portal")))),
        "/portal/thanksio/",
    ),
    "two namespaces around it": (
        project(path("a/", include(([path("b/", include(([path("thanksio/", OWN)], "inner")))], "outer")))),
        "/a/b/thanksio/",
    ),
    "an instance namespace": (
        project(path("mail/", include("thanksio_connect.urls", namespace="mail"))),
        "/mail/",
    ),
    "an instance inside a namespace": (
        project(path("p/", include(([path("m/", include("thanksio_connect.urls", namespace="mail"))], "portal")))),
        "/p/m/",
    ),
    "a language prefix": (project(*i18n_patterns(path("thanksio/", OWN))), "/en/thanksio/"),
    "the root": (project(path("", OWN)), "/"),
}


@pytest.mark.parametrize("mount", MOUNTS)
def test_every_page_works_wherever_the_project_mounts_it(browser, user, thanksio, settings, mount):
    settings.ROOT_URLCONF, base = MOUNTS[mount]
    assert checks.check_urls() == []
    assert f'action="{base}connect/"' in browser.get("/product/").content.decode()
    assert f'action="{base}connect/"' in browser.get(f"{base}connect/").content.decode()
    started = browser.post(f"{base}connect/", {"next": "/x/"})
    assert query_of(started["Location"])["redirect_uri"] == f"https://testserver{base}callback/"
    assert browser.cookies[COOKIE_NAME]["path"] == base
    assert browser.get(path_of(thanksio.visit(started["Location"])))["Location"] == "/x/"
    assert f'href="{base}disconnect/"' in browser.get(base).content.decode()
    assert browser.get(base, headers={"accept": "application/json"}).json()["connect_url"] == f"{base}connect/"
    assert browser.get(f"{base}callback/").status_code == 400
    assert browser.post(f"{base}disconnect/")["Location"] == base
    assert Browser().get(f"{base}connect/")["Location"] == f"/accounts/login/?next={base}connect/"


def test_two_mounts_keep_to_themselves(browser, thanksio, settings):
    one = path("one/", include("thanksio_connect.urls", namespace="one"))
    two = path("two/", include("thanksio_connect.urls", namespace="two"))
    settings.ROOT_URLCONF = project(one, two)
    for base in ("/one/", "/two/"):
        started = browser.post(f"{base}connect/")["Location"]
        assert browser.get(path_of(thanksio.visit(started)))["Location"] == base


def test_callback_registered_without_the_language_finds_its_page(browser, user, thanksio, settings):
    """Django's LocaleMiddleware adds the prefix with a redirect; the cookie comes along."""
    settings.ROOT_URLCONF = project(*i18n_patterns(path("thanksio/", OWN)))
    settings.THANKSIO_REDIRECT_URI = "https://testserver/thanksio/callback/"
    started = browser.post("/de/thanksio/connect/")["Location"]
    assert browser.cookies[COOKIE_NAME]["path"] == "/"
    response = browser.get(path_of(thanksio.visit(started)), follow=True)
    assert response.redirect_chain[-1][0] == "/en/thanksio/"
    assert connection_of(user)


def test_callback_registered_without_its_slash_finds_its_page(browser, user, thanksio, settings):
    settings.THANKSIO_REDIRECT_URI = "https://testserver/thanksio/callback"
    callback = browser.allow(thanksio)
    assert callback.startswith("/thanksio/callback?")
    assert browser.get(callback, follow=True).redirect_chain[-1][0] == STATUS
    assert connection_of(user)


def test_language_switched_in_another_tab_changes_nothing(browser, user, thanksio):
    callback = browser.allow(thanksio)
    browser.cookies["django_language"] = "ar"
    assert browser.get(callback)["Location"] == STATUS
    assert 'dir="rtl"' in browser.get(STATUS).content.decode()


@pytest.mark.parametrize(("login", "expected"), [("admin:login", "/admin/login/"), ("login", "/accounts/login/")])
def test_login_url_may_be_a_name(db, thanksio, settings, login, expected):
    settings.LOGIN_URL = login
    assert Browser().get(CONNECT)["Location"] == f"{expected}?next={CONNECT}"


@pytest.mark.parametrize("backend", ["db", "cache", "cached_db", "signed_cookies", "file"])
def test_every_session_backend_through_login_flow_reload_and_denial(user, thanksio, settings, backend, tmp_path):
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{backend}"
    settings.SESSION_FILE_PATH = str(tmp_path)
    user.is_staff = True
    user.save()
    browser = Browser()
    assert browser.post("/admin/login/?next=/", {"username": "alice", "password": "pw"}).status_code == 302
    callback = browser.allow(thanksio)
    assert browser.get(callback)["Location"] == STATUS
    assert browser.get(callback)["Location"] == STATUS
    thanksio.deny()
    assert messages_of(browser.get(browser.allow(thanksio)))[-1].startswith("You did not allow a new connection")
    thanksio.allow()
    thanksio.next_token(status=500)
    failed = browser.allow(thanksio)
    assert browser.get(failed).status_code == 502
    # Django sends no session cookie with an error of 500 and more: there the mark stays, and the words differ.
    assert browser.arrive(failed).status_code == (409 if backend == "signed_cookies" else 400)


def test_project_that_signs_in_without_sessions(user, thanksio, settings):
    """A header or a token tells who it is; a reload then only can't tell that it was finished."""
    gone = ("sessions", "auth.middleware", "messages")
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if not any(part in name for part in gone)]
    settings.MIDDLEWARE += [f"{MIDDLEWARE}.SignedInByHeader"]
    browser = Browser(headers={"x-user": "alice"})
    callback = browser.allow(thanksio)
    assert browser.get(callback)["Location"] == STATUS
    assert browser.get(callback).status_code == 400
    assert connection_of(user)
    assert Browser().get(CONNECT)["Location"] == f"/accounts/login/?next={CONNECT}"


@pytest.mark.parametrize("name", ["THANKSIO_CONNECTED_URL", "THANKSIO_DISCONNECTED_URL"])
def test_landing_that_is_nowhere_leads_to_the_status_page(browser, user, thanksio, settings, caplog, name):
    """What was done is done, and the page says so; a message would say it twice."""
    setattr(settings, name, "nowhere")
    response = browser.get(browser.allow(thanksio))
    assert (response["Location"], messages_of(response)) == (STATUS, [])
    response = browser.post(DISCONNECT)
    assert (response["Location"], messages_of(response)) == (STATUS, [])
    assert name in caplog.text


# Transactions


@pytest.fixture
def atomic_requests(monkeypatch):
    monkeypatch.setitem(database.settings_dict, "ATOMIC_REQUESTS", True)


@pytest.mark.django_db(transaction=True)
def test_connection_outlives_an_error_after_the_callback_under_atomic_requests(
    user, thanksio, settings, atomic_requests
):
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{MIDDLEWARE}.RaisesAfterwards"]
    careful = Browser()
    careful.force_login(user)
    settings.MIDDLEWARE = settings.MIDDLEWARE[:-1]
    callback = careful.allow(thanksio)
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{MIDDLEWARE}.RaisesAfterwards"]
    broken = Browser(raise_request_exception=False)
    broken.cookies = careful.cookies
    assert broken.get(callback).status_code == 500
    assert thanksio.is_live(connection_of(user).tokens.refresh_token)
    assert careful.get(callback)["Location"] == STATUS
    assert thanksio.count("authorization_code") == 1


@pytest.mark.django_db(transaction=True)
def test_callback_inside_a_transaction_of_the_projects_own_connects(user, thanksio, settings):
    """A middleware's ``atomic()``: the grant is part of it, and an error page rolls back nothing that was good."""
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{MIDDLEWARE}.OneTransaction"]
    browser = Browser()
    browser.force_login(user)
    assert browser.get(browser.allow(thanksio))["Location"] == STATUS
    assert thanksio.is_live(connection_of(user).tokens.refresh_token)
    thanksio.next_token(status=500)
    assert browser.get(browser.allow(thanksio)).status_code == 502
    assert thanksio.is_live(connection_of(user).tokens.refresh_token)


@pytest.mark.django_db(transaction=True)
def test_start_and_disconnect_under_atomic_requests(user, thanksio, atomic_requests):
    seen = []

    def receive(connection, **kwargs):
        seen.append(connection.user_id)

    signals.disconnected.connect(receive)
    try:
        browser = Browser()
        browser.force_login(user)
        assert browser.get(browser.allow(thanksio))["Location"] == STATUS
        assert browser.post(DISCONNECT)["Location"] == STATUS
    finally:
        signals.disconnected.disconnect(receive)
    assert seen == [user.pk]


# The account


@pytest.fixture
def told():
    seen = []

    def receive(connection, created, account_changed, **kwargs):
        seen.append((created, account_changed, connection.thanksio_user_id))

    signals.connected.connect(receive)
    yield seen
    signals.connected.disconnect(receive)


@pytest.mark.django_db(transaction=True)
def test_signal_message_and_row_agree_on_the_account(user, thanksio, told):
    browser = Browser()
    browser.force_login(user)

    def connect_as(account):
        thanksio.oauth.user_id = account
        return messages_of(browser.get(browser.allow(thanksio)))

    other = "This is another thanks.io account than the one that was connected before."
    assert other not in connect_as("7")
    assert other not in connect_as("7")
    assert other in connect_as("8")
    thanksio.next_api(status=500)  # the account can't be known: nothing says that it is another
    assert connect_as("9").count(other) == 1  # the earlier one, which nobody has read yet
    assert told == [(True, None, "7"), (False, False, "7"), (False, True, "8"), (False, None, "8")]
    assert connection_of(user).thanksio_user_id == "8"


def test_account_found_after_a_renewal_is_kept(user, thanksio):
    """Somebody renews in the seconds between the store and the answer about the account."""

    def ask():
        connection_of(user).refresh(force=True)
        return "7"

    ThanksIOConnection.objects.connect(user, thanksio.issue(user_id="7"), thanksio_user_id=ask)
    assert connection_of(user).thanksio_user_id == "7"


def test_account_found_after_another_reconnect_is_dropped(user, thanksio):
    """It belongs to a grant that is gone."""

    def ask():
        ThanksIOConnection.objects.connect(user, thanksio.issue(user_id="8"), thanksio_user_id="8")
        return "7"

    ThanksIOConnection.objects.connect(user, thanksio.issue(user_id="7"), thanksio_user_id=ask)
    assert connection_of(user).thanksio_user_id == "8"


# Tabs


def test_tab_from_yesterday_whose_request_is_swept_leads_on(browser, user, thanksio):
    """Its row is gone, so is its session: sign in, and the page offers to start again."""
    callback = browser.allow(thanksio)
    AuthorizationRequest.objects.all().delete()
    browser.cookies.clear()
    assert browser.get(callback).status_code == 200
    page = browser.get(f"{callback}&returned=1")
    assert page.status_code == 400
    assert "Start again" in page.content.decode()


def test_connect_pressed_in_many_tabs_keeps_the_newest_ten(browser, user, thanksio):
    callbacks = [browser.allow(thanksio) for _ in range(12)]
    assert browser.get(callbacks[-1])["Location"] == STATUS
    assert browser.get(callbacks[2])["Location"] == STATUS
    oldest = browser.get(callbacks[0])
    assert oldest.status_code in (302, 400)
    assert thanksio.is_live(connection_of(user).tokens.refresh_token)


def test_another_provider_url_in_the_middle_of_a_flow_refuses_kindly(browser, user, thanksio):
    """The operator moves ``THANKSIO_TOKEN_URL`` while somebody is away: the code is unknown there."""
    callback = browser.allow(thanksio)
    with FakeThanksIO() as other, other.override_settings():
        response = browser.get(callback)
    assert response.status_code == 400
    assert "Start again" in response.content.decode()
    assert connection_of(user) is None


def test_user_deleted_in_the_middle_of_a_flow_ends_on_a_page(browser, user, thanksio):
    callback = browser.allow(thanksio)
    user.delete()
    assert browser.get(callback).status_code == 200
    assert browser.get(f"{callback}&returned=1").status_code == 400
    assert thanksio.count("authorization_code") == 0


def test_user_who_is_replaced_by_an_impersonator_connects_for_nobody_else(browser, user, thanksio):
    """Support staff look at the product as Bob while their own answer comes back."""
    callback = browser.allow(thanksio)
    bob = make_user("bob")
    browser.force_login(bob)
    assert browser.get(callback).status_code == 400
    assert connection_of(bob) is None


@pytest.mark.parametrize("path", [STATUS, CONNECT, DISCONNECT, CALLBACK])
@pytest.mark.parametrize(
    "accept", ["x", ";;;", "*/*;q=", ",,,", "text/html;q=1;q=2", "a" * 5000, "\xe9", "application/json;q=nan"]
)
def test_odd_accept_headers_get_a_page(browser, user, thanksio, path, accept):
    thanksio.connect(user)
    assert browser.get(path, headers={"accept": accept}).status_code in (200, 400)
