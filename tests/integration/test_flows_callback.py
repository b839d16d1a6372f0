"""Coming back: who may finish an authorization, and that everybody else changes nothing.

Each test that proves a rule of a standard names it; ``AUTHORIZATION_REQUESTS`` stay open wherever the wrong one came.
"""

from datetime import timedelta
from urllib.parse import quote, urlencode

import pytest
from django.utils import timezone

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
from thanksio_connect import signals
from thanksio_connect.flows import callback as callback_flow
from thanksio_connect.flows.browser import COOKIE_NAME
from thanksio_connect.models import AuthorizationRequest

pytestmark = pytest.mark.django_db


def assert_refused(response, status=400):
    page = response.content.decode()
    assert response.status_code == status, page
    assert "Nothing was lost" in page
    assert f'<form class="thanksio-form" method="post" action="{CONNECT}" ' in page
    assert "Start again" in page


def records_of(caplog):
    return [
        (each.thanksio_event, each.levelname, each.thanksio_user_id, each.thanksio_code)
        for each in caplog.records
        if each.name == "thanksio_connect"
    ]


def test_a_failed_authorization_names_its_user_in_the_log(browser, thanksio, user, caplog):
    caplog.set_level("INFO", logger="thanksio_connect")
    browser.get(f"{CALLBACK}?state=unknown&code=x")
    thanksio.next_token(status=500)
    browser.get(browser.allow(thanksio))
    thanksio.deny()
    browser.get(browser.allow(thanksio))
    assert records_of(caplog) == [
        ("authorization.failed", "INFO", user.pk, "unknown_state"),
        ("authorization.failed", "WARNING", user.pk, "server_error"),
        ("authorization.denied", "INFO", user.pk, "access_denied"),
    ]


# The way it should go


@pytest.mark.compliance("RFC 6749", "4.1.3")
@pytest.mark.compliance("RFC 7636", "4.5")
def test_allowing_connects(browser, thanksio, user):
    response = browser.get(browser.allow(thanksio))
    assert (response.status_code, response["Location"]) == (302, STATUS)
    assert messages_of(response) == []  # the status page says it
    connection = connection_of(user)
    assert thanksio.is_live(connection.tokens.access_token)
    assert thanksio.is_live(connection.tokens.refresh_token)
    form = thanksio.token_requests("authorization_code")[0].form
    assert form["redirect_uri"] == f"https://testserver{CALLBACK}"
    assert len(form["code_verifier"]) >= 43
    assert not AuthorizationRequest.objects.exists()


def test_reload_and_back_button_say_already_connected_and_exchange_nothing(browser, thanksio, user, settings):
    callback = browser.allow(thanksio)
    browser.get(callback)
    before = connection_of(user)
    response = browser.get(callback)
    assert response["Location"] == STATUS
    assert messages_of(response) == []  # the status page says it; another page does not
    settings.THANKSIO_CONNECTED_URL = "/hooray/"
    assert messages_of(browser.get(callback)) == ["Your thanks.io account is already connected."]
    assert thanksio.count("authorization_code") == 1
    assert connection_of(user).tokens.version == before.tokens.version
    assert thanksio.is_live(connection_of(user).tokens.refresh_token)


def test_reload_after_disconnecting_does_not_claim_a_connection(browser, thanksio, user):
    callback = browser.allow(thanksio)
    browser.get(callback)
    browser.post(DISCONNECT)
    assert_refused(browser.get(callback))
    assert connection_of(user) is None


def test_tabs_finish_in_any_order(browser, thanksio, user):
    first = browser.allow(thanksio, next="/first/")
    second = browser.allow(thanksio, next="/second/")
    assert browser.get(second)["Location"] == "/second/"
    assert browser.get(first)["Location"] == "/first/"
    assert thanksio.is_live(connection_of(user).tokens.refresh_token)


def test_connected_url_is_used_and_next_wins(browser, thanksio, settings):
    settings.THANKSIO_CONNECTED_URL = "/welcome/"
    assert browser.get(browser.allow(thanksio))["Location"] == "/welcome/"
    assert browser.get(browser.allow(thanksio, next="/letters/"))["Location"] == "/letters/"


def test_connected_url_may_be_a_url_name(browser, thanksio, settings):
    settings.THANKSIO_CONNECTED_URL = "admin:index"
    assert browser.get(browser.allow(thanksio))["Location"] == "/admin/"


