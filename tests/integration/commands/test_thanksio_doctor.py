"""``thanksio_doctor``: one broken thing at a time, and the line that names it."""

import io
import json
import socket
import threading
import time
from datetime import timedelta
from email.utils import format_datetime

import pytest
from cryptography import x509
from cryptography.fernet import Fernet
from django.core.management import call_command
from django.db import DatabaseError

from tests.integration.client_server import ScriptedServer, answering, free_port, reply, silent
from tests.integration.test_client_tls import authority
from thanksio_connect.fields import utc_now
from thanksio_connect.models import ConnectionTokens, Sweep, ThanksIOConnection
from thanksio_connect.refresh import statements

__all__ = ["authority"]
pytestmark = pytest.mark.django_db
URI = "https://shop.example/thanksio/callback/"


@pytest.fixture(autouse=True)
def _well(thanksio, settings, monkeypatch, user):
    """An installation in which nothing is wrong."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    settings.THANKSIO_REDIRECT_URI = URI
    thanksio.connect(user)
    Sweep.objects.create(started_at=utc_now(), finished_at=utc_now())


def doctor(*args):
    """The exit status and the findings that are not ok."""
    out = io.StringIO()
    began = time.monotonic()
    status = 0
    try:
        call_command("thanksio_doctor", "--json", *args, stdout=out)
    except SystemExit as end:
        status = end.code
    assert time.monotonic() - began < 10
    told = json.loads(out.getvalue())
    assert "Traceback" not in out.getvalue()
    found = {finding["code"]: finding for finding in told["findings"] if finding["level"] != "ok"}
    assert (status == 0) == (not found)
    return status, found


def only(code, *args):
    """The one thing that is wrong."""
    status, found = doctor(*args)
    assert set(found) == {code}, found
    return status, found[code]["text"] + " " + found[code]["cure"]


class TestWell:
    def test_all_is_well_and_nothing_is_changed_or_shown(self, thanksio, settings, capsys):
        before = list(ConnectionTokens.objects.values()), list(Sweep.objects.values())
        tokens = ConnectionTokens.objects.get()
        assert doctor() == (0, {})
        call_command("thanksio_doctor", "--all")
        text = capsys.readouterr().out
        assert text.endswith("All well.\n")
        assert URI in text
        assert (list(ConnectionTokens.objects.values()), list(Sweep.objects.values())) == before
        assert thanksio.count("refresh_token") == 0
        for secret in (
            settings.THANKSIO_CLIENT_SECRET,
            settings.FIELD_ENCRYPTION_KEY,
            tokens.access_token.reveal(),
            tokens.refresh_token.reveal(),
        ):
            assert secret not in text

    @pytest.mark.parametrize("dialect", ["league8", "league9"])
    def test_the_client_is_proven_with_each_version_of_the_server(self, thanksio, dialect):
        thanksio.oauth.dialect = dialect
        assert doctor() == (0, {})

    def test_where_each_value_comes_from(self, capsys, monkeypatch, settings):
        monkeypatch.setenv("THANKSIO_RATE_LIMIT_PER_MINUTE", "30")
        call_command("thanksio_doctor")
        text = capsys.readouterr().out
        assert "THANKSIO_RATE_LIMIT_PER_MINUTE = 30 (environment variable)" in text
        assert "THANKSIO_CLIENT_SECRET = ******** (Django setting)" in text
        assert "THANKSIO_PKCE = True (default)" in text


class TestSettings:
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("THANKSIO_READ_TIMEOUT_SECONDS", "soon"),
            ("THANKSIO_API_URL", "http://api.thanks.io"),
            ("THANKSIO_PREPARE_SESSION", "no.such.function"),
            ("THANKSIO_CLIENT_SECRET", ""),
        ],
    )
    def test_a_bad_value_is_named(self, settings, name, value):
        setattr(settings, name, value)
        status, found = doctor()
        assert status == 2
        assert name in found[f"setting.{name}"]["text"]

    def test_a_short_read_timeout_is_the_checks_warning(self, settings):
        settings.THANKSIO_READ_TIMEOUT_SECONDS = 3
        status, text = only("check.W005")
        assert status == 1
        assert "Leave it at 30." in text

    def test_no_host_is_known(self, settings):
        settings.THANKSIO_REDIRECT_URI = ""
        settings.ALLOWED_HOSTS = ["*"]
        settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
        _status, text = only("redirect_uri")
        assert "https://<host>/thanksio/callback/" in text

    @pytest.mark.urls("tests.keyless_project.settings")
    def test_the_pages_are_not_included(self, settings):
        settings.THANKSIO_REDIRECT_URI = ""
        _status, found = doctor()
        assert found


class TestKey:
    def test_another_key(self, settings):
        settings.FIELD_ENCRYPTION_KEY = Fernet.generate_key().decode()
        status, text = only("tokens")
        assert status == 2
        assert "Put that one back." in text

    def test_a_row_of_another_key_is_found_in_the_sample_and_among_all(self, settings, thanksio):
        from tests.integration.browsing import make_user

        settings.FIELD_ENCRYPTION_KEY = [Fernet.generate_key().decode(), settings.FIELD_ENCRYPTION_KEY]
        thanksio.connect(make_user("bob"))
        settings.FIELD_ENCRYPTION_KEY = settings.FIELD_ENCRYPTION_KEY[1]
        for options in ((), ("--all",)):
            _status, text = only("tokens", *options)
            assert "Of 2 connections' tokens, 1 can't be decrypted." in text

    @pytest.mark.parametrize("key", [None, "", "short"])
    def test_no_key(self, settings, key):
        settings.FIELD_ENCRYPTION_KEY = key
        status, text = only("key")
        assert status == 2
        assert "FIELD_ENCRYPTION_KEY is m" in text


class TestClient:
    def test_a_wrong_secret(self, settings):
        settings.THANKSIO_CLIENT_SECRET = "wrong"
        status, text = only("client")
        assert status == 2
        assert "(invalid_client)" in text
        assert "THANKSIO_CLIENT_SECRET" in text

    def test_a_redirect_uri_that_is_not_registered(self, settings):
        """League's server says ``invalid_client`` of it, too."""

        def script(connection, request):
            code = "invalid_client" if "redirect_uri" in request.form else "invalid_grant"
            connection.sendall(reply(401 if code == "invalid_client" else 400, {"error": code}))

        with ScriptedServer(script) as server:
            settings.THANKSIO_TOKEN_URL = f"{server.url}/oauth/token"
            status, text = only("redirect_uri.refused")
        assert status == 2
        assert URI in text

    def test_a_page_instead_of_a_token_endpoint(self, settings):
        with ScriptedServer(answering(200, b"<html>hello</html>", {"Content-Type": "text/html"})) as server:
            settings.THANKSIO_TOKEN_URL = server.url
            _status, text = only("client.invalid_token_response")
        assert "THANKSIO_TOKEN_URL" in text

    def test_it_asks_to_wait(self, thanksio):
        thanksio.next_token(status=429, retry_after=5)
        status, _text = only("client.throttled")
        assert status == 1


