"""Attacks on who finishes whose authorization: fixation, shared browsers, tossed cookies, guesses, replays, races."""

import threading
from urllib.parse import urlencode

import pytest
from django.conf import settings as django_settings
from django.contrib.sessions.models import Session
from django.db import connection as database
from django.db import connections
from django.utils import timezone

from tests.integration.browsing import (
    CALLBACK,
    CONNECT,
    STATUS,
    Browser,
    connection_of,
    make_user,
    messages_of,
    path_of,
    query_of,
)
from thanksio_connect.flows.browser import COOKIE_NAME
from thanksio_connect.models import AuthorizationRequest, ThanksIOConnection

pytestmark = pytest.mark.django_db


def sign_in(browser: Browser, name: str) -> None:
    """With the password, over Django's own login: the session key changes as it does for people."""
    assert browser.post("/admin/login/?next=/", {"username": name, "password": "pw"}).status_code == 302


def sign_out(browser: Browser) -> None:
    """As people do; the test client's own ``logout()`` would forget the other cookies, too."""
    assert browser.post("/accounts/logout/").status_code == 200


@pytest.fixture
def staff(user):
    """Alice, who may use the one login page that the test project has."""
    user.is_staff = True
    user.save()
    return user


# Sessions


@pytest.mark.compliance("OWASP ASVS 5.0", "10.1.2")
def test_session_fixed_before_the_login_finishes_nothing_of_the_victims(staff, thanksio):
    """Mallory plants her session key, Alice signs in on it and allows: Mallory's old key is worth nothing."""
    mallory, alice = Browser(), Browser()
    make_user("mallory")
    mallory.get("/admin/login/")
    mallory.session.save()
    planted = mallory.cookies["sessionid"].value
    alice.cookies["sessionid"] = planted
    sign_in(alice, "alice")
    assert alice.cookies["sessionid"].value != planted
    callback = alice.allow(thanksio)
    response = mallory.get(f"{callback}&returned=1")
    assert response.status_code == 400
    assert thanksio.count("authorization_code") == 0
    assert alice.get(callback)["Location"] == STATUS
    assert connection_of(staff)


@pytest.mark.compliance("RFC 9700", "4.7")
def test_state_survives_no_logout_to_another_session_of_somebody_else(staff, browser, thanksio):
    """The session is new after the logout; the user decides: herself again may finish, somebody else may not."""
    callback = browser.allow(thanksio, next="/letters/")
    sign_out(browser)
    make_user("bob")
    browser.force_login(make_user("carol"))
    response = browser.get(callback)
    assert response.status_code == 400
    assert "/letters/" not in response.content.decode()  # nor where the other one was going
    sign_out(browser)
    sign_in(browser, "alice")
    assert browser.get(callback)["Location"] == "/letters/"
    assert list(ThanksIOConnection.objects.values_list("user__username", flat=True)) == ["alice"]


@pytest.mark.compliance("OWASP ASVS 5.0", "10.1.2")
def test_two_users_one_browser_each_finish_their_own(browser, user, thanksio):
    bob = make_user("bob")
    of_alice = browser.allow(thanksio)
    sign_out(browser)
    browser.force_login(bob)
    of_bob = browser.allow(thanksio)
    assert browser.get(of_alice).status_code == 400
    assert browser.get(of_bob)["Location"] == STATUS
    sign_out(browser)
    browser.force_login(user)
    assert browser.get(of_bob).status_code == 400
    assert browser.get(of_alice)["Location"] == STATUS
    assert connection_of(user).get_access_token() != connection_of(bob).get_access_token()


