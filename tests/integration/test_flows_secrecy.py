"""Where the code, the state, the verifier, the nonce and the tokens must not be seen."""

import logging
import re
import threading

import django
import pytest
from django.contrib.sessions.models import Session
from django.core import mail
from django.db import connection as database
from django.template import TemplateSyntaxError
from django.utils.log import AdminEmailHandler

from tests.integration.browsing import (
    CALLBACK,
    CONNECT,
    DISCONNECT,
    STATUS,
    Browser,
    connection_of,
    make_user,
    query_of,
)
from thanksio_connect.flows import callback as callback_flow
from thanksio_connect.flows.browser import COOKIE_NAME
from thanksio_connect.models import AuthorizationRequest, ThanksIOConnectionManager
from thanksio_connect.views import authorize as authorize_views

pytestmark = pytest.mark.django_db


@pytest.fixture
def everything_logged(caplog):
    """DEBUG of everything, the HTTP library and Django included, with what each record carries."""
    caplog.set_level(logging.DEBUG)
    for name in ("thanksio_connect", "django", "django.request", "urllib3", "requests"):
        caplog.set_level(logging.DEBUG, logger=name)

    def text():
        carried = " ".join(
            f"{record.getMessage()} {record.__dict__.get('request')!r} {record.exc_text or ''}"
            for record in caplog.records
        )
        return caplog.text + carried

    return text


def secrets_of(browser, callback) -> dict[str, str]:
    query = query_of(callback)
    row = AuthorizationRequest.objects.get()
    return {
        "state": query["state"],
        "code": query["code"],
        "verifier": row.code_verifier.reveal(),
        "nonce": browser.cookies[COOKIE_NAME].value,
    }


def assert_hidden(secrets: dict[str, str], *texts: str) -> None:
    for text in texts:
        for name, secret in secrets.items():
            assert secret not in text, f"{name} is seen"


@pytest.mark.compliance("RFC 9700", "4.2.4")
def test_success_leaves_no_secret_in_logs_session_messages_and_pages(browser, thanksio, user, everything_logged):
    callback = browser.allow(thanksio)
    secrets = secrets_of(browser, callback)
    response = browser.get(callback)
    page = browser.get(STATUS)
    connection = connection_of(user)
    secrets |= {"access": connection.tokens.access_token.reveal(), "refresh": connection.tokens.refresh_token.reveal()}
    assert_hidden(
        secrets,
        everything_logged(),
        response.content.decode(),
        response["Location"],
        page.content.decode(),
        " ".join(str(session.get_decoded()) for session in Session.objects.all()),
    )


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("fault", [{"lose_reply": "before"}, {"refuse": "invalid_client"}, {"status": 500}])
def test_failing_exchange_leaves_no_secret_in_logs_and_on_the_page(
    browser, thanksio, everything_logged, settings, debug, fault
):
    settings.DEBUG = debug
    callback = browser.allow(thanksio)
    secrets = secrets_of(browser, callback)
    thanksio.next_token(**fault)
    response = browser.get(callback)
    assert response.status_code >= 500
    assert_hidden(secrets, everything_logged(), response.content.decode())


@pytest.fixture
def mailed_errors(settings):
    """Django mails its administrators for each 5xx, with the request's query, cookies and META."""
    settings.ADMINS = ["operator@example.com"] if django.VERSION >= (6, 0) else [("Op", "op@example.com")]
    if django.VERSION >= (6, 1):
        settings.MAILERS = {"default": {"BACKEND": "django.core.mail.backends.locmem.EmailBackend"}}
    logging.getLogger("django").handlers = []  # the default one would mail a second time
    handler = AdminEmailHandler(include_html=True)
    logger = logging.getLogger("django.request")
    logger.addHandler(handler)
    yield mail.outbox
    logger.removeHandler(handler)


