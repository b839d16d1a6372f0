"""Each way in which an installation can be broken, and who names the cause: a check, the doctor, the log, the admin, a
command, the page under DEBUG. In a healthy installation none of these words appears.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import format_datetime
from types import ModuleType
from typing import Any
from unittest import mock

import pytest
import requests
from cryptography import x509
from cryptography.fernet import Fernet
from django.conf.urls.i18n import i18n_patterns
from django.core.checks import run_checks
from django.core.management import CommandError, call_command
from django.db import connection as database
from django.db.migrations.recorder import MigrationRecorder
from django.db.models.signals import post_save
from django.urls import include, path

from tests.integration.browsing import CALLBACK, CONNECT, Browser, query_of
from tests.integration.client_server import ScriptedServer, answering, free_port, reply
from tests.integration.staff import LIST, page_of
from tests.integration.test_client_tls import authority
from thanksio_connect.exceptions import ThanksIOConfigurationError, ThanksIOError
from thanksio_connect.fields import utc_now
from thanksio_connect.flows.browser import COOKIE_NAME
from thanksio_connect.models import ConnectionTokens, Sweep, ThanksIOConnection
from thanksio_connect.signals import tokens_refreshed
from thanksio_connect.testing import FakeThanksIO

__all__ = ["authority"]
pytestmark = pytest.mark.django_db
URI = "https://shop.example/thanksio/callback/"
OWN = include("thanksio_connect.urls")


@dataclass
class Installation:
    """One in which nothing is wrong, with one connected user; and its stand-in for thanks.io."""

    settings: Any
    environment: pytest.MonkeyPatch
    thanksio: FakeThanksIO
    connection: ThanksIOConnection
    client_of: Callable[..., Any]
    caplog: pytest.LogCaptureFixture
    authority: Any
    until_the_end: ExitStack = field(default_factory=ExitStack)

    def without(self, name: str, setting: str) -> None:
        setattr(self.settings, setting, [each for each in getattr(self.settings, setting) if each != name])

    def urls(self, *patterns: Any) -> None:
        module = ModuleType("broken_urls")
        module.urlpatterns = list(patterns)
        self.settings.ROOT_URLCONF = module

    def answers(self, *args: Any, **kwargs: Any) -> str:
        """The address of a server that always answers so."""
        return self.until_the_end.enter_context(ScriptedServer(answering(*args, **kwargs))).url

    def tokens(self, **values: Any) -> None:
        ConnectionTokens._base_manager.update(**values)

    def renew(self) -> None:
        """As a view would; what it raises is its caller's business."""
        with suppress(ThanksIOError, ThanksIOConfigurationError):
            ThanksIOConnection.objects.get().refresh(force=True)

    @property
    def browser(self) -> Browser:
        browser = Browser()
        browser.force_login(self.connection.user)
        return browser


# Who may name a cause


def check(_: Installation) -> str:
    found = run_checks(include_deployment_checks=True, databases=["default"])
    return "\n".join(f"{message.msg} {message.hint}" for message in found if "thanksio" in str(message.id))


def doctor(_: Installation) -> str:
    out = io.StringIO()
    with suppress(SystemExit):
        call_command("thanksio_doctor", stdout=out)
    return re.sub(r"\n +→", "", re.sub(r"^ok .*\n", "", out.getvalue(), flags=re.MULTILINE))


def log(it: Installation) -> str:
    return it.caplog.text


def command(_: Installation, name: str = "refresh_thanksio_tokens") -> str:
    out = io.StringIO()
    try:
        call_command(name, stdout=out, stderr=out)
    except CommandError as error:
        return f"{out.getvalue()}{error}"
    return out.getvalue()


def status(it: Installation) -> str:
    return command(it, "thanksio_status")


def admin(it: Installation) -> str:
    """The list and the page of the connection, as somebody reads them who may only look."""
    client = it.client_of("view")
    pages = [client.get(address) for address in (LIST, page_of(it.connection))]
    return "\n".join(html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page.text))) for page in pages)


def debug_page(it: Installation) -> str:
    it.settings.DEBUG = True
    return it.browser.get(CONNECT).text


NAMERS = (check, doctor, log, command, status, admin, debug_page)
Namer = Callable[[Installation], str]
How = Callable[[Installation], None]
WAYS: list[Any] = []


