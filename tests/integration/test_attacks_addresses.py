"""Attacks on where browser and secrets are sent: open redirects, forged hosts, redirecting endpoints, proxies."""

from urllib.parse import quote, urlencode

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db import connection as database
from django.template import engines
from django.test import Client

from tests.integration.browsing import (
    CALLBACK,
    CONNECT,
    DISCONNECT,
    STATUS,
    Browser,
    connection_of,
    path_of,
    query_of,
)
from thanksio_connect.models import AuthorizationRequest
from thanksio_connect.testing import FakeThanksIO

pytestmark = pytest.mark.django_db

ELSEWHERE = [
    "https://evil.example/",
    "http://testserver.evil.example/",
    "//evil.example/",
    "///evil.example/",
    "////evil.example/",
    "/\\evil.example/",
    "\\/evil.example/",
    "/\t/evil.example/",
    "/\r\n/evil.example/",
    "\x01https://evil.example/",
    "https:evil.example",
    "https:/evil.example",
    "https:\\\\evil.example",
    "https://testserver@evil.example/",
    "https://testserver%40evil.example/",
    "https://testserver\\@evil.example/",
    "https://evil.example#@testserver/",
    "https://evil.example?@testserver/",
    "https://evil\u3002example/",
    "//evil\uff0eexample/",
    "https://\u202etestserver/",
    "https://[::1]evil.example/",
    "https://[/",
    "javascript:alert(1)//testserver/",
    "vbscript:x",
    "data:text/html;base64,x",
    "mailto:a@evil.example",
    "ftp://testserver/",
    "http://testserver/letters/",
    "https://testserver:8443/",
]


@pytest.mark.compliance("RFC 9700", "4.11.1")
@pytest.mark.compliance("RFC 6749", "10.15")
@pytest.mark.parametrize("target", ELSEWHERE)
def test_next_leads_nowhere_else_from_any_page_and_any_outcome(browser, thanksio, target):
    """Connected, denied, disconnected, signed out meanwhile, not signed in yet; and no page links there."""
    assert browser.get(browser.allow(thanksio, next=target))["Location"] == STATUS
    thanksio.deny()
    assert browser.get(browser.allow(thanksio, next=target))["Location"] == STATUS
    thanksio.allow()
    thanksio.next_token(status=500)
    page = browser.get(browser.allow(thanksio, next=target)).content.decode()
    assert 'name="next"' not in page
    assert browser.post(DISCONNECT, {"next": target})["Location"] == STATUS
    assert browser.post(f"{DISCONNECT}?{urlencode({'next': target}, errors='replace')}")["Location"] == STATUS
    callback = browser.allow(thanksio, next=target)
    browser.forget_session()
    assert browser.get(f"{callback}&returned=1")["Location"] == "/accounts/login/?next=/thanksio/connect/"
    anonymous = Browser()
    for path in (CONNECT, DISCONNECT):
        location = anonymous.get(path, {"next": target})["Location"]
        assert location == f"/accounts/login/?next={quote(path)}"


@pytest.mark.compliance("RFC 9700", "4.11.1")
def test_destination_that_was_tampered_with_in_the_database_is_judged_again(browser, thanksio):
    callback = browser.allow(thanksio, next="/letters/")
    AuthorizationRequest.objects.update(next_url="https://evil.example/")
    assert browser.get(callback)["Location"] == STATUS


@pytest.mark.compliance("RFC 6749", "10.14")
@pytest.mark.parametrize("text", ["/a\r\nSet-Cookie: evil=1", "/a\nX: 1", "/a\x0bb", "/a\x85b", "/a\u2028b"])
def test_header_injection_through_next_and_state_fails(browser, thanksio, text):
    for response in (
        browser.get(browser.allow(thanksio, next=text)),
        browser.post(CONNECT, {"next": text}),
        browser.get(CALLBACK, {"state": text, "code": text}),
        Browser().get(CALLBACK, {"state": text, "code": text}),
        Browser().get(CONNECT, {"next": text}),
    ):
        assert "evil" not in response.cookies
        assert all("\r" not in value and "\n" not in value for _name, value in response.items())