@pytest.mark.compliance("OWASP ASVS 5.0", "16.2.5")
def test_error_mail_to_administrators_hides_the_callback(browser, thanksio, mailed_errors):
    callback = browser.allow(thanksio)
    secrets = secrets_of(browser, callback)
    with thanksio.down():
        assert browser.get(callback).status_code == 502
    assert len(mailed_errors) == 1
    [message] = mailed_errors
    texts = [message.body, *(part[0] for part in message.alternatives)]
    assert any("QUERY_STRING" in text for text in texts)
    assert_hidden(secrets, message.subject, *texts)


def test_debug_page_of_a_broken_error_template_hides_the_callback(browser, thanksio, settings, monkeypatch):
    """The project's own template fails while it tells of a failed exchange."""
    settings.DEBUG = True
    callback = browser.allow(thanksio)
    secrets = secrets_of(browser, callback)
    browser.raise_request_exception = False

    def broken(*args, **kwargs):
        raise TemplateSyntaxError("broken by the project")

    monkeypatch.setattr("thanksio_connect.views.problems.render", broken)
    thanksio.next_token(refuse="invalid_client")
    response = browser.get(callback)
    html = response.content.decode()
    assert response.status_code == 500
    assert "broken by the project" in html
    assert_hidden(secrets, html)


def test_error_after_the_exchange_hides_the_tokens(browser, thanksio, settings, monkeypatch, everything_logged):
    settings.DEBUG = True
    callback = browser.allow(thanksio)
    seen = []

    def broken(manager, user, token_set, **options):
        seen.append(token_set)
        raise RuntimeError("disk full")

    monkeypatch.setattr(ThanksIOConnectionManager, "connect", broken)
    response = browser.get(callback)
    token_set = seen[0]
    secrets = {"access": token_set.access_token, "refresh": token_set.refresh_token}
    assert_hidden(secrets, response.content.decode(), everything_logged(), repr(token_set))


@pytest.mark.compliance("RFC 9700", "4.2.1")
def test_login_page_gets_neither_code_nor_state(browser, thanksio):
    callback = browser.allow(thanksio)
    secrets = secrets_of(browser, callback)
    browser.forget_session()
    response = browser.get(f"{callback}&returned=1")
    assert_hidden(secrets, response["Location"], str(response.cookies))


def test_cookies_hold_no_state_and_no_code(browser, thanksio):
    callback = browser.allow(thanksio)
    secrets = secrets_of(browser, callback)
    del secrets["nonce"]
    browser.get(callback)
    assert_hidden(secrets, browser.cookies.output())


@pytest.mark.compliance("RFC 9700", "4.2.4")
@pytest.mark.compliance("RFC 9700", "4.16")
@pytest.mark.compliance("OWASP ASVS 5.0", "14.2.2")
def test_every_answer_is_neither_stored_nor_framed_nor_referred(browser, thanksio, user):
    anonymous = Browser()
    callback = browser.allow(thanksio)
    responses = [
        anonymous.get(STATUS),
        anonymous.post(CONNECT),
        anonymous.get(callback),
        anonymous.get(f"{callback}&returned=1"),
        browser.get(CALLBACK),
        browser.put(CALLBACK),
        browser.get(CONNECT),
        browser.post(CONNECT),
        browser.get(callback),
        browser.get(STATUS),
        browser.get(STATUS, headers={"accept": "application/json"}),
        browser.get(DISCONNECT),
        browser.post(DISCONNECT),
    ]
    for response in responses:
        assert "no-store" in response["Cache-Control"]
        assert "private" in response["Cache-Control"]
        assert response["Referrer-Policy"] in ("same-origin", "no-referrer")
        assert response["X-Frame-Options"] == "DENY"
        assert "Cookie" in response["Vary"]