def test_signed_out_meanwhile_is_never_lost(staff, browser, thanksio):
    """Log in, then either go on with a new attempt or come back to the old tab: both end connected."""
    callback = browser.allow(thanksio, next="/letters/")
    Session.objects.all().delete()  # signed out by the server, from everywhere
    page = browser.get(callback)
    assert page.status_code == 200
    to_login = browser.get(f"{callback}&returned=1")
    assert "/thanksio/connect/" in to_login["Location"]
    assert messages_of(to_login)[-1].startswith("You were signed out meanwhile. Sign in")
    sign_in(browser, "alice")
    ask = browser.get(f"{CONNECT}?{urlencode({'next': '/letters/'})}")
    assert "Continue to thanks.io" in ask.content.decode()
    assert browser.get(browser.allow(thanksio, next="/letters/"))["Location"] == "/letters/"
    assert browser.get(callback)["Location"] == "/letters/"
    assert thanksio.is_live(connection_of(staff).tokens.refresh_token)


def test_signed_out_in_the_middle_of_a_double_click_still_offers_to_start_again(browser, thanksio):
    """No session, and the request is consumed already: a page with the button, which leads over the login."""
    callback = browser.allow(thanksio)
    browser.get(callback)
    sign_out(browser)
    page = browser.get(f"{callback}&returned=1")
    assert page.status_code == 400
    assert "Start again" in page.content.decode()
    assert browser.post(CONNECT)["Location"] == "/accounts/login/?next=/thanksio/connect/"


# Cookies


@pytest.mark.compliance("RFC 9700", "4.7.1")
@pytest.mark.parametrize("order", ["before", "after"])
@pytest.mark.parametrize("tossed", ["x", "", "A" * 43, "A" * 3000, "\x80"])
def test_cookie_tossed_by_a_sibling_domain_hides_nothing(browser, user, thanksio, order, tossed):
    """Browsers send both cookies of one name; the order depends on their paths."""
    callback = browser.allow(thanksio)
    ours = f"{COOKIE_NAME}={browser.cookies.pop(COOKIE_NAME).value}"
    theirs = f"{COOKIE_NAME}={tossed}"
    both = f"{theirs}; {ours}" if order == "before" else f"{ours}; {theirs}"
    session = f"sessionid={browser.cookies['sessionid'].value}"
    browser.cookies.clear()
    response = browser.get(callback, headers={"cookie": f"{session}; {both}"})
    assert response["Location"] == STATUS
    assert connection_of(user)


@pytest.mark.compliance("OWASP ASVS 5.0", "10.1.2")
def test_tossed_nonce_of_the_attacker_does_not_carry_her_authorization_over(browser, user, thanksio):
    """Mallory's cookie, state and code in Alice's browser: the state is Mallory's, Alice is signed in."""
    mallory = Browser()
    mallory.force_login(make_user("mallory"))
    callback = mallory.allow(thanksio)
    browser.cookies[COOKIE_NAME] = mallory.cookies[COOKIE_NAME].value
    assert browser.get(callback).status_code == 400
    assert connection_of(user) is None
    assert thanksio.count("authorization_code") == 0


def test_start_keeps_a_good_nonce_beside_a_tossed_one(browser, thanksio):
    browser.start()
    nonce = browser.cookies[COOKIE_NAME].value
    session = f"sessionid={browser.cookies['sessionid'].value}"
    cookies = f"{session}; {COOKIE_NAME}={nonce}; {COOKIE_NAME}=x"
    browser.cookies.clear()
    browser.post(CONNECT, headers={"cookie": cookies})
    assert browser.cookies[COOKIE_NAME].value == nonce


def test_browser_cookie_is_secure_where_the_session_is(user, thanksio, settings):
    """A proxy hides the https, and the redirect URI is set: the cookie must not travel in clear."""
    settings.THANKSIO_REDIRECT_URI = f"https://testserver{CALLBACK}"
    settings.SESSION_COOKIE_SECURE = True
    browser = Browser(is_secure=False)
    browser.force_login(user)
    browser.start()
    assert browser.cookies[COOKIE_NAME]["secure"]


# Guesses, replays, forgeries


