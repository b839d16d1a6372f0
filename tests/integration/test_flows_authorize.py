"""Starting: what is sent to thanks.io, what is remembered, and that it stays bounded."""

import hashlib
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import time_machine
from django.test import Client
from django.urls import get_script_prefix, set_script_prefix
from django.utils import timezone

from tests.integration.browsing import CALLBACK, CONNECT, STATUS, Browser, make_user, path_of, query_of
from thanksio_connect.flows.browser import COOKIE_NAME
from thanksio_connect.flows.old_events import delete_old_events
from thanksio_connect.models import AuthorizationRequest

pytestmark = pytest.mark.django_db


@pytest.mark.compliance("RFC 6749", "4.1.1")
@pytest.mark.compliance("RFC 7636", "4.3")
def test_connect_sends_the_browser_to_thanksio_with_state_and_challenge(browser, thanksio):
    location = browser.start()
    query = query_of(location)
    assert location.startswith(thanksio.authorize_url + "?")
    assert query["response_type"] == "code"
    assert query["client_id"] == thanksio.oauth.client_id
    assert query["redirect_uri"] == f"https://testserver{CALLBACK}"
    assert query["code_challenge_method"] == "S256"
    assert len(query["state"]) >= 22  # 128 bits in base64


@pytest.mark.compliance("RFC 9700", "4.7")
def test_only_digests_of_state_and_nonce_are_stored(browser, thanksio, user):
    state = query_of(browser.start())["state"]
    row = AuthorizationRequest.objects.get()
    nonce = browser.cookies[COOKIE_NAME].value
    assert row.state_digest == hashlib.sha256(state.encode()).hexdigest()
    assert row.browser_digest == hashlib.sha256(nonce.encode()).hexdigest()
    assert row.user == user
    assert state not in str(row.__dict__)


def test_browser_cookie_is_narrow(browser, thanksio):
    browser.start()
    cookie = browser.cookies[COOKIE_NAME]
    assert (cookie["httponly"], cookie["secure"], cookie["samesite"]) == (True, True, "Lax")
    assert cookie["path"] == STATUS
    assert cookie["max-age"] == 3600


def test_browser_cookie_is_not_secure_on_a_local_http_site(user, thanksio, settings):
    settings.ALLOWED_HOSTS = ["localhost"]
    browser = Browser(is_secure=False, headers={"host": "localhost:8000"})
    browser.force_login(user)
    assert query_of(browser.start())["redirect_uri"] == f"http://localhost:8000{CALLBACK}"
    assert not browser.cookies[COOKIE_NAME]["secure"]


def test_tabs_share_one_nonce_and_have_states_of_their_own(browser, thanksio):
    first = query_of(browser.start())["state"]
    nonce = browser.cookies[COOKIE_NAME].value
    second = query_of(browser.start())["state"]
    assert first != second
    assert browser.cookies[COOKIE_NAME].value == nonce


def test_a_malformed_nonce_is_replaced(browser, thanksio):
    browser.cookies[COOKIE_NAME] = "x"
    browser.start()
    assert len(browser.cookies[COOKIE_NAME].value) == 43


@pytest.mark.compliance("RFC 6749", "10.12")
def test_start_without_csrf_token_is_refused(user, thanksio):
    browser = Browser(enforce_csrf_checks=True)
    browser.force_login(user)
    assert browser.post(CONNECT).status_code == 403
    assert not AuthorizationRequest.objects.exists()


def test_csrf_is_checked_without_djangos_middleware(user, thanksio, settings):
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if "csrf" not in name.lower()]
    browser = Browser(enforce_csrf_checks=True)
    browser.force_login(user)
    assert browser.post(CONNECT).status_code == 403


def test_get_asks_first_and_starts_nothing(browser, thanksio):
    page = browser.get(CONNECT, {"next": "/letters/"})
    assert page.status_code == 200
    assert '<input type="hidden" name="next" value="/letters/">' in page.content.decode()
    assert not AuthorizationRequest.objects.exists()