def named(by: Namer, words: str) -> Callable[[How], How]:
    """The function breaks an installation, and then ``by`` has ``words``."""

    def note(how: How) -> How:
        WAYS.append(pytest.param(by, words, how, id=f"{how.__name__}-{by.__name__}"))
        return how

    return note


# Settings


@named(check, "THANKSIO_CLIENT_ID is not set. thanks.io shows it at")
@named(debug_page, "THANKSIO_CLIENT_ID is not set.")
@named(command, "THANKSIO_CLIENT_ID is not set.")
def no_client_id(it):
    it.settings.THANKSIO_CLIENT_ID = ""


@named(doctor, "THANKSIO_CLIENT_SECRET is not set.")
def no_client_secret(it):
    it.settings.THANKSIO_CLIENT_SECRET = ""


@named(log, "THANKSIO_CLIENT_SECRET is not set.")
def no_client_secret_and_somebody_connects(it):
    it.settings.THANKSIO_CLIENT_SECRET = ""
    it.browser.post(CONNECT)


@named(check, "THANKSIO_CLIENT_ID is one, and is not set. Is that what you mean?")
@named(doctor, "THANKSIO_CLIENTID is no setting of thanksio_connect, and is ignored.")
def a_misspelt_client_id(it):
    it.settings.THANKSIO_CLIENTID = it.settings.THANKSIO_CLIENT_ID
    del it.settings.THANKSIO_CLIENT_ID


@named(check, "THANKSIO_RATE_LIMIT_PER_MINUTE is one, and is not set.")
def a_name_without_its_unit(it):
    it.environment.setenv("THANKSIO_RATE_LIMIT", "30")


@named(check, "THANKS_IO_SCOPES is no setting of thanksio_connect")
def a_name_with_another_prefix(it):
    it.environment.setenv("THANKS_IO_SCOPES", "send")


@named(check, "THANKSIO_API_URL is in quotes. Remove them: docker's --env-file")
@named(doctor, "THANKSIO_API_URL is in quotes. Remove them")
def a_value_in_quotes(it):
    it.settings.THANKSIO_API_URL = '"https://api.thanks.io/api/v2"'


@named(check, "The environment variable THANKSIO_PKCE must be true or false.")
def a_switch_that_is_neither(it):
    it.environment.setenv("THANKSIO_PKCE", "ture")


@named(check, "THANKSIO_TOKEN_URL must be an absolute https:// URL")
def plain_http(it):
    it.settings.THANKSIO_TOKEN_URL = "http://dashboard.thanks.io/oauth/token"


@named(check, "THANKSIO_PREPARE_SESSION must be the dotted path of a function")
def a_function_that_is_not_there(it):
    it.settings.THANKSIO_PREPARE_SESSION = "shop.tenants.prepare"


@named(check, "THANKSIO_READ_TIMEOUT_SECONDS is below 10")
def a_short_read_timeout(it):
    it.settings.THANKSIO_READ_TIMEOUT_SECONDS = 2


# The key


@named(check, "FIELD_ENCRYPTION_KEY is missing. Make a key with")
@named(doctor, "FIELD_ENCRYPTION_KEY is missing.")
@named(command, "FIELD_ENCRYPTION_KEY is missing.")
def no_key(it):
    it.settings.FIELD_ENCRYPTION_KEY = None


@named(check, "part 2 of 2 is no whole key")
def half_a_key(it):
    it.settings.FIELD_ENCRYPTION_KEY += "," + it.settings.FIELD_ENCRYPTION_KEY[:20]


@named(doctor, "FIELD_ENCRYPTION_KEY is another key than the one they were encrypted with. Put that one back.")
def another_key(it):
    it.settings.FIELD_ENCRYPTION_KEY = Fernet.generate_key().decode()


@named(admin, "Put the right key back into FIELD_ENCRYPTION_KEY.")
@named(status, "undecryptable 1")
@named(log, "FIELD_ENCRYPTION_KEY")
def another_key_and_a_renewal(it):
    another_key(it)
    it.renew()


# The OAuth client


@named(doctor, "Compare THANKSIO_CLIENT_ID and THANKSIO_CLIENT_SECRET with what thanks.io shows")
def a_wrong_secret(it):
    it.settings.THANKSIO_CLIENT_SECRET = "wrong"