@pytest.mark.parametrize("piece", ["/", "é", "%", "&", "\U0001f4ee"])
def test_long_destination_strands_nobody_at_the_login(browser, thanksio, piece):
    """Encoded twice it would be longer than a request line may be: it is dropped, not answered with an error."""
    target = "/x" + piece * 1900
    location = Browser().post(CONNECT, {"next": target})["Location"]
    assert location == "/accounts/login/?next=/thanksio/connect/"
    callback = browser.allow(thanksio, next=target)
    browser.forget_session()
    assert browser.get(f"{callback}&returned=1")["Location"] == location


@pytest.mark.compliance("RFC 9700", "4.1")
@pytest.mark.compliance("RFC 6749", "10.6")
@pytest.mark.parametrize(
    "query",
    [
        {"redirect_uri": "https://evil.example/"},
        {"redirect_uri": f"https://evil.example{CALLBACK}"},
        {"client_id": "other", "scope": "everything", "response_type": "token", "state": "fixed"},
    ],
)
def test_no_parameter_of_the_authorization_comes_from_the_request(browser, thanksio, query):
    expected = query_of(browser.start())
    location = browser.post(f"{CONNECT}?{urlencode(query)}", query)["Location"]
    found = query_of(location)
    for name in ("redirect_uri", "client_id", "response_type"):
        assert found[name] == expected[name]
    assert "scope" not in found
    assert found["state"] != "fixed"


@pytest.mark.compliance("RFC 9700", "4.1")
@pytest.mark.parametrize("host", ["evil.example", "testserver.evil.example", "testserver@evil.example", "testserver:x"])
def test_forged_host_reaches_no_redirect_uri(browser, thanksio, settings, host):
    settings.ALLOWED_HOSTS = ["testserver"]
    for headers in ({"host": host}, {"x-forwarded-host": host, "host": host}):
        assert browser.post(CONNECT, headers=headers).status_code == 400
    assert not AuthorizationRequest.objects.exists()


@pytest.mark.compliance("RFC 9700", "4.1")
def test_forwarded_host_is_not_believed_unless_the_project_says_so(browser, thanksio):
    location = browser.post(CONNECT, headers={"x-forwarded-host": "evil.example"})["Location"]
    assert query_of(location)["redirect_uri"] == f"https://testserver{CALLBACK}"


@pytest.mark.compliance("RFC 9700", "4.1")
def test_configured_redirect_uri_stands_whatever_the_host(browser, thanksio, settings):
    settings.ALLOWED_HOSTS = ["*"]
    settings.THANKSIO_REDIRECT_URI = f"https://testserver{CALLBACK}"
    location = browser.post(CONNECT, headers={"host": "evil.example"})["Location"]
    assert query_of(location)["redirect_uri"] == f"https://testserver{CALLBACK}"


@pytest.mark.compliance("RFC 9700", "4.13")
@pytest.mark.parametrize("header", ["x-forwarded-proto", "x-forwarded-ssl", "forwarded", "front-end-https"])
def test_proxy_header_is_not_believed_unless_the_project_says_so(user, thanksio, header):
    """A client can send it, too: plain http stays plain http, and nothing starts."""
    browser = Client(headers={header: "https"})
    browser.force_login(user)
    assert browser.post(CONNECT).status_code == 503
    assert not AuthorizationRequest.objects.exists()


@pytest.mark.compliance("RFC 9700", "4.13")
def test_proxy_that_forgot_to_say_https_tells_the_user_at_the_first_page(user, thanksio, caplog, settings):
    """Before any button is pressed; under DEBUG with the setting that cures it."""
    browser = Client()
    browser.force_login(user)
    page = browser.get(CONNECT)
    assert page.status_code == 503
    assert "The cause is on our side" in page.content.decode()
    assert "SECURE_PROXY_SSL_HEADER" in caplog.text
    settings.DEBUG = True
    assert "SECURE_PROXY_SSL_HEADER" in browser.get(CONNECT).content.decode()