class TestNetwork:
    def test_nobody_listens(self, settings):
        settings.THANKSIO_TOKEN_URL = f"http://127.0.0.1:{free_port()}/oauth/token"
        status, text = only("client.refused")
        assert status == 2
        assert "(ConnectionRefusedError)" in text

    def test_no_such_host(self, settings):
        settings.THANKSIO_API_URL = "https://thanks-io.invalid/api/v2"
        _status, text = only("api.dns")
        assert "gaierror" in text
        assert "THANKSIO_API_URL" in text

    def test_it_never_answers(self, settings):
        with ScriptedServer(silent(8)) as server:
            settings.THANKSIO_AUTHORIZE_URL = server.url
            _status, found = doctor()
            server.stopping.set()
        assert set(found) == {"authorize.timeout"}

    def test_a_certificate_that_nobody_vouches_for(self, settings, authority, monkeypatch):
        context = authority[1](x509.DNSName("localhost"))
        with ScriptedServer(answering(401, {}), context) as server:
            settings.THANKSIO_TOKEN_URL = f"{server.url}/oauth/token"
            status, text = only("client.certificate")
            assert status == 2
            assert "(SSLCertVerificationError: " in text
            assert "REQUESTS_CA_BUNDLE" in text
            monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority[0]))
            assert set(doctor()[1]) == {"client.http_401"}

    def test_a_server_that_speaks_no_tls(self, settings):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            settings.THANKSIO_TOKEN_URL = f"https://127.0.0.1:{listener.getsockname()[1]}/"

            def greet():
                with listener.accept()[0] as connection:
                    connection.sendall(b"220 mail.example ESMTP\r\n")
                    connection.recv(9999)

            thread = threading.Thread(target=greet)
            thread.start()
            _status, text = only("client.tls")
            thread.join()
        assert "SSLError" in text

    def test_a_proxy_that_is_down(self, settings, monkeypatch):
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:proxysecret@127.0.0.1:{free_port()}")
        settings.THANKSIO_TOKEN_URL = "https://dashboard.thanks.io.invalid/oauth/token"
        _status, text = only("client.proxy")
        assert "HTTPS_PROXY" in text
        assert "proxysecret" not in text

    def test_a_ca_bundle_that_is_not_there(self, settings, monkeypatch):
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/no/such/file.pem")
        settings.THANKSIO_TOKEN_URL = f"https://127.0.0.1:{free_port()}/"
        _status, text = only("client.ca_bundle")
        assert "REQUESTS_CA_BUNDLE" in text

    def test_a_page_that_is_not_there(self, settings, thanksio):
        settings.THANKSIO_AUTHORIZE_URL = thanksio.settings()["THANKSIO_AUTHORIZE_URL"] + "/nothing"
        _status, text = only("authorize")
        assert "answers 404" in text

    def test_an_api_elsewhere(self, settings):
        with ScriptedServer(answering(200, {})) as server:
            settings.THANKSIO_API_URL = server.url
            status, text = only("api")
        assert status == 1
        assert "answers 200" in text

    @pytest.mark.parametrize("minutes", [-10, 10])
    def test_a_clock_that_is_wrong(self, settings, minutes):
        date = format_datetime(utc_now() - timedelta(minutes=minutes), usegmt=True)
        with ScriptedServer(answering(401, {}, {"Date": date})) as server:
            settings.THANKSIO_AUTHORIZE_URL = settings.THANKSIO_API_URL = server.url
            _status, text = only("clock")
        assert ("ahead of" if minutes > 0 else "behind") in text