@named(log, "THANKSIO_CLIENT_SECRET")
def a_wrong_secret_and_a_renewal(it):
    a_wrong_secret(it)
    it.renew()


@named(log, "THANKSIO_CLIENT_SECRET")
def a_wrong_secret_and_somebody_connects(it):
    browser = it.browser
    callback = browser.allow(it.thanksio)
    a_wrong_secret(it)
    browser.get(callback)


@named(doctor, "thanks.io refuses this site's OAuth client (invalid_client).")
def a_wrong_client_id(it):
    it.settings.THANKSIO_CLIENT_ID = "17"


@named(admin, "thanks.io gave these tokens to another OAuth client")
def a_grant_of_another_client(it):
    it.thanksio.next_token(refuse="client_mismatch", times=None)
    it.renew()
    it.renew()


# The way back from thanks.io


@named(doctor, f"thanks.io accepts the client id and the secret, but not the redirect URI {URI}.")
def a_redirect_uri_that_is_not_registered(it):
    def script(connection, request):
        code = "invalid_client" if "redirect_uri" in request.form else "invalid_grant"
        connection.sendall(reply(401 if code == "invalid_client" else 400, {"error": code}))

    server = it.until_the_end.enter_context(ScriptedServer(script))
    it.settings.THANKSIO_TOKEN_URL = f"{server.url}/oauth/token"


@named(log, f"compare THANKSIO_CLIENT_ID and {URI} with what is registered at thanks.io")
def a_redirect_uri_that_thanksio_refuses(it):
    browser = it.browser
    browser.get(CALLBACK, {"state": query_of(browser.start())["state"], "error": "invalid_request"})


@named(check, "THANKSIO_REDIRECT_URI leads nowhere in the project's URLs (/oauth/callback/)")
@named(doctor, "The callback is at /thanksio/callback/.")
def a_redirect_uri_that_leads_nowhere(it):
    it.settings.THANKSIO_REDIRECT_URI = "https://shop.example/oauth/callback/"


@named(check, "THANKSIO_REDIRECT_URI is another page of the project (/thanksio/)")
def a_redirect_uri_of_another_page(it):
    it.settings.THANKSIO_REDIRECT_URI = "https://shop.example/thanksio/"


@named(log, "THANKSIO_REDIRECT_URI")
def a_redirect_uri_at_another_host(it):
    browser = it.browser
    callback = browser.allow(it.thanksio)
    del browser.cookies[COOKIE_NAME]
    browser.get(callback)


@named(check, "If a proxy ends TLS, Django sees plain http")
@named(doctor, "Set SECURE_PROXY_SSL_HEADER, or THANKSIO_REDIRECT_URI")
def a_proxy_that_may_hide_https(it):
    it.settings.THANKSIO_REDIRECT_URI = ""


@named(log, "SECURE_PROXY_SSL_HEADER")
def a_proxy_that_hides_https(it):
    it.settings.THANKSIO_REDIRECT_URI = ""
    browser = it.browser
    browser.is_secure = False
    browser.post(CONNECT)


@named(check, "The callback stands inside i18n_patterns()")
def a_callback_for_each_language(it):
    it.settings.THANKSIO_REDIRECT_URI = ""
    it.urls(*i18n_patterns(path("thanksio/", OWN)))


@named(check, "The callback's path has captured parts (tenant)")
def a_callback_for_each_tenant(it):
    it.settings.THANKSIO_REDIRECT_URI = ""
    it.urls(path("<slug:tenant>/thanksio/", OWN))


# The project around


@named(check, "The pages of thanksio_connect are not in the project's URLs.")
@named(doctor, 'Add path("thanksio/", include("thanksio_connect.urls")) to the root URLconf.')
def no_urls(it):
    it.settings.THANKSIO_REDIRECT_URI = ""
    it.urls()


@named(check, "LOGIN_URL leads nowhere in the project's URLs")
def no_login_page(it):
    it.settings.LOGIN_URL = "/sign/in/"


@named(check, "LOGIN_URL names no URL of the project ('sign-in')")
@named(doctor, "LOGIN_URL names no URL of the project ('sign-in')")
def a_login_page_by_a_wrong_name(it):
    it.settings.LOGIN_URL = "sign-in"