def test_ten_open_requests_a_user_and_no_expired_ones_are_kept(browser, thanksio, user):
    old = timezone.now() - timedelta(days=1)
    for number, owner in enumerate([make_user("bob"), user]):
        AuthorizationRequest.objects.create(
            state_digest=f"old{number}", browser_digest="x", user=owner, redirect_uri="x", expires_at=old
        )
    states = [query_of(browser.start())["state"] for _ in range(12)]
    digests = {hashlib.sha256(state.encode()).hexdigest() for state in states[-10:]}
    assert set(AuthorizationRequest.objects.values_list("state_digest", flat=True)) == digests | {"old0"}
    delete_old_events()  # as each sweep does
    assert set(AuthorizationRequest.objects.values_list("state_digest", flat=True)) == digests


def test_pkce_can_be_switched_off(browser, thanksio, settings):
    settings.THANKSIO_PKCE = False
    assert "code_challenge" not in query_of(browser.start())
    assert AuthorizationRequest.objects.get().code_verifier == ""


def test_without_login_the_user_signs_in_and_comes_back_to_the_same_place(db, thanksio, settings):
    settings.LOGIN_URL = "/enter/?from=mail"
    response = Browser().post(CONNECT, {"next": "/letters/"})
    assert response["Location"] == "/enter/?from=mail&next=/thanksio/connect/%3Fnext%3D%252Fletters%252F"


def test_login_at_another_host_gets_the_whole_address(db, thanksio, settings):
    settings.LOGIN_URL = "https://sso.example/login"
    response = Browser().get(STATUS)
    assert response["Location"] == "https://sso.example/login?next=https%3A//testserver/thanksio/"


def test_works_under_login_required_middleware(browser, thanksio, settings):
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "django.contrib.auth.middleware.LoginRequiredMiddleware"]
    response = browser.get(browser.allow(thanksio))
    assert response["Location"] == STATUS
    assert Browser().get(CONNECT)["Location"] == "/accounts/login/?next=/thanksio/connect/"


def test_fetching_front_end_gets_the_address_as_json(browser, thanksio):
    response = browser.post(CONNECT, headers={"accept": "application/json"})
    assert response.status_code == 200
    assert response.json()["authorize_url"].startswith(thanksio.authorize_url)
    assert COOKIE_NAME in response.cookies


def test_fetching_front_end_is_told_to_sign_in(db, thanksio):
    response = Browser().post(CONNECT, headers={"accept": "application/json"})
    assert response.status_code == 401
    assert response.json()["error"] == "login_required"


@pytest.mark.parametrize("method", ["get", "post"])
def test_site_that_is_not_set_up_answers_503_and_tells_its_operator(browser, settings, caplog, method):
    settings.THANKSIO_CLIENT_SECRET = ""
    response = getattr(browser, method)(CONNECT)
    assert response.status_code == 503
    assert "not set up" in response.content.decode()
    assert "THANKSIO_CLIENT_SECRET" not in response.content.decode()
    assert "THANKSIO_CLIENT_SECRET" in caplog.text
    assert not AuthorizationRequest.objects.exists()


def test_fetching_front_end_is_told_that_the_site_is_not_set_up(browser, settings):
    settings.THANKSIO_CLIENT_ID = ""
    response = browser.post(CONNECT, headers={"accept": "application/json"})
    assert response.status_code == 503
    assert response.json() == {
        "error": "not_configured",
        "message": "Connecting to thanks.io is not set up on this site yet.",
    }


def test_under_debug_the_page_names_the_cause(browser, settings):
    settings.DEBUG = True
    settings.THANKSIO_CLIENT_ID = ""
    assert "THANKSIO_CLIENT_ID" in browser.get(CONNECT).content.decode()


