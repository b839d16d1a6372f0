"""What an attacker with the logs, the error mails, a debug page or an error tracker gets to see: no secret."""

import logging
import signal
import sys
import threading
import time

import django
import pytest
from asgiref.sync import async_to_sync
from django.conf import settings
from django.core import mail
from django.core.signals import got_request_exception
from django.db import DatabaseError, connections
from django.db import connection as database
from django.test import AsyncClient
from django.test.utils import CaptureQueriesContext
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
from thanksio_connect import signals
from thanksio_connect.client.tokens import Secret
from thanksio_connect.flows.browser import COOKIE_NAME
from thanksio_connect.models import AuthorizationRequest, ThanksIOConnection

pytestmark = pytest.mark.django_db

MIDDLEWARE = "tests.integration.attack_middleware"


def frames_of(traceback):
    while traceback:
        yield traceback.tb_frame
        traceback = traceback.tb_next


def stack_of(frame):
    while frame:
        yield frame
        frame = frame.f_back


def locals_of(frames, package=""):
    """Every local variable as an error tracker writes it down, ``sensitive_variables`` notwithstanding."""
    return [
        f"{frame.f_code.co_name}.{name}={value!r}"
        for frame in frames
        if package in frame.f_code.co_filename
        for name, value in list(frame.f_locals.items())
    ]


def whole_chain(error):
    """The frames of the error and of all that it was raised from or during."""
    seen = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield from frames_of(error.__traceback__)
        error = error.__cause__ or error.__context__


class Tracker(logging.Handler):
    """An error tracker: each record with the stack that wrote it, each exception with its frames."""

    def __init__(self):
        super().__init__(logging.DEBUG)
        self.seen = []

    def emit(self, record):
        self.seen += [record.getMessage(), repr(record.args), repr(record.__dict__.get("request"))]
        if record.exc_info:
            self.seen += locals_of(whole_chain(record.exc_info[1]))
        if record.levelno >= logging.WARNING:
            # Not the test's own frames, which hold the callback's address to send it.
            self.seen += locals_of(stack_of(sys._getframe()), "thanksio_connect/")

    def exception(self, **kwargs):
        self.seen += locals_of(whole_chain(sys.exc_info()[1]), "thanksio_connect/")


@pytest.fixture
def tracker():
    handler, root = Tracker(), logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    got_request_exception.connect(handler.exception)
    yield handler
    got_request_exception.disconnect(handler.exception)
    root.setLevel(before)
    root.removeHandler(handler)


@pytest.fixture
def mailed(settings):
    """Django's mail to the administrators, with its HTML report, for each error in any logger."""
    settings.ADMINS = ["operator@example.com"] if django.VERSION >= (6, 0) else [("Op", "op@example.com")]
    if django.VERSION >= (6, 1):
        settings.MAILERS = {"default": {"BACKEND": "django.core.mail.backends.locmem.EmailBackend"}}
    handler, logger = AdminEmailHandler(include_html=True), logging.getLogger()
    handler.setLevel(logging.WARNING)
    logging.getLogger("django").handlers = []
    logger.addHandler(handler)

    def texts():
        return [text for letter in mail.outbox for text in (letter.body, *(part[0] for part in letter.alternatives))]

    yield texts
    logger.removeHandler(handler)


def secrets_of(browser, callback) -> dict[str, str]:
    query = query_of(callback)
    row = AuthorizationRequest.objects.get()
    return {
        "state": query["state"],
        "code": query["code"],
        "verifier": row.code_verifier.reveal(),
        "nonce": browser.cookies[COOKIE_NAME].value,
        "client secret": settings.THANKSIO_CLIENT_SECRET,
    }


def assert_unseen(secrets, *texts):
    assert texts
    for text in texts:
        for name, secret in secrets.items():
            assert secret not in text, f"{name} in: {text[max(0, text.index(secret) - 200) : text.index(secret) + 20]}"


def test_tracker_would_see_a_secret(tracker):
    """The instrument works."""
    token = "a-token"  # noqa: F841 - seen in the frame
    try:
        raise ValueError("x")
    except ValueError:
        logging.getLogger("somewhere").exception("caught")
    assert any("a-token" in text for text in tracker.seen)