@pytest.mark.compliance("RFC 6749", "10.10")
def test_guessing_states_finds_nothing_costs_no_row_and_locks_nobody_out(browser, user, thanksio):
    callback = browser.allow(thanksio)
    for number in range(300):
        assert browser.get(CALLBACK, {"state": f"{number:043}", "code": "c"}).status_code == 400
    assert AuthorizationRequest.objects.count() == 1
    assert thanksio.count("authorization_code") == 0
    assert browser.get(callback)["Location"] == STATUS


@pytest.mark.compliance("RFC 6749", "10.10")
def test_state_has_256_random_bits_and_never_repeats(browser, thanksio):
    states = {query_of(browser.start())["state"] for _ in range(30)}
    assert len(states) == 30
    assert {len(state) for state in states} == {43}


@pytest.mark.compliance("RFC 9700", "4.6")
def test_injected_access_token_is_not_taken(browser, user, thanksio):
    """Tokens come from the token endpoint alone, never with the browser."""
    state = query_of(browser.start())["state"]
    stolen = thanksio.issue(user_id="7").access_token
    for query in (
        {"state": state, "access_token": stolen, "token_type": "Bearer", "expires_in": "3600"},
        {"state": state, "access_token": stolen, "refresh_token": "r", "code": "guessed"},
    ):
        assert browser.get(CALLBACK, query).status_code == 400
    assert connection_of(user) is None


@pytest.mark.compliance("RFC 9700", "4.3.1")
def test_callback_from_the_history_exchanges_nothing(browser, user, thanksio):
    """Whoever sits down at the browser later, signed in or out, in the same session or a new one."""
    callback = browser.allow(thanksio)
    browser.get(callback)
    version = connection_of(user).tokens.version
    browser.get(callback)
    sign_out(browser)
    browser.get(f"{callback}&returned=1")
    browser.force_login(make_user("bob"))
    assert browser.get(callback).status_code == 400
    browser.force_login(user)
    browser.get(callback)
    assert thanksio.count("authorization_code") == 1
    assert connection_of(user).tokens.version == version


@pytest.mark.compliance("RFC 9700", "4.3.2")
def test_no_token_ever_stands_in_an_address(browser, user, thanksio):
    location = browser.start()
    callback = path_of(thanksio.visit(location))
    landing = browser.get(callback)["Location"]
    connection = connection_of(user)
    connection.api.get("/mailing-lists/")
    addresses = [location, callback, landing, *(record.path + str(record.query) for record in thanksio.requests)]
    for secret in (connection.tokens.access_token, connection.tokens.refresh_token):
        assert not [address for address in addresses if secret.reveal() in address]


@pytest.mark.compliance("RFC 9700", "4.7")
@pytest.mark.parametrize("method", ["post", "put", "patch", "delete", "head", "options", "trace"])
def test_only_a_navigation_finishes_and_others_consume_nothing(browser, user, thanksio, method):
    callback = browser.allow(thanksio)
    assert getattr(browser, method)(callback).status_code == 405
    assert browser.get(callback)["Location"] == STATUS


def test_link_preview_and_foreign_prefetch_consume_nothing(browser, user, thanksio):
    """Chat programs and scanners open every link that they see, without cookies."""
    callback = browser.allow(thanksio)
    scanner = Browser(headers={"user-agent": "LinkPreview/1.0", "sec-purpose": "prefetch"})
    assert scanner.get(callback).status_code == 200
    assert scanner.get(f"{callback}&returned=1").status_code == 400
    assert scanner.head(callback).status_code == 405
    assert browser.get(callback)["Location"] == STATUS


def test_prefetch_by_the_users_own_browser_connects_once(browser, user, thanksio):
    callback = browser.allow(thanksio)
    assert browser.get(callback, headers={"sec-purpose": "prefetch"})["Location"] == STATUS
    assert browser.get(callback)["Location"] == STATUS
    assert thanksio.count("authorization_code") == 1