@pytest.mark.compliance("RFC 6749", "4.1.2.1")
def test_denial_is_an_answer_and_touches_nothing(browser, thanksio, user):
    thanksio.connect(user)
    version = connection_of(user).tokens.version
    thanksio.deny()
    response = browser.get(browser.allow(thanksio, next="/letters/"))
    assert (response.status_code, response["Location"]) == (302, "/letters/")
    assert messages_of(response) == ["You did not allow a new connection to thanks.io. The earlier one is unchanged."]
    assert connection_of(user).tokens.version == version
    assert not AuthorizationRequest.objects.exists()


def test_denial_without_a_connection_says_so(browser, thanksio):
    thanksio.deny()
    response = browser.get(browser.allow(thanksio))
    assert messages_of(response) == ["You did not allow the connection to thanks.io."]


def test_works_without_the_messages_framework(browser, thanksio, settings):
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if "messages" not in name]
    settings.INSTALLED_APPS = [name for name in settings.INSTALLED_APPS if name != "django.contrib.messages"]
    assert browser.get(browser.allow(thanksio))["Location"] == STATUS


# Another thanks.io account


def test_another_thanksio_account_is_noticed(browser, thanksio, user, django_capture_on_commit_callbacks):
    seen = []

    def receive(**kwargs):
        seen.append((kwargs["created"], kwargs["account_changed"]))

    thanksio.oauth.user_id = "7"
    browser.get(browser.allow(thanksio))
    if not connection_of(user).thanksio_user_id:
        pytest.skip("the fake's account is empty: its user can't be known")
    signals.connected.connect(receive)
    try:
        with django_capture_on_commit_callbacks(execute=True):
            browser.get(browser.allow(thanksio))
        thanksio.oauth.user_id = "8"
        with django_capture_on_commit_callbacks(execute=True):
            response = browser.get(browser.allow(thanksio))
    finally:
        signals.connected.disconnect(receive)
    assert seen == [(False, False), (False, True)]
    assert connection_of(user).thanksio_user_id == "8"
    assert any("another thanks.io account" in message for message in messages_of(response))


@pytest.mark.parametrize("fault", [{"status": 500}, {"body": "<html>"}, {"lose_reply": "before"}])
def test_unknown_account_never_stops_a_connection(browser, thanksio, user, fault):
    thanksio.next_api(times=None, **fault)
    assert browser.get(browser.allow(thanksio))["Location"] == STATUS
    assert connection_of(user).thanksio_user_id == ""


# The state


@pytest.mark.compliance("RFC 6749", "10.12")
@pytest.mark.parametrize(
    "query",
    [
        {},
        {"code": "c"},
        {"code": "c", "state": ""},
        {"code": "c", "state": "guessed"},
        {"state": "guessed"},
        {"error": "access_denied", "state": "guessed"},
        {"error": "access_denied"},
        {"code": "c", "state": "\x00"},
        {"code": "c", "state": "x" * 10_000},
        {"code": "x" * 10_000, "state": "guessed"},
        {"junk": "x" * 10_000},
        {"error": "x" * 100_000, "state": "guessed"},
        {"code": "c", "state": "guessed", "iss": "x" * 10_000},
    ],
)
def test_callback_that_belongs_to_nothing_changes_nothing(browser, thanksio, user, query):
    thanksio.connect(user)
    version = connection_of(user).tokens.version
    response = browser.get(CALLBACK, query)
    assert_refused(response)
    assert "your earlier connection is unchanged" in response.content.decode()
    assert connection_of(user).tokens.version == version
    assert thanksio.count("authorization_code") == 0


@pytest.mark.parametrize(
    "junk", ["%", "%ff%fe", "state=%ff&code=%ff", "&".join(f"a{i}=1" for i in range(2000)), "state=%ED%A0%80&code=c"]
)
def test_junk_queries_get_the_page(browser, thanksio, junk):
    assert_refused(browser.get(f"{CALLBACK}?{junk}"))


@pytest.mark.compliance("RFC 6749", "3.1")
@pytest.mark.parametrize("name", ["state", "code", "error", "iss"])
def test_repeated_parameters_are_refused(browser, thanksio, user, name):
    callback = browser.allow(thanksio)
    value = query_of(callback).get(name, "x")
    assert_refused(browser.get(f"{callback}&{name}={quote(value)}&{name}={quote(value)}"))
    assert connection_of(user) is None
    assert thanksio.count("authorization_code") == 0
    assert browser.get(callback)["Location"] == STATUS  # still good


@pytest.mark.compliance("RFC 9700", "4.7")
def test_expired_state_is_refused_on_reading(browser, thanksio, user):
    callback = browser.allow(thanksio)
    AuthorizationRequest.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    response = browser.get(callback)
    assert_refused(response)
    assert "took too long" in response.content.decode()
    assert thanksio.count("authorization_code") == 0