@named(check, "Nothing in the project seems to keep sessions")
def no_sessions(it):
    it.without("django.contrib.sessions.middleware.SessionMiddleware", "MIDDLEWARE")


@named(check, "Nothing in the project seems to set request.user")
def no_users(it):
    it.without("django.contrib.auth.middleware.AuthenticationMiddleware", "MIDDLEWARE")


@named(check, "The form-action of CSP_FORM_ACTION does not allow")
def a_content_security_policy(it):
    it.settings.MIDDLEWARE = [*it.settings.MIDDLEWARE, "csp.middleware.CSPMiddleware"]
    it.settings.CSP_FORM_ACTION = ("'self'",)


@named(doctor, "requests.post is mocked in this process, and thanksio_connect does not send by it")
def requests_is_mocked(it):
    it.settings.THANKSIO_TOKEN_URL = "https://dashboard.thanks.io.invalid/oauth/token"
    it.until_the_end.enter_context(mock.patch.object(requests, "post"))


@named(log, "RuntimeError: the audit table is full")
def a_receiver_that_fails(it):
    def audit(sender, **kwargs):
        raise RuntimeError("the audit table is full")

    it.until_the_end.callback(tokens_refreshed.disconnect, audit)
    tokens_refreshed.connect(audit)
    it.renew()


@named(log, "LookupError")
def an_audit_package_that_fails_when_rows_are_saved(it):
    def audit(sender, **kwargs):
        raise LookupError

    it.connection.delete()
    callback = (browser := it.browser).allow(it.thanksio)
    it.until_the_end.callback(post_save.disconnect, audit, ThanksIOConnection)
    post_save.connect(audit, ThanksIOConnection)
    browser.get(callback)


# The network


@named(doctor, "Name the CA bundle that vouches for it in the environment variable REQUESTS_CA_BUNDLE")
def a_certificate_that_nobody_vouches_for(it):
    context = it.authority[1](x509.DNSName("localhost"))
    it.settings.THANKSIO_API_URL = it.until_the_end.enter_context(ScriptedServer(answering(401, {}), context)).url


@named(log, "REQUESTS_CA_BUNDLE")
@named(admin, "thanks.io could not be reached. Nothing was sent, so nothing was lost.")
def a_certificate_that_nobody_vouches_for_and_a_renewal(it):
    context = it.authority[1](x509.DNSName("localhost"))
    it.settings.THANKSIO_TOKEN_URL = it.until_the_end.enter_context(ScriptedServer(answering(401, {}), context)).url
    it.renew()


@named(doctor, "The CA bundle that the environment names (REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE) can't be read.")
def a_ca_bundle_that_is_not_there(it):
    it.environment.setenv("REQUESTS_CA_BUNDLE", "/no/such/file.pem")
    it.settings.THANKSIO_API_URL = f"https://127.0.0.1:{free_port()}"


@named(doctor, "The host's name was not found. Check THANKSIO_API_URL and this machine's DNS.")
def a_name_that_is_not_found(it):
    it.settings.THANKSIO_API_URL = "https://thanks-io.invalid/api/v2"


@named(doctor, "The proxy that the environment names (HTTPS_PROXY, ALL_PROXY) did not let the request through.")
def a_proxy_that_is_down(it):
    it.environment.setenv("HTTPS_PROXY", f"http://127.0.0.1:{free_port()}")
    it.settings.THANKSIO_API_URL = "https://api.thanks.io.invalid/api/v2"


@named(doctor, "(ConnectionRefusedError)")
def an_api_that_is_not_there(it):
    it.settings.THANKSIO_API_URL = f"http://127.0.0.1:{free_port()}"


@named(doctor, "gave an answer that is no token endpoint's (http_404). Check THANKSIO_TOKEN_URL.")
def another_page_instead_of_the_token_url(it):
    it.settings.THANKSIO_TOKEN_URL = it.answers(404, b"<html>", {"Content-Type": "text/html"})


@named(doctor, "Let NTP set it")
def a_clock_that_is_wrong(it):
    date = {"Date": format_datetime(utc_now() + timedelta(minutes=10), usegmt=True)}
    it.settings.THANKSIO_AUTHORIZE_URL = it.settings.THANKSIO_API_URL = it.answers(401, {}, date)