class TestDatabaseAndSweep:
    def test_a_database_that_can_not_claim(self, monkeypatch):
        def fail(*args, **kwargs):
            raise DatabaseError("secret text")

        monkeypatch.setattr(statements, "claim", fail)
        status, text = only("lease")
        assert status == 2
        assert "secret text" not in text

    def test_tables_from_before(self, django_db_blocker):
        from django.db.migrations.recorder import MigrationRecorder

        MigrationRecorder.Migration.objects.filter(app="thanksio_connect").delete()
        status, found = doctor()
        assert status == 2
        assert "0001_initial" in found["migrations"]["text"]

    def test_nobody_sweeps(self):
        Sweep.objects.all().delete()
        status, text = only("sweep")
        assert status == 1
        assert "refresh_thanksio_tokens" in text

    def test_the_sweep_stopped_days_ago(self):
        past = utc_now() - timedelta(days=3)
        Sweep.objects.update(started_at=past, finished_at=past)
        ConnectionTokens._base_manager.update(next_refresh_at=past)
        status, found = doctor()
        assert (status, set(found)) == (2, {"sweep", "overdue"})

    def test_failures_are_counted_by_code(self):
        ConnectionTokens._base_manager.update(last_error_code="timeout")
        _status, text = only("failing")
        assert "timeout 1" in text

    def test_no_connection_yet(self):
        ThanksIOConnection.objects.all().delete()
        Sweep.objects.all().delete()
        assert doctor() == (0, {})

    def test_a_probe_that_fails_unexpectedly_stops_no_other(self, monkeypatch):
        from thanksio_connect.flows.doctor import configuration

        monkeypatch.setattr(configuration, "run_checks", lambda **options: 1 / 0)
        _status, text = only("unexpected")
        assert "(ZeroDivisionError)" in text