def test_tab_restored_from_yesterday_is_told_that_it_expired(browser, thanksio, settings):
    callback = browser.allow(thanksio)
    AuthorizationRequest.objects.all().delete()
    settings.THANKSIO_STATE_TTL_SECONDS = 1e-9
    response = browser.get(callback)
    assert_refused(response)
    assert "took too long" in response.content.decode()


@pytest.mark.compliance("RFC 9700", "4.7")
def test_replayed_state_with_a_fresh_code_exchanges_nothing(browser, thanksio, user):
    callback = browser.allow(thanksio)
    browser.get(callback)
    version = connection_of(user).tokens.version
    stolen = query_of(path_of(thanksio.visit(browser.start())))["code"]
    replay = f"{CALLBACK}?{urlencode({'state': query_of(callback)['state'], 'code': stolen})}"
    browser.get(replay)
    assert thanksio.count("authorization_code") == 1
    assert connection_of(user).tokens.version == version


@pytest.mark.compliance("RFC 6749", "10.12")
def test_attackers_code_in_a_victims_browser_connects_nobody(browser, thanksio, user):
    """Login CSRF: the victim would send mail from, and pay into, the attacker's account."""
    attacker = Browser()
    attacker.force_login(make_user("mallory"))
    callback = attacker.allow(thanksio)
    assert_refused(browser.get(callback))
    assert connection_of(user) is None
    assert thanksio.count("authorization_code") == 0
    assert attacker.get(callback)["Location"] == STATUS  # and nothing was spent


@pytest.mark.compliance("RFC 9700", "4.7")
def test_state_of_another_browser_of_the_same_user_is_refused(browser, thanksio, user):
    callback = browser.allow(thanksio)
    elsewhere = Browser()
    elsewhere.force_login(user)
    assert_refused(elsewhere.get(callback))
    elsewhere.start()  # with a nonce of its own
    assert_refused(elsewhere.get(callback))
    assert thanksio.count("authorization_code") == 0


@pytest.mark.compliance("RFC 9700", "4.7")
def test_state_of_another_user_of_the_same_browser_is_refused_and_kept(browser, thanksio, user):
    callback = browser.allow(thanksio)
    browser.post("/accounts/logout/")
    other = make_user("bob")
    browser.force_login(other)
    response = browser.get(callback)
    assert_refused(response)
    assert "Somebody else was signed in" in response.content.decode()
    assert connection_of(other) is None
    browser.force_login(user)
    assert browser.get(callback)["Location"] == STATUS
    assert connection_of(other) is None
    assert connection_of(user)


def test_callback_at_another_host_names_the_cause_to_the_operator(browser, thanksio, caplog):
    """``THANKSIO_REDIRECT_URI`` says www, users come without: no cookie reaches the callback."""
    callback = browser.allow(thanksio)
    del browser.cookies[COOKIE_NAME]
    assert_refused(browser.get(callback))
    assert "THANKSIO_REDIRECT_URI" in caplog.text


def test_browser_cookie_alone_is_not_enough(browser, thanksio):
    callback = browser.allow(thanksio)
    browser.cookies[COOKIE_NAME] = "A" * 43
    assert_refused(browser.get(callback))


# The code


@pytest.mark.compliance("RFC 9700", "4.5")
@pytest.mark.compliance("RFC 7636", "1")
def test_injected_code_of_another_flow_fails_at_the_verifier(browser, thanksio, user):
    """The attacker's code in the victim's own callback: the verifier of the victim does not fit."""
    attacker = Browser()
    attacker.force_login(make_user("mallory"))
    stolen = query_of(attacker.allow(thanksio))["code"]
    state = query_of(browser.start())["state"]
    assert_refused(browser.get(CALLBACK, {"state": state, "code": stolen}))
    assert connection_of(user) is None


@pytest.mark.compliance("RFC 9700", "4.8")
def test_pkce_downgrade_fails(browser, thanksio, user):
    """The challenge was stripped on the way to thanks.io: the verifier is sent all the same."""
    location = browser.start()
    query = query_of(location) | {"code_challenge": "", "code_challenge_method": ""}
    stripped = thanksio.visit(f"{thanksio.authorize_url}?{urlencode(query)}")
    assert_refused(browser.get(path_of(stripped)), 502)
    assert thanksio.token_requests()[0].form["code_verifier"]
    assert connection_of(user) is None