@pytest.mark.compliance("RFC 9700", "4.12")
@pytest.mark.compliance("RFC 9700", "4.9.1")
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirecting_token_endpoint_gets_code_and_secret_to_nobody_else(browser, user, thanksio, status):
    with FakeThanksIO() as elsewhere:
        thanksio.next_token(status=status, headers={"Location": elsewhere.token_url}, body="")
        assert browser.get(browser.allow(thanksio)).status_code == 502
        assert elsewhere.requests == []
    assert connection_of(user) is None
    assert thanksio.count("authorization_code") == 1


@pytest.mark.compliance("RFC 9700", "4.9.1")
@pytest.mark.parametrize("status", [302, 307, 308])
def test_redirecting_api_gets_the_token_to_nobody_else(user, thanksio, status):
    connection = thanksio.connect(user)
    with FakeThanksIO() as elsewhere:
        thanksio.next_api(status=status, headers={"Location": f"{elsewhere.url}/api/v2/mailing-lists/"}, body="")
        with pytest.raises(Exception, match=r"thanks\.io") as caught:
            connection.api.get("/mailing-lists/")
        assert elsewhere.requests == []
    assert connection.tokens.access_token.reveal() not in str(caught.value)


@pytest.mark.compliance("RFC 9700", "4.9.1")
@pytest.mark.compliance("OWASP ASVS 5.0", "10.1.1")
@pytest.mark.parametrize("path", ["{}/x", "//{}/x", "@{}/x", "/\\{}/x", "/../../{}/x"])
def test_counterfeit_resource_server_gets_no_token(user, thanksio, path):
    """Whatever a product passes as path, the token goes to ``THANKSIO_API_URL`` or nowhere."""
    connection = thanksio.connect(user)
    with FakeThanksIO() as elsewhere:
        for origin in (elsewhere.url, elsewhere.url.removeprefix("http://")):
            try:
                connection.api.get(path.format(origin))
            except Exception as error:
                assert connection.tokens.access_token.reveal() not in str(error)
        assert elsewhere.requests == []


@pytest.mark.compliance("RFC 9700", "4.14")
@pytest.mark.compliance("RFC 6749", "10.4")
def test_refresh_token_goes_to_the_token_endpoint_alone_and_is_stored_encrypted(user, thanksio):
    connection = thanksio.connect(user)
    token = connection.tokens.refresh_token.reveal()
    with database.cursor() as cursor:
        cursor.execute("SELECT * FROM thanksio_connect_connectiontokens")
        assert token not in str(cursor.fetchall())
    connection.api.get("/mailing-lists/")
    connection.refresh(force=True)
    carriers = [record for record in thanksio.requests if token in f"{record.path}{record.headers}{record.body!r}"]
    assert [(record.target, record.form["grant_type"]) for record in carriers] == [("token", "refresh_token")]


@pytest.mark.compliance("RFC 9700", "2.6")
def test_callback_in_clear_is_refused_before_anything_starts(user, thanksio, settings):
    settings.THANKSIO_REDIRECT_URI = "http://app.example/thanksio/callback/"
    browser = Browser()
    browser.force_login(user)
    assert browser.post(CONNECT).status_code == 503
    assert not AuthorizationRequest.objects.exists()


@pytest.mark.compliance("RFC 9700", "4.12")
def test_start_answers_with_a_redirect_that_drops_the_body(browser, thanksio):
    """302 becomes a GET in every browser; 307 and 308 would post the CSRF token to thanks.io."""
    assert browser.post(CONNECT, {"next": "/letters/"}).status_code in (302, 303)