@pytest.mark.compliance("OWASP ASVS 5.0", "16.2.5")
@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize(
    "fault",
    [
        {},
        {"lose_reply": "before"},
        {"lose_reply": "after"},
        {"refuse": "invalid_client"},
        {"refuse": "code_expired"},
        {"status": 500, "body": "x"},
        {"status": 200, "body": "<html>"},
        {"status": 200, "body": '{"access_token": "a\\nb"}'},
        {"status": 429},
    ],
)
def test_logs_and_tracker_see_no_secret_of_any_ending(browser, user, thanksio, settings, tracker, mailed, debug, fault):
    settings.DEBUG = debug
    callback = browser.allow(thanksio)
    secrets = secrets_of(browser, callback)
    if fault:
        thanksio.next_token(**fault)
    page = browser.get(callback).content.decode()
    for pair in thanksio.token_requests("authorization_code"):
        if pair.pair:
            secrets |= {"access": pair.pair.access_token, "refresh": pair.pair.refresh_token}
    assert_unseen(secrets, page, *tracker.seen, *mailed())


@pytest.mark.compliance("OWASP ASVS 5.0", "16.2.5")
@pytest.mark.parametrize(
    "query",
    [
        {"state": "wrong", "code": "SECRET-CODE"},
        {"code": "SECRET-CODE"},
        {"state": "SECRET-STATE"},
        {"state": "SECRET-STATE", "code": ["SECRET-CODE", "SECRET-CODE"]},
        {"state": "SECRET-STATE\x00", "code": "SECRET-CODE"},
        {"state": "SECRET-STATE", "error": "x", "code": "SECRET-CODE"},
    ],
)
@pytest.mark.parametrize("method", ["get", "head", "post", "put"])
def test_refused_callbacks_are_logged_without_what_they_carried(browser, thanksio, tracker, mailed, query, method):
    browser.generic(method.upper(), f"{CALLBACK}?{browser_query(query)}")
    secrets = {"code": "SECRET-CODE", "state": "SECRET-STATE"}
    assert_unseen(secrets, *tracker.seen, *mailed(), "")


def browser_query(query):
    from urllib.parse import urlencode

    return urlencode(query, doseq=True)


@pytest.mark.django_db(transaction=True)
@pytest.mark.compliance("RFC 6749", "10.3")
def test_frames_of_ours_hold_no_secret_in_the_middle_of_the_exchange(thanksio):
    """A worker's time-out raises anywhere, and the tracker writes every frame: looked at while thanks.io thinks."""
    if database.vendor == "sqlite":
        pytest.skip("SQLite in memory is one connection for all threads")
    browser = Browser()
    browser.force_login(make_user())
    callback = browser.allow(thanksio)
    secrets = secrets_of(browser, callback)
    held = thanksio.next_token(hold="after")

    def open_callback():
        try:
            browser.get(callback)
        finally:
            database.close()

    thread = threading.Thread(target=open_callback)
    thread.start()
    held.wait_reached()

    def frames():
        """Of the view's thread, and of the one that the exchange has to itself."""
        stacks = [list(stack_of(frame)) for frame in sys._current_frames().values()]
        return [frame for stack in stacks for frame in stack if is_of_the_callback(stack)]

    def is_of_the_callback(stack):
        return any(frame.f_code.co_filename.endswith(("interruption.py", "views.py")) for frame in stack)

    while any(frame.f_code.co_name == "send" for frame in frames() if frame.f_code.co_filename.endswith("deadline.py")):
        time.sleep(0.01)  # the server has the request before the socket's write has returned
    seen = locals_of(frames(), "thanksio_connect/")
    held.release()
    thread.join(10)
    assert any(text.startswith("_exchange.") for text in seen)
    assert_unseen(secrets, *seen)


@pytest.mark.compliance("RFC 6749", "10.3")
def test_worker_that_is_stopped_in_the_middle_leaves_no_secret_in_its_frames(browser, user, thanksio):
    """Gunicorn's time-out raises ``SystemExit`` anywhere; the tracker writes all frames."""
    callback = browser.allow(thanksio)
    secrets = secrets_of(browser, callback)
    held = thanksio.next_token(hold="after")

    def stop(number, frame):
        raise SystemExit(1)

    before = signal.signal(signal.SIGALRM, stop)
    here = threading.get_ident()

    def stop_when_held():
        held.wait_reached()
        signal.pthread_kill(here, signal.SIGALRM)
        held.release()

    stopper = threading.Thread(target=stop_when_held)
    stopper.start()
    try:
        with pytest.raises(SystemExit) as stopped:
            browser.get(callback)
    finally:
        stopper.join()
        signal.signal(signal.SIGALRM, before)
    of_the_test = ("/tests/", "django/test/client.py")
    frames = [
        frame
        for frame in whole_chain(stopped.value)
        if not any(part in frame.f_code.co_filename for part in of_the_test)
    ]
    assert any(frame.f_code.co_name == "_connect" for frame in frames)
    tokens = connection_of(user).tokens
    assert thanksio.is_live(tokens.refresh_token)
    secrets |= {"access": tokens.access_token.reveal(), "refresh": tokens.refresh_token.reveal()}
    assert_unseen(secrets, *locals_of(frames))