@pytest.mark.compliance("RFC 9207", "2.4")
@pytest.mark.compliance("RFC 9700", "4.4")
@pytest.mark.parametrize("issuer", ["https://evil.example", "http://[", "https://thanks.io@evil.example", "null", "//"])
def test_answer_of_another_issuer_is_refused(browser, thanksio, user, issuer):
    callback = browser.allow(thanksio)
    assert_refused(browser.get(f"{callback}&{urlencode({'iss': issuer})}"))
    assert thanksio.count("authorization_code") == 0
    assert browser.get(f"{callback}&{urlencode({'iss': thanksio.url})}")["Location"] == STATUS


def test_missing_code_is_refused_and_the_flow_stays_open(browser, thanksio):
    callback = browser.allow(thanksio)
    assert_refused(browser.get(CALLBACK, {"state": query_of(callback)["state"]}))
    assert browser.get(callback)["Location"] == STATUS


def test_spent_code_is_refused_and_an_existing_connection_is_untouched(browser, thanksio, user):
    thanksio.connect(user)
    version = connection_of(user).tokens.version
    thanksio.next_token(refuse="code_expired")
    assert_refused(browser.get(browser.allow(thanksio)))
    assert connection_of(user).tokens.version == version


@pytest.mark.parametrize("method", ["head", "post", "put", "delete", "options"])
def test_only_get_finishes(browser, thanksio, user, method):
    callback = browser.allow(thanksio)
    assert getattr(browser, method)(callback).status_code == 405
    assert connection_of(user) is None


# thanks.io has a bad day


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ({"lose_reply": "before"}, 502),
        ({"lose_reply": "after"}, 502),
        ({"status": 500, "body": "boom"}, 502),
        ({"status": 200, "body": "<html><script>alert(1)</script>"}, 502),
        ({"status": 302, "headers": {"Location": "https://evil.example/"}, "body": ""}, 502),
        ({"status": 429, "retry_after": 17}, 503),
        ({"status": 503}, 503),
    ],
)
def test_failing_exchange_answers_with_a_page_and_changes_nothing(browser, thanksio, user, fault, status):
    thanksio.connect(user)
    version = connection_of(user).tokens.version
    thanksio.next_token(**fault)
    callback = browser.allow(thanksio, next="/letters/")
    response = browser.get(callback)
    assert_refused(response, status)
    assert "alert(1)" not in response.content.decode()
    assert 'name="next" value="/letters/"' in response.content.decode()
    assert connection_of(user).tokens.version == version
    assert thanksio.count("authorization_code") == 1  # a code that may have been used is not sent again
    assert_refused(browser.get(callback), 400)  # reloading waits for nobody
    assert browser.get(browser.allow(thanksio))["Location"] == STATUS
    if "retry_after" in fault:
        assert response["Retry-After"] == "17"


def test_thanksio_down_is_told_as_such(browser, thanksio, user):
    callback = browser.allow(thanksio)
    with thanksio.down():
        response = browser.get(callback)
    assert_refused(response, 502)
    assert "thanks.io did not answer" in response.content.decode()
    assert connection_of(user) is None


@pytest.mark.parametrize("refusal", ["invalid_client"])
def test_wrong_secret_is_told_to_the_operator_only(browser, thanksio, caplog, refusal, settings):
    thanksio.next_token(refuse=refusal, times=2)
    response = browser.get(browser.allow(thanksio))
    assert response.status_code == 503
    page = response.content.decode()
    assert "THANKSIO" not in page
    assert "Nothing was lost" in page
    assert "THANKSIO_CLIENT_SECRET" in caplog.text or "THANKSIO_CLIENT_ID" in caplog.text
    settings.DEBUG = True
    assert "THANKSIO" in browser.get(browser.allow(thanksio)).content.decode()


@pytest.mark.compliance("RFC 6749", "4.1.2.1")
@pytest.mark.parametrize(
    "description",
    ["<script>alert(1)</script>", "x" * 100_000, "a\r\nSet-Cookie: b=c", "\x00\x1b[31m", "\u202e", "%00"],
)
def test_error_of_thanksio_is_logged_tamed_and_not_shown(browser, thanksio, user, caplog, description):
    state = query_of(browser.start())["state"]
    response = browser.get(CALLBACK, {"state": state, "error": "server_error", "error_description": description})
    assert_refused(response)
    assert description not in response.content.decode()
    assert "Set-Cookie" not in str(response.headers)
    assert "server_error" in caplog.text
    for line in caplog.messages:
        assert len(line) < 1000
        assert line.isprintable()