@named(admin, "thanks.io had too many requests, and said when it wants the next one.")
def too_many_requests(it):
    it.thanksio.next_token(status=429, retry_after=60)
    it.renew()


# The database


@named(check, "The database 'default' does not have the app's tables yet")
@named(command, "The tables of thanksio_connect are missing or old. Run manage.py migrate")
@named(status, "The tables of thanksio_connect are missing or old. Run manage.py migrate")
def no_tables(it):
    if database.vendor == "mysql":
        pytest.skip("MariaDB ends the test's transaction at a table's new name")
    tables = ("thanksio_connect_connectiontokens", "thanksio_connect_sweep")
    with database.cursor() as cursor:
        for table in tables:
            cursor.execute(f"ALTER TABLE {table} RENAME TO hidden_{table}")


@named(doctor, "The tables of thanksio_connect are missing or old (0001_initial).")
def migrations_that_were_not_run(it):
    MigrationRecorder.Migration.objects.filter(app="thanksio_connect").delete()


@named(doctor, "The database does not do what a renewal needs")
@named(command, "The database can't be used (OperationalError)")
def a_database_that_is_read_only(it):
    if database.vendor != "sqlite":
        pytest.skip("PostgreSQL and MariaDB have no switch that a test's transaction can turn back")
    it.until_the_end.callback(database.connection.execute, "PRAGMA query_only = OFF")
    database.connection.execute("PRAGMA query_only = ON")


# The rows


@named(doctor, "No sweep has run yet.")
@named(admin, "No renewal run has been seen yet.")
def nobody_has_ever_swept(it):
    Sweep.objects.all().delete()


@named(doctor, "more than a day ago.")
@named(status, "due for more than an hour: 1")
@named(admin, "1 overdue")
def celery_beat_stopped_days_ago(it):
    past = utc_now() - timedelta(days=3)
    Sweep.objects.update(started_at=past, finished_at=past)
    it.tokens(next_refresh_at=past)


@named(doctor, "Connections that are due for more than an hour: 1.")
def a_beat_without_a_worker(it):
    """Chunks are queued, and nobody takes them."""
    it.tokens(next_refresh_at=utc_now() - timedelta(hours=2))


@named(admin, "its owner took the access away there, or it has expired.")
@named(status, "invalid_grant 1")
@named(log, "needs its owner to reconnect (invalid_grant)")
def an_access_that_was_taken_away(it):
    it.thanksio.revoke(it.connection.get_access_token())
    it.renew()


@named(status, "no_refresh_token 1")
@named(admin, "thanks.io gave no token to renew this connection with.")
def no_refresh_token(it):
    it.tokens(refresh_token="", status="reconnect_required", last_error_code="no_refresh_token")


@named(admin, "The connection has no tokens: it was made by hand, or loaded from half of a backup.")
@named(doctor, "Last failures: no_tokens 1.")
def half_of_a_backup(it):
    ConnectionTokens._base_manager.all().delete()


# The test


@pytest.fixture
def installation(thanksio, settings, monkeypatch, user, client_of, caplog, authority) -> Iterator[Installation]:
    """``settings`` after ``thanksio``, whose own override must be undone last."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    settings.THANKSIO_REDIRECT_URI = URI
    settings.ALLOWED_HOSTS = ["testserver", "shop.example"]
    Sweep.objects.create(started_at=utc_now(), finished_at=utc_now())
    it = Installation(settings, monkeypatch, thanksio, thanksio.connect(user), client_of, caplog, authority)
    with it.until_the_end:
        yield it


def ways() -> list[tuple[Namer, str, How]]:
    return [each.values for each in WAYS]


def test_in_a_healthy_installation_nobody_says_any_of_it(installation):
    installation.renew()
    for namer in NAMERS:
        text = namer(installation)
        assert [words for by, words, _ in ways() if by is namer and words in text] == []


@pytest.mark.parametrize(("by", "words", "how"), WAYS)
def test_the_cause_is_named(installation, by, words, how):
    how(installation)
    assert words in by(installation)


def test_there_are_25_ways_and_more():
    assert len({how for *_, how in ways()}) >= 50
    assert {by for by, *_ in ways()} == set(NAMERS)
