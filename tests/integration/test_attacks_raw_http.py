"""Hostile HTTP, byte by byte, to a real server process: every answer is one of ours, and the flow goes on working."""

import json
import os
import re
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.integration.browsing import CALLBACK, CONNECT, DISCONNECT, STATUS, path_of, query_of
from thanksio_connect.testing import FakeThanksIO

ROOT = Path(__file__).parents[2]


class Site:
    """The process, and raw requests to it."""

    def __init__(self, process, port, session, log):
        self.process, self.port, self.session, self._log = process, port, session, log

    def send(self, request: bytes) -> tuple[int, dict[str, list[str]], str]:
        """One request on a connection of its own; status, headers and body."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as connection:
            connection.sendall(request)
            reply = b""
            with suppress(ConnectionResetError):  # the server has answered without reading all
                while piece := connection.recv(65536):
                    reply += piece
        head, _, body = reply.partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        headers: dict[str, list[str]] = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers.setdefault(name.lower(), []).append(value.strip())
        found = re.match(r"HTTP/1\.[01] (\d{3})", status)
        return (int(found[1]) if found else 0), headers, body.decode("utf-8", "replace")

    def ask(self, target: str | bytes, *, method="GET", host=None, cookies="", body=b"", **more):
        target = target.encode("latin-1") if isinstance(target, str) else target
        lines = [
            method.encode() + b" " + target + b" HTTP/1.1",
            b"Host: " + (host or f"127.0.0.1:{self.port}").encode("latin-1"),
            b"Connection: close",
            f"Cookie: sessionid={self.session}; {cookies}".encode("latin-1"),
            *(f"{name.replace('_', '-')}: {value}".encode("latin-1") for name, value in more.items()),
        ]
        if body:
            lines.append(f"Content-Length: {len(body)}".encode())
        return self.send(b"\r\n".join(lines) + b"\r\n\r\n" + body)

    def start(self) -> tuple[str, str]:
        """Press Connect as a browser does: the address at thanks.io, and the browser's cookie."""
        _status, headers, page = self.ask(CONNECT)
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)[1]
        csrf = next(cookie for cookie in headers["set-cookie"] if cookie.startswith("csrftoken=")).partition(";")[0]
        form = urlencode({"csrfmiddlewaretoken": token}).encode()
        status, headers, _page = self.ask(
            CONNECT, method="POST", cookies=csrf, body=form, Content_Type="application/x-www-form-urlencoded"
        )
        assert status == 302
        [cookie] = [text for text in headers["set-cookie"] if text.startswith("thanksio_browser_key=")]
        return headers["location"][0], cookie.partition(";")[0]

    def log(self) -> str:
        return self._log.read_text()


@pytest.fixture(scope="module")
def thanksio():
    with FakeThanksIO() as server:
        # What the test settings say, which the process reads, too.
        server.oauth.client_id, server.oauth.client_secret = "test-client", "test-client-secret"
        yield server


@pytest.fixture(scope="module")
def site(thanksio, tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "PYTHONPATH": str(ROOT),
        "THANKSIO_TEST_DATABASE": "sqlite",
        "THANKSIO_TEST_SQLITE_FILE": str(folder / "db.sqlite3"),
        "THANKSIO_AUTHORIZE_URL": thanksio.authorize_url,
        "THANKSIO_TOKEN_URL": thanksio.token_url,
        "THANKSIO_API_URL": thanksio.api_url,
    }
    log = folder / "log"
    with log.open("w") as stream:
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "tests.integration.attack_server"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stream,
            text=True,
        )
        ready = json.loads(process.stdout.readline() or "{}")
        assert ready, log.read_text()
        yield Site(process, ready["port"], ready["session"], log)
        process.stdin.close()
        process.wait(10)
        process.stdout.close()


def assert_tame(answer, *expected):
    status, headers, body = answer
    assert status in expected, (status, body[:500])
    assert "evil" not in str(headers)
    assert "Traceback" not in body
    for name in ("location", "content-type"):
        assert len(headers.get(name, [])) <= 1
    if status == 400 and "Nothing was lost" in body:
        assert headers["cache-control"] == ["no-store, private"]


@pytest.mark.compliance("RFC 6749", "10.14")
@pytest.mark.parametrize(
    "query",
    [
        "state=a&state=b&code=c",
        "state[]=a&state=&code[]=c",
        "state=a;code=c",
        "&&&&=&=&&",
        "?" * 500,
        "state=%00&code=%00",
        "state=a%00b&code=c",
        "state=%ff%fe&code=%c0%af",
        "state=%ED%A0%80&code=%F8%88%80%80%80",
        "state=%&code=%zz&error=%u0041",
        "state=%25%32%35&code=%2500",
        "state=" + "a" * 30_000,
        "state=a&code=" + "c" * 30_000,
        "state=a&error=x&error_description=" + "%3Cscript%3E" * 4_000,
        "&".join(f"x{number}=1" for number in range(3_000)),
        "state=a%0d%0aSet-Cookie:%20evil=1&code=c%0aX-evil:1",
        "error=%0d%0a%0d%0a<h1>evil</h1>&state=a",
        b"state=\xff\xfe\x00&code=\x80",
        "state=a\x0bb&code=c\x7f",
        "state='%20OR%20'1'='1&code=;--",
        "state=${jndi:ldap://evil}&code={{7*7}}%7B%25%20debug%20%25%7D",
    ],
    ids=lambda query: repr(query[:24]),
)
def test_hostile_callbacks_get_the_page(site, thanksio, query):
    before = thanksio.count("authorization_code")
    query = query.encode() if isinstance(query, str) else query
    assert_tame(site.ask(CALLBACK.encode() + b"?" + query), 400)
    assert thanksio.count("authorization_code") == before