@pytest.mark.compliance("RFC 9700", "4.4")
def test_code_goes_to_the_configured_token_endpoint_whatever_the_answer_says(browser, thanksio):
    """Mix-up: one server, one endpoint; nothing in the callback can name another."""
    with FakeThanksIO() as elsewhere:
        callback = browser.allow(thanksio)
        extra = urlencode({"token_url": elsewhere.token_url, "token_endpoint": elsewhere.token_url, "client_id": "x"})
        assert browser.get(f"{callback}&{extra}")["Location"] == STATUS
        assert elsewhere.requests == []


@pytest.mark.compliance("RFC 9700", "4.4")
def test_answer_of_another_server_finishes_nothing(browser, user, thanksio):
    """The browser was led to another authorization server with our state: its code fails, ours still works."""
    with FakeThanksIO() as other:
        query = query_of(browser.start())
        other.oauth.client_id = query["client_id"]
        foreign = path_of(other.visit(f"{other.authorize_url}?{urlencode(query)}"))
    assert browser.get(foreign).status_code == 400
    assert connection_of(user) is None


@pytest.mark.compliance("RFC 9700", "4.13")
def test_proxy_that_forgot_and_trusted_origins_that_hide_it_still_name_the_cause(user, thanksio, settings, caplog):
    """``CSRF_TRUSTED_ORIGINS`` makes the login work, the request stays http: thanks.io would refuse the URI."""
    settings.CSRF_TRUSTED_ORIGINS = ["https://testserver"]
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(user)
    browser.get(STATUS, headers={"accept": "application/json"})
    token = browser.cookies["csrftoken"].value
    response = browser.post(CONNECT, headers={"origin": "https://testserver", "x-csrftoken": token})
    assert response.status_code == 503
    assert "SECURE_PROXY_SSL_HEADER" in caplog.text
    settings.THANKSIO_REDIRECT_URI = f"https://testserver{CALLBACK}"
    response = browser.post(CONNECT, headers={"origin": "https://testserver", "x-csrftoken": token})
    assert browser.get(path_of(thanksio.visit(response["Location"])))["Location"] == STATUS


@pytest.mark.compliance("RFC 6749", "10.12")
@pytest.mark.parametrize("path", [CONNECT, DISCONNECT])
@pytest.mark.parametrize(
    "headers",
    [
        {"accept": "application/json"},
        {"accept": "application/json", "content-type": "text/plain"},
        {"accept": "application/json", "origin": "https://evil.example"},
        {"accept": "application/json", "origin": "null"},
        {"accept": "application/json", "x-csrftoken": "a" * 64},
        {"accept": "application/json", "x-requested-with": "XMLHttpRequest"},
    ],
)
def test_fetch_without_a_good_csrf_token_is_refused(user, thanksio, path, headers):
    thanksio.connect(user)
    browser = Browser(enforce_csrf_checks=True)
    browser.force_login(user)
    response = browser.post(path, "{}", content_type=headers.get("content-type", "application/json"), headers=headers)
    assert response.status_code == 403
    assert connection_of(user)
    assert not AuthorizationRequest.objects.exists()
    assert "access-control-allow-origin" not in browser.get(STATUS, headers=headers).headers


@pytest.mark.compliance("RFC 9700", "4.11.1")
@pytest.mark.parametrize("target", ['"><script>alert(1)</script>', "javascript:alert(1)", "//evil.example/"])
@pytest.mark.parametrize("autoescape", ["on", "off"])
def test_button_with_a_hostile_destination_is_inert(browser, user, thanksio, rf, target, autoescape):
    """``{% thanksio_connect_button next=request.GET.next %}``, as somebody will write it."""
    source = (
        "{% load thanksio_connect %}{% autoescape " + autoescape + " %}"
        "{% thanksio_connect_button next=request.GET.next %}{% endautoescape %}"
    )
    for who in (user, AnonymousUser()):
        request = rf.get("/product/", {"next": target})
        request.user = who
        html = engines["django"].from_string(source).render({}, request)
        assert "<script" not in html
        assert 'href="javascript' not in html
        assert 'href="//evil' not in html
    assert browser.get(browser.allow(thanksio, next=target))["Location"] == STATUS