def test_proxy_that_forgot_to_say_https_is_named_to_the_operator(user, thanksio, caplog):
    browser = Browser(is_secure=False)
    browser.force_login(user)
    response = browser.post(CONNECT)
    assert response.status_code == 503
    assert "SECURE_PROXY_SSL_HEADER" in caplog.text
    assert "SECURE_PROXY_SSL_HEADER" not in response.content.decode()


def test_proxy_that_says_https_is_believed(user, thanksio, settings):
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    settings.ALLOWED_HOSTS = ["app.example"]
    browser = Client(headers={"x-forwarded-proto": "https", "host": "app.example"})
    browser.force_login(user)
    assert query_of(browser.post(CONNECT)["Location"])["redirect_uri"] == f"https://app.example{CALLBACK}"


def test_configured_redirect_uri_is_sent_as_it_is_and_stored(browser, thanksio, settings):
    settings.THANKSIO_REDIRECT_URI = "https://app.example/elsewhere/?a=b"
    assert query_of(browser.start())["redirect_uri"] == "https://app.example/elsewhere/?a=b"
    assert AuthorizationRequest.objects.get().redirect_uri == "https://app.example/elsewhere/?a=b"
    assert browser.cookies[COOKIE_NAME]["path"] == "/"


def test_script_prefix_stands_in_every_address(browser, thanksio, settings):
    settings.FORCE_SCRIPT_NAME = "/shop"
    before = get_script_prefix()
    set_script_prefix("/shop/")  # as Django's WSGI and ASGI handlers do
    try:
        location = browser.start()
        callback = path_of(thanksio.visit(location)).removeprefix("/shop")
        assert browser.get(callback)["Location"] == "/shop/thanksio/"
    finally:
        set_script_prefix(before)
    assert query_of(location)["redirect_uri"] == f"https://testserver/shop{CALLBACK}"
    assert browser.cookies[COOKIE_NAME]["path"] == "/shop/thanksio/"


@pytest.mark.parametrize("backend", ["db", "cache", "signed_cookies", "file"])
def test_every_session_backend(user, thanksio, settings, backend, tmp_path):
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{backend}"
    settings.SESSION_FILE_PATH = str(tmp_path)
    browser = Browser()
    browser.force_login(user)
    callback = browser.allow(thanksio)
    assert browser.get(callback)["Location"] == STATUS
    assert browser.get(callback)["Location"] == STATUS  # reloaded


def test_double_click_on_connect_leaves_both_flows_open(browser, thanksio):
    first, second = browser.start(), browser.start()
    assert browser.get(thanksio.visit(second))["Location"] == STATUS
    assert browser.get(thanksio.visit(first))["Location"] == STATUS
    assert thanksio.count("authorization_code") == 2


# At 2:00 New York's clocks go to 3:00; at 2:00 they go back to 1:00.
NEW_YORK = ZoneInfo("America/New_York")
CLOCK_CHANGES = [datetime(2026, 3, 8, 7, 0, tzinfo=UTC), datetime(2026, 11, 1, 6, 0, tzinfo=UTC)]


@pytest.mark.parametrize("change", CLOCK_CHANGES, ids=["missing hour", "hour that comes twice"])
@pytest.mark.parametrize(("minutes", "lives"), [(59, True), (61, False)])
def test_an_authorization_lives_an_hour_through_any_hour_of_the_year(
    browser, thanksio, settings, user, change, minutes, lives
):
    settings.USE_TZ, settings.TIME_ZONE = False, NEW_YORK.key
    start = (change - timedelta(minutes=5)).astimezone(NEW_YORK)  # sets this process's zone, too
    with time_machine.travel(start, tick=False):
        browser.force_login(user)
        location = browser.start()
    arrival = (change + timedelta(minutes=minutes - 5)).astimezone(NEW_YORK)
    with time_machine.travel(arrival, tick=False):
        callback = path_of(thanksio.visit(location))
        assert (browser.get(callback).status_code == 302) is lives
