"""sentry-sdk with its defaults, under WSGI and ASGI, reports neither the callback's code nor its state."""

import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from django.test import AsyncRequestFactory, RequestFactory

from thanksio_connect.flows.response import take_response
from thanksio_connect.flows.trackers import ADDRESS_HEADERS, without_query

ROOT = Path(__file__).resolve().parents[3]
ADDRESS = "/thanksio/callback/?code=THECODE&state=THESTATE"

DRIVE = """
import json, os, sys
import django
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport
import sentry_sdk
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.test import AsyncRequestFactory
from django.test.client import RequestFactory

class InMemory(Transport):
    def __init__(self, options=None):
        super().__init__(options)
        self.seen = []
    def capture_envelope(self, envelope):
        self.seen += [item.payload.json for item in envelope.items if item.payload.json]
    def flush(self, *args, **kwargs): pass

def reported(kind, pii, hooks, broken):
    names = {}
    exec(hooks, names)
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    from django.conf import settings
    settings.ALLOWED_HOSTS = ["testserver"]
    if broken:
        settings.MIDDLEWARE = ["tests.integration.flows.test_trackers.Failing", *settings.MIDDLEWARE]
    transport = InMemory()
    sentry_sdk.init(dsn="https://key@sentry.invalid/1", transport=transport, traces_sample_rate=1.0,
                    send_default_pii=pii, before_send=names.get("before_send"),
                    before_send_transaction=names.get("before_send_transaction"))
    django.setup()
    headers = {"HTTP_REFERER": "https://x.example" + ADDRESS, "HTTP_X_ORIGINAL_URL": ADDRESS,
               "HTTP_X_FORWARDED_URI": ADDRESS, "HTTP_COOKIE": "thanksio_browser_key=THENONCE"}
    from thanksio_connect.views import authorize as module
    original = module.take_response
    def reporting(request):
        response = original(request)
        sentry_sdk.capture_message("from the view")
        return response
    module.take_response = reporting
    if kind == "wsgi":
        environ = RequestFactory().get(ADDRESS, **headers).environ
        environ["wsgi.url_scheme"] = "https"
        environ["SERVER_NAME"] = "testserver"
        answer = get_wsgi_application()(environ, lambda status, headers, info=None: None)
        b"".join(answer)
        answer.close()
    else:
        import asyncio
        from asgiref.testing import ApplicationCommunicator
        scope = AsyncRequestFactory().get(ADDRESS).scope
        scope["headers"] = [(b"host", b"testserver")] + [
            (name.removeprefix("HTTP_").replace("_", "-").lower().encode(), value.encode())
            for name, value in headers.items()]
        async def main():
            communicator = ApplicationCommunicator(get_asgi_application(), scope)
            await communicator.send_input({"type": "http.request"})
            await communicator.receive_output(10)
            await communicator.receive_output(10)
            await communicator.wait(5)
        asyncio.run(main())
    return transport.seen

# Each in a process of its own, for sentry patches Django for good; forked, for importing both takes a second.
for case in json.loads(sys.argv[1]):
    if not os.fork():
        status = 1
        try:
            print(json.dumps(reported(**case), default=str), flush=True)
            status = 0
        finally:
            os._exit(status)
    if os.wait()[1]:
        sys.exit(f"{case} failed")
"""


class Failing:
    """A middleware that fails before our view is reached."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        raise RuntimeError("a middleware of the project's")


KINDS = ["wsgi", "asgi"]
PLAIN = {"pii": False, "hooks": "", "broken": False}


def hooks_of_the_page():
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    [block] = [each for each in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "def before_send" in each]
    return textwrap.dedent(block).partition("sentry_sdk.init(")[0].replace("import sentry_sdk\n", "")


CASES = {
    "defaults": PLAIN,
    "with personal data": PLAIN | {"pii": True},
    "broken": PLAIN | {"broken": True},
    "broken, with the page's hooks": PLAIN | {"broken": True, "hooks": hooks_of_the_page()},
}


@pytest.fixture(scope="module")
def seen_by_sentry():
    """What was reported: (kind, case) -> events."""
    pytest.importorskip("sentry_sdk")
    keys = [(kind, name) for kind in KINDS for name in CASES]
    result = subprocess.run(
        [
            sys.executable,
            "-W",
            "ignore",
            "-c",
            f"ADDRESS = {ADDRESS!r}\n{DRIVE}",
            json.dumps([{"kind": kind, **CASES[name]} for kind, name in keys]),
        ],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDEVMODE": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return dict(zip(keys, map(json.loads, result.stdout.splitlines()), strict=True))


@pytest.mark.parametrize("name", ["defaults", "with personal data"])
@pytest.mark.parametrize("kind", KINDS)
def test_neither_an_event_nor_the_transaction_has_the_query(seen_by_sentry, kind, name):
    events = seen_by_sentry[kind, name]
    assert {event.get("type", "event") for event in events} >= {"event", "transaction"}, events
    assert any(event.get("message") == "from the view" for event in events)
    text = json.dumps(events)
    assert not re.findall("THECODE|THESTATE|THENONCE", text), text[:3000]


@pytest.mark.parametrize("kind", KINDS)
def test_what_fails_before_the_view_is_reported_with_the_query_unless_the_pages_hooks_are_there(seen_by_sentry, kind):
    assert "THECODE" in json.dumps(seen_by_sentry[kind, "broken"])  # which nothing of ours can help
    events = seen_by_sentry[kind, "broken, with the page's hooks"]
    assert events
    assert not re.findall("THECODE|THESTATE", json.dumps(events)), events


@pytest.mark.parametrize("header", ADDRESS_HEADERS)
def test_headers_that_repeat_the_address_are_cut_at_the_query(header):
    key = f"HTTP_{header.upper().replace('-', '_')}"
    request = RequestFactory().get(ADDRESS, **{key: f"https://shop.example{ADDRESS}"})
    assert "THECODE" in request.headers[header]
    take_response(request)
    assert request.headers[header] == "https://shop.example/thanksio/callback/"
    assert "THECODE" not in f"{request.META}"
    request = AsyncRequestFactory().get(ADDRESS, headers={header: ADDRESS})
    take_response(request)
    assert "THECODE" not in f"{request.META} {request.scope} {request.headers}"


def test_an_event_of_any_shape_passes():
    assert without_query({}) == {}
    assert without_query({"request": None, "message": "x"}) == {"request": None, "message": "x"}
    address = "https://x/y?code=1&state=2&a=3"
    assert without_query({"request": {"url": address, "headers": {"referer": address}}, "spans": [address]}) == {
        "request": {
            "url": "https://x/y?code=[Filtered]&state=[Filtered]&a=3",
            "headers": {"referer": "https://x/y?code=[Filtered]&state=[Filtered]&a=3"},
        },
        "spans": ["https://x/y?code=[Filtered]&state=[Filtered]&a=3"],
    }


def test_a_tracker_of_another_version_does_not_stop_the_callback(monkeypatch):
    monkeypatch.setitem(sys.modules, "sentry_sdk", object())
    assert take_response(RequestFactory().get(ADDRESS)).code.reveal() == "THECODE"