def test_unexpected_error_ends_on_a_page_of_ours(browser, thanksio, monkeypatch, caplog, settings):
    settings.DEBUG = True
    callback = browser.allow(thanksio)

    def explode(*args, **kwargs):
        raise RuntimeError(f"with a secret: {query_of(callback)['code']}")

    monkeypatch.setattr(callback_flow, "_exchange", explode)
    response = browser.get(callback)
    assert_refused(response, 500)
    assert "RuntimeError" in caplog.text
    for secret in (query_of(callback)["code"], query_of(callback)["state"]):
        assert secret not in response.content.decode() + caplog.text


# Signed out, or so it seems


def test_strict_session_cookie_comes_back_over_a_page_of_ours(browser, thanksio, user):
    callback = browser.allow(thanksio)
    browser.forget_session()
    page = browser.get(callback)
    assert page.status_code == 200
    assert page["Referrer-Policy"] == "no-referrer"
    assert "no-store" in page["Cache-Control"]
    html = page.content.decode()
    assert "<script" not in html
    target = html.split('http-equiv="refresh" content="0; url=')[1].split('"')[0].replace("&amp;", "&")
    assert target.startswith(f"{CALLBACK}?")
    browser.bring_session()
    assert browser.get(target)["Location"] == STATUS
    assert connection_of(user)


def test_strict_session_under_login_required_middleware(browser, thanksio, settings):
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "django.contrib.auth.middleware.LoginRequiredMiddleware"]
    callback = browser.allow(thanksio)
    browser.forget_session()
    assert browser.get(callback).status_code == 200


def test_bounce_page_escapes_what_came(db, thanksio):
    html = Browser().get(CALLBACK, {"state": '"><script>', "code": "'><b>"}).content.decode()
    assert "<script>" not in html
    assert "<b>" not in html


def test_signed_out_user_signs_in_and_starts_again_and_nothing_is_lost(browser, thanksio, user):
    callback = browser.allow(thanksio, next="/letters/")
    browser.forget_session()
    response = browser.get(f"{callback}&returned=1")
    assert response.status_code == 302
    assert response["Location"] == "/accounts/login/?next=/thanksio/connect/%3Fnext%3D%252Fletters%252F"
    assert AuthorizationRequest.objects.count() == 1
    browser.force_login(user)
    assert browser.get("/thanksio/connect/?next=%2Fletters%2F").status_code == 200
    assert browser.get(callback)["Location"] == "/letters/"  # the old tab still works


def test_signed_out_visitor_with_somebody_elses_answer_gets_the_page_and_no_loop(db, thanksio):
    response = Browser().get(CALLBACK, {"state": "guessed", "code": "c", "returned": "1"})
    assert_refused(response)


def test_signed_out_denial_leads_over_the_login_to_the_status_page(browser, thanksio):
    thanksio.deny()
    callback = browser.allow(thanksio)
    browser.forget_session()
    response = browser.get(f"{callback}&returned=1")
    assert response["Location"] == "/accounts/login/?next=/thanksio/"


# next


@pytest.mark.compliance("RFC 9700", "4.11.1")
@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/",
        "//evil.example/",
        "///evil.example/",
        "/\\evil.example/",
        "\\\\evil.example/",
        "/\t/evil.example/",
        "/\n/evil.example/",
        "\x00/evil",
        " //evil.example",
        "\u200b//evil.example",
        "https:evil.example",
        "https:///evil.example",
        "https://testserver@evil.example/",
        "https://testserver:pw@evil.example/",
        "https://evil.example\\@testserver/",
        "https://evil。example/",
        "//evil。example/",
        "http://testserver/",
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "data:text/html,x",
        "/a\r\nSet-Cookie: b=c",
        "/" + "a" * 5000,
        "https://testserver.evil.example/",
        "https://testserver:444/",
    ],
)
def test_next_never_leaves_the_site(browser, thanksio, target):
    assert browser.get(browser.allow(thanksio, next=target))["Location"] == STATUS
    page = browser.get(CONNECT, {"next": target}).content.decode()
    assert 'name="next"' not in page
    response = browser.post(DISCONNECT, {"next": target})
    assert response["Location"] == STATUS


@pytest.mark.parametrize("target", ["/letters/?a=1&b=2#c", "https://testserver/letters/", "/%2F/x", "/é/"])
def test_next_on_this_site_is_followed(browser, thanksio, target):
    location = browser.get(browser.allow(thanksio, next=target))["Location"]
    assert location == quote(target, safe="/?&=#:%")
