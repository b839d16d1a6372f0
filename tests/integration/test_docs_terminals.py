"""What the pages show as a command's output is what it prints: in the installation that the page speaks of."""

from __future__ import annotations

import io
import re
from contextlib import suppress
from datetime import timedelta
from email.utils import format_datetime

import pytest
from cryptography import x509
from django.core.management import call_command

from tests.docs_blocks import DOCS
from tests.integration.client_server import ScriptedServer, answering
from tests.integration.staff import seed
from tests.integration.test_client_tls import authority
from thanksio_connect.fields import utc_now
from thanksio_connect.models import ConnectionTokens, Sweep

__all__ = ["authority"]
pytestmark = pytest.mark.django_db
BLOCK = re.compile(r"^```\{terminal\} python manage\.py ([^\n]+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FREE = (
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", "TIME"),
    (r"fingerprints: [0-9a-f]{8}", "fingerprints: KEY"),
    (r"\((postgresql|sqlite|mysql)\)", "(DATABASE)"),
    (r"(localhost|127\.0\.0\.1):\d+|(dashboard|api)\.thanks\.io", "HOST"),
)


def terminals() -> list[tuple[str, str]]:
    """The commands of all pages, each with what the page shows."""
    return [found for page in sorted(DOCS.glob("*.md")) for found in BLOCK.findall(page.read_text(encoding="utf-8"))]


def without_what_is_free(text: str) -> str:
    for pattern, word in FREE:
        text = re.sub(pattern, word, text)
    return text


@pytest.fixture
def installation(thanksio, settings, monkeypatch, authority):
    """300 connections, 3 of which need their owner; the certificate of the token URL is not trusted."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("THANKSIO_CLIENT_SECRET", settings.THANKSIO_CLIENT_SECRET)
    del settings.THANKSIO_CLIENT_SECRET
    settings.THANKSIO_REDIRECT_URI = "https://shop.example/thanksio/callback/"
    now = utc_now()
    rows = seed(300, ["invalid_grant"] * 3)
    due = ConnectionTokens._base_manager.filter(connection__in=rows[3:7])
    due.update(next_refresh_at=now - timedelta(minutes=2))
    Sweep.objects.create(started_at=now - timedelta(minutes=5), finished_at=now - timedelta(minutes=4))
    date = {"Date": format_datetime(now, usegmt=True)}
    tls = authority[1](x509.DNSName("localhost"))
    with ScriptedServer(answering(401, {}, date)) as api, ScriptedServer(answering(401, {}), tls) as token:
        settings.THANKSIO_API_URL, settings.THANKSIO_TOKEN_URL = api.url, f"{token.url}/oauth/token"
        yield


def test_there_are_some():
    assert {command for command, _ in terminals()} == {"thanksio_doctor", "thanksio_status"}


@pytest.mark.parametrize(("command", "shown"), terminals())
def test_a_terminal_shows_what_the_command_prints(installation, command, shown):
    out = io.StringIO()
    with suppress(SystemExit):
        call_command(command, stdout=out)
    rest = without_what_is_free(out.getvalue())
    *parts, last = filter(None, without_what_is_free(shown).split("…\n"))
    for part in parts:
        assert part in rest, out.getvalue()
        rest = rest.partition(part)[2]
    assert rest.endswith(last), out.getvalue()