@pytest.mark.parametrize("template", ["thanksio_connect/error.html", "thanksio_connect/callback_bounce.html"])
@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.compliance("RFC 9700", "4.2.1")
def test_broken_template_of_the_project_shows_no_secret(
    browser, user, thanksio, settings, tracker, mailed, tmp_path, template, debug
):
    """On the debug page, in the mail, in the tracker: wherever the template fails, also while it tells of an error."""
    settings.DEBUG = debug
    file = tmp_path / template
    file.parent.mkdir()
    file.write_text("{% load i18n %}{{ problem.title }}{% include 'gone.html' %}{% url 'gone' %}")
    settings.TEMPLATES = [settings.TEMPLATES[0] | {"DIRS": [tmp_path]}]
    callback = browser.allow(thanksio)
    secrets = secrets_of(browser, callback)
    browser.raise_request_exception = False
    if "bounce" in template:
        browser.forget_session()
    else:
        thanksio.next_token(refuse="invalid_client")
    response = browser.get(callback)
    assert response.status_code == 500
    assert_unseen(secrets, response.content.decode(), *tracker.seen, *mailed())


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("debug", [False, True])
def test_failing_signal_receiver_harms_nothing_and_shows_no_secret(
    browser, user, thanksio, settings, tracker, mailed, debug
):
    settings.DEBUG = debug

    def receive(connection, **kwargs):
        raise RuntimeError(f"broken by the project: {connection!r}")

    signals.connected.connect(receive)
    try:
        callback = browser.allow(thanksio)
        secrets = secrets_of(browser, callback)
        assert browser.get(callback)["Location"] == STATUS
    finally:
        signals.connected.disconnect(receive)
    connection = connection_of(user)
    secrets |= {"access": connection.tokens.access_token.reveal(), "refresh": connection.tokens.refresh_token.reveal()}
    assert any("broken by the project" in text for text in mailed())
    assert_unseen(secrets, *tracker.seen, *mailed())


@pytest.mark.parametrize("debug", [False, True])
def test_failing_middleware_of_the_project_shows_no_secret(browser, user, thanksio, settings, tracker, mailed, debug):
    """It raises after the callback has answered: the connection stays, the report is empty of secrets."""
    settings.DEBUG = debug
    callback = browser.allow(thanksio)
    secrets = secrets_of(browser, callback)
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{MIDDLEWARE}.RaisesAfterwards"]
    reloaded = Browser(raise_request_exception=False)
    reloaded.cookies = browser.cookies
    response = reloaded.get(callback)
    assert response.status_code == 500
    connection = connection_of(user)
    assert thanksio.is_live(connection.tokens.refresh_token)
    secrets |= {"access": connection.tokens.access_token.reveal(), "refresh": connection.tokens.refresh_token.reveal()}
    assert_unseen(secrets, response.content.decode(), *tracker.seen, *mailed())


@pytest.mark.parametrize("debug", [False, True])
def test_failing_database_at_the_start_shows_no_verifier(
    browser, thanksio, settings, tracker, mailed, monkeypatch, debug
):
    """An error of the project's, reported as the project reports errors."""
    settings.DEBUG = debug
    verifiers = []

    def remember(row, *args, **kwargs):
        verifiers.append(Secret(row.code_verifier.reveal()))
        raise DatabaseError("disk full")

    monkeypatch.setattr(AuthorizationRequest, "save", remember)
    browser.raise_request_exception = False
    response = browser.post(CONNECT)
    assert response.status_code == 500
    assert_unseen({"verifier": verifiers[0].reveal()}, response.content.decode(), *tracker.seen, *mailed())