@pytest.mark.compliance("RFC 9700", "4.17")
@pytest.mark.compliance("RFC 9700", "4.2.1")
def test_pages_load_nothing_and_run_nothing(browser, thanksio, user):
    pages = [browser.get(path).content.decode() for path in (STATUS, CONNECT, CALLBACK)]
    browser.get(browser.allow(thanksio))
    pages += [browser.get(path).content.decode() for path in (STATUS, CONNECT, DISCONNECT)]
    pages.append(Browser().get(CALLBACK, {"state": "s", "code": "c"}).content.decode())
    for page in pages:
        page = page.replace('<link rel="stylesheet" href="/static/thanksio_connect/thanksio_connect.css">', "", 1)
        assert not re.search(r"<script|<style|style=|<link|<img|\son\w+=|javascript:", page)


@pytest.mark.compliance("OWASP ASVS 5.0", "14.2.2")
def test_site_wide_cache_keeps_no_page(browser, thanksio, settings):
    settings.MIDDLEWARE = [
        "django.middleware.cache.UpdateCacheMiddleware",
        *settings.MIDDLEWARE,
        "django.middleware.cache.FetchFromCacheMiddleware",
    ]
    assert "No thanks.io account" in browser.get(STATUS).content.decode()
    browser.get(browser.allow(thanksio))
    assert "has been connected since" in browser.get(STATUS).content.decode()


def test_callback_is_outside_of_atomic_requests():
    assert "default" in authorize_views.callback._non_atomic_requests


@pytest.mark.django_db(transaction=True)
@pytest.mark.compliance("RFC 6749", "4.1.2")
def test_second_callback_during_the_exchange_sends_nothing_and_harms_nothing(thanksio):
    """A code used twice revokes what it gave."""
    user = make_user()
    browser = Browser()
    browser.force_login(user)
    callback = browser.allow(thanksio)
    answers = []
    thanksio.on_token(lambda record: answers.append(_open_as_twin(browser, callback)))
    assert browser.get(callback)["Location"] == STATUS
    assert [answer.status_code for answer in answers] == [409]
    assert browser.get(callback)["Location"] == STATUS
    assert thanksio.count("authorization_code") == 1
    assert thanksio.is_live(connection_of(user).tokens.refresh_token)


@pytest.mark.django_db(transaction=True)
@pytest.mark.compliance("RFC 6749", "4.1.2")
def test_two_simultaneous_callbacks_both_end_connected(thanksio):
    """The second's page comes again by itself, until the first is done."""
    if database.vendor == "sqlite" and database.is_in_memory_db():
        pytest.skip("SQLite in memory locks whole tables between threads, without waiting")
    user = make_user()
    browser = Browser()
    browser.force_login(user)
    callback = browser.allow(thanksio)
    held = thanksio.next_token(hold="after")
    answers = []

    def open_callback():
        answers.append(_open_as_twin(browser, callback, pause_seconds=1))

    first = threading.Thread(target=open_callback)
    first.start()
    held.wait_reached()
    second = threading.Thread(target=open_callback)
    second.start()
    second.join(0.5)
    assert second.is_alive()  # its page comes again
    held.release()
    first.join(10)
    second.join(10)
    assert [(answer.status_code, answer["Location"]) for answer in answers] == [(302, STATUS)] * 2
    assert thanksio.count("authorization_code") == 1
    assert thanksio.is_live(connection_of(user).tokens.refresh_token)


def _open_as_twin(browser, callback, *, pause_seconds=0.0):
    """The same browser's second request, in this thread and on its own database connection."""
    twin = Browser()
    twin.cookies = browser.cookies
    try:
        return twin.arrive(callback, pause_seconds=pause_seconds)
    finally:
        database.close()
        if database.connection is not None:  # in memory, Django's close() does nothing
            database.connection.close()


def test_lost_race_for_the_request_sends_no_code(browser, thanksio, user, monkeypatch):
    """Both callbacks have read the row; the other one deletes it first and fails."""
    callback = browser.allow(thanksio)
    monkeypatch.setattr(callback_flow, "_consume", lambda opened: False)
    response = browser.arrive(callback)
    assert response.status_code == 409
    assert thanksio.count("authorization_code") == 0