def test_bounce_page_comes_once_and_never_loops(browser, thanksio):
    """The second time without a session leads to the login, whatever ``returned`` says."""
    callback = browser.allow(thanksio)
    browser.forget_session()
    page = browser.get(callback).content.decode()
    target = page.split("url=")[1].split('"')[0].replace("&amp;", "&")
    assert browser.get(target)["Location"].startswith(django_settings.LOGIN_URL)
    for marked in ("returned=0", "returned=x", "returned=1"):
        assert browser.get(f"{callback}&{marked}").status_code == 302
    assert browser.get(f"{callback}&returned={'1' * 9}").status_code == 400
    assert browser.get(f"{callback}&returned=1&returned=1").status_code == 400


# Races


@pytest.mark.django_db(transaction=True)
@pytest.mark.compliance("RFC 6749", "4.1.2")
@pytest.mark.parametrize("attempt", range(3))
def test_eight_callbacks_at_once_exchange_once_and_end_connected(thanksio, attempt):
    """Threads with database connections of their own, let go together."""
    if database.vendor == "sqlite":
        pytest.skip("SQLite in memory is one connection for all threads")
    user = make_user()
    browser = Browser()
    browser.force_login(user)
    callback = browser.allow(thanksio)
    barrier, answers = threading.Barrier(8), []

    def open_callback():
        twin = Browser()
        twin.cookies = browser.cookies
        try:
            barrier.wait(10)
            response = twin.arrive(callback, pause_seconds=1)
            answers.append((response.status_code, response.headers.get("Location")))
        finally:
            database.close()

    threads = [threading.Thread(target=open_callback) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert answers == [(302, STATUS)] * 8
    assert thanksio.count("authorization_code") == 1
    assert thanksio.is_live(connection_of(user).tokens.refresh_token)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("_round", range(20))  # MariaDB calls one of four a deadlock in one round of fifteen
def test_two_flows_finishing_at_once_leave_a_live_pair(thanksio, _round):
    """Two tabs, two codes: the later grant is stored, and it is one that lives."""
    if database.vendor == "sqlite":
        pytest.skip("SQLite in memory is one connection for all threads")
    user = make_user()
    browser = Browser()
    browser.force_login(user)
    callbacks = [browser.allow(thanksio) for _ in range(4)]
    barrier, answers = threading.Barrier(4), []

    def open_callback(callback):
        twin = Browser()
        twin.cookies = browser.cookies
        try:
            barrier.wait(10)
            answers.append(twin.get(callback).status_code)
        finally:
            database.close()

    threads = [threading.Thread(target=open_callback, args=(callback,)) for callback in callbacks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert answers == [302] * 4
    assert thanksio.count("authorization_code") == 4
    assert thanksio.is_live(connection_of(user).tokens.refresh_token)
    assert thanksio.is_live(connection_of(user).tokens.access_token)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("user_count", [2, 16])
def test_connecting_at_once_in_transactions_ends_in_no_deadlock(thanksio, monkeypatch, user_count):
    """``ATOMIC_REQUESTS``, and an expired authorization of each user: whoever deletes others' rows locks them, too."""
    if database.vendor == "sqlite":
        pytest.skip("SQLite in memory is one connection for all threads")
    monkeypatch.setitem(connections.settings["default"], "ATOMIC_REQUESTS", True)
    users = [make_user(f"user{number}") for number in range(user_count)]
    presses = 80 // user_count
    barrier, answers = threading.Barrier(user_count), []

    def press(user):
        browser = Browser()
        browser.raise_request_exception = False
        try:
            browser.force_login(user)
            barrier.wait(30)
            for _number in range(presses):
                AuthorizationRequest.objects.filter(user=user).update(expires_at=timezone.now())
                answers.append(browser.post(CONNECT).status_code)
        finally:
            database.close()

    threads = [threading.Thread(target=press, args=(user,)) for user in users]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert answers == [302] * (presses * user_count)
    assert AuthorizationRequest.objects.count() <= 2 * user_count