@pytest.mark.compliance("RFC 6749", "10.3")
@pytest.mark.parametrize("debug", [False, True])
def test_failing_database_at_an_import_shows_no_token(
    user, thanksio, settings, tracker, mailed, monkeypatch, rf, debug
):
    """A product's own view calls ``objects.connect()``: Django's reports and the tracker show all frames below it."""
    settings.DEBUG = debug
    tokens = thanksio.issue()

    def broken(*args, **kwargs):
        raise DatabaseError("disk full")

    monkeypatch.setattr(ThanksIOConnection, "save", broken)
    try:
        ThanksIOConnection.objects.connect(user, tokens)
    except DatabaseError:
        logging.getLogger("django.request").exception("failed", extra={"request": rf.get("/"), "status_code": 500})
    secrets = {"access": tokens.access_token, "refresh": tokens.refresh_token}
    assert any("disk full" in text for text in mailed())
    assert_unseen(secrets, *tracker.seen, *mailed())


@pytest.mark.compliance("RFC 6749", "10.3")
@pytest.mark.compliance("RFC 6749", "10.4")
def test_statements_hold_no_secret_in_clear(browser, user, thanksio):
    """``django.db.backends`` at DEBUG, the slow query log, a replication stream."""
    with CaptureQueriesContext(connections["default"]) as queries:
        callback = browser.allow(thanksio)
        secrets = secrets_of(browser, callback)
        browser.get(callback)
    connection = ThanksIOConnection.objects.get()
    secrets |= {"access": connection.tokens.access_token.reveal(), "refresh": connection.tokens.refresh_token.reveal()}
    del secrets["client secret"]
    assert_unseen(secrets, *(query["sql"] for query in queries))


@pytest.mark.compliance("RFC 9700", "4.2.4")
def test_page_that_comes_back_by_itself_leaves_no_referrer(browser, thanksio):
    """Under a Strict session the next page's scripts would read the code in ``document.referrer``."""
    callback = browser.allow(thanksio)
    browser.forget_session()
    page = browser.get(callback)
    assert page["Referrer-Policy"] == "no-referrer"
    assert "<form" not in page.content.decode()  # it would post Origin: null


@pytest.mark.compliance("RFC 9700", "4.16")
@pytest.mark.parametrize("middleware", [True, False])
def test_no_page_is_framed_whatever_the_project_allows_elsewhere(browser, user, thanksio, settings, middleware):
    """The confirmation pages, the status page and the errors, also on the project's own site."""
    settings.X_FRAME_OPTIONS = "SAMEORIGIN"
    if not middleware:
        settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if "clickjacking" not in name]
    thanksio.connect(user)
    for path in (STATUS, CONNECT, DISCONNECT, CALLBACK):
        assert browser.get(path)["X-Frame-Options"] == "DENY"


@pytest.mark.compliance("RFC 6749", "4.1.2.1")
@pytest.mark.parametrize(
    "description",
    [
        "%ff%fe",
        "%C0%AF%ED%A0%80",
        "%zz%",
        "%E2%80%AE%00%1b[31m",
        "%3Cimg%20src=x%20onerror=alert(1)%3E",
        "%0d%0aSet-Cookie:%20evil=1",
        "%F0%9F%93%AE" * 20_000,
        "a" * 100_000,
        "{{%20settings.SECRET_KEY%20}}%25(x)s%7B0%7D",
    ],
    ids=lambda text: text[:20],
)
def test_error_of_thanksio_in_any_spelling_is_neither_shown_nor_obeyed(browser, user, thanksio, caplog, description):
    """With the good state of the user's own flow: the words are the attacker's all the same."""
    state = query_of(browser.start())["state"]
    response = browser.get(f"{CALLBACK}?state={state}&error=server_error&error_description={description}")
    page = response.content.decode()
    assert response.status_code == 400
    assert "thanks.io did not accept the request of this site" in page
    assert len(page) < 3000
    for seen in (page, str(response.headers), str(response.cookies)):
        assert "onerror" not in seen
        assert "evil" not in seen
    for line in caplog.messages:
        assert line.isprintable()
        assert len(line) < 1000
    assert "tests-only" not in page + caplog.text


@pytest.mark.compliance("OWASP ASVS 5.0", "16.2.5")
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_nothing_is_left_in_the_scope_under_asgi(user, thanksio, tracker, method):
    """Error trackers read the query from the scope; the flow itself works as under WSGI."""
    browser = Browser()
    browser.force_login(user)
    callback = browser.allow(thanksio)
    secrets = secrets_of(browser, callback)
    client = AsyncClient()
    client.cookies = browser.cookies

    async def visit():
        return await client.generic(method, callback, secure=True)

    response = async_to_sync(visit)()
    assert response.status_code == (302 if method == "GET" else 405)
    request = response.asgi_request
    assert_unseen(
        secrets, repr(request.scope["query_string"]), repr(request.GET), request.get_full_path(), *tracker.seen
    )