@pytest.mark.compliance("RFC 6749", "10.14")
def test_error_description_of_100_kb_gets_an_answer(site):
    """The request line is longer than the server takes: it says so, or the page does."""
    assert_tame(site.ask(f"{CALLBACK}?state=a&error=x&error_description={'x' * 100_000}"), 400, 414)


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "TRACE", "FOO"])
@pytest.mark.parametrize("page", [STATUS, CONNECT, CALLBACK, DISCONNECT])
def test_odd_methods_are_refused_or_harmless(site, method, page):
    answer = site.ask(f"{page}?state=S3CRET&code=S3CRET", method=method)
    # A method that is not safe is stopped by Django's CSRF check before the page is asked.
    assert_tame(answer, 405, 403, *([200, 302] if method == "HEAD" and page != CALLBACK else []))
    assert "S3CRET" not in str(answer)


@pytest.mark.compliance("RFC 9700", "4.11.1")
@pytest.mark.parametrize("page", [CONNECT, DISCONNECT])
@pytest.mark.parametrize(
    "next_url",
    [
        "%0d%0aSet-Cookie:%20evil=1",
        "/%0d%0aLocation:%20https://evil.example/",
        "%2F%2Fevil.example",
        "/%5cevil.example",
        "%09//evil.example",
        "%E2%80%8B//evil.example",
        "%ff//evil.example",
        "https:%00//evil.example",
        "https://evil.example&next=/ok/",
    ],
)
def test_hostile_destinations_get_into_no_header_and_no_link(site, page, next_url):
    status, headers, body = site.ask(f"{page}?next={next_url}")
    assert status in (200, 302)
    assert "evil" not in str(headers) + body


@pytest.mark.compliance("RFC 9700", "4.1")
@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1:1@evil.example", "evil.example:99999", "a b", "[::1", "\xff", ""]
)
@pytest.mark.parametrize("page", [STATUS, CONNECT, f"{CALLBACK}?state=a&code=c"])
def test_forged_hosts_are_refused(site, host, page):
    assert_tame(site.ask(page, host=host or " "), 400)


@pytest.mark.compliance("RFC 9700", "4.1")
@pytest.mark.parametrize(
    "lines",
    [
        b"GET http://evil.example/thanksio/connect/ HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n",
        b"GET //evil.example/thanksio/connect HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n",
        b"GET /thanksio/connect/ HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nHost: evil.example\r\n",
        b"GET /thanksio/connect/ HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nX-Forwarded-Host: evil.example\r\n",
        b"GET /thanksio/../thanksio/callback/?state=a HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n",
        b"GET /thanksio/connect/?next=//evil.example HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nReferer: //evil.example\r\n",
        b"GET /thanksio/callback/?state=a HTTP/0.9\r\nHost: 127.0.0.1:%d\r\n",
        b'GET /thanksio/callback/?state=a HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nCookie: thanksio_browser_key="\\000;=;\r\n',
        b"GET /thanksio/callback/?state=a&code=c HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAccept: \xff;q=x,,;\r\n",
    ],
)
def test_odd_request_lines_and_headers_lead_nowhere_else(site, lines):
    request = lines.replace(b"%d", str(site.port).encode()) + b"Connection: close\r\n\r\n"
    _status, headers, body = site.send(request)
    assert "evil" not in str(headers.get("location", "")) + str(headers.get("set-cookie", ""))
    assert "Traceback" not in body


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/x-www-form-urlencoded", b"next=%00%ff&csrfmiddlewaretoken=" + b"x" * 5000),
        ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="next"\r\n\r\n'),
        ("multipart/form-data", b"junk"),
        ("application/json", b"{"),
        ("\xff/\xff", b"\x00\xff"),
    ],
)
@pytest.mark.parametrize("page", [CONNECT, DISCONNECT, CALLBACK])
@pytest.mark.compliance("RFC 6749", "10.12")
def test_posts_without_a_csrf_token_are_refused_whatever_they_hold(site, kind, body, page):
    assert_tame(site.ask(page, method="POST", body=body, Content_Type=kind), 400, 403, 405)


@pytest.mark.compliance("RFC 6749", "4.1")
def test_after_all_that_a_user_connects_over_the_same_process(site, thanksio):
    location, cookie = site.start()
    assert query_of(location)["redirect_uri"] == f"http://127.0.0.1:{site.port}{CALLBACK}"
    callback = path_of(thanksio.visit(location))
    assert site.ask(callback, method="HEAD", cookies=cookie)[0] == 405
    assert site.ask(f"{callback}&state=x", cookies=cookie)[0] == 400
    assert site.ask(callback, cookies="thanksio_browser_key=x")[0] == 400
    assert site.ask(callback, cookies=f"{cookie}; thanksio_browser_key=x")[:2][1]["location"] == [STATUS]
    assert site.ask(callback, cookies=cookie)[1]["location"] == [STATUS]
    assert "has been connected since" in site.ask(STATUS)[2]
    assert thanksio.count("authorization_code") == 1


def test_server_has_written_no_traceback(site):
    """Asked last: of all requests above, none ended in an error of ours."""
    assert "Traceback" not in site.log()
