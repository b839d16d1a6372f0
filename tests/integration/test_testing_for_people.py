"""``python -m thanksio_connect.testing`` for a person: export lines, an env file, a log, pages, and plain refusals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import requests

from thanksio_connect.testing import ThanksIOServer
from thanksio_connect.testing.__main__ import write_env

COMMAND = [sys.executable, "-m", "thanksio_connect.testing"]
NAMES = [
    "THANKSIO_CLIENT_ID",
    "THANKSIO_CLIENT_SECRET",
    "THANKSIO_AUTHORIZE_URL",
    "THANKSIO_TOKEN_URL",
    "THANKSIO_API_URL",
]
HERE = "http://localhost:8000/thanksio/callback/"


class Terminal:
    """What the command has printed so far, line by line."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.lines: list[str] = []

    def read_until(self, words: str) -> str:
        assert self._process.stdout
        while words not in (line := self._process.stdout.readline()):
            assert line, self.lines
            self.lines.append(line.rstrip())
        return line.rstrip()


@contextmanager
def running(*arguments: str) -> Iterator[tuple[Terminal, dict[str, str]]]:
    with subprocess.Popen([*COMMAND, "--port", "0", *arguments], stdout=subprocess.PIPE, text=True) as process:
        try:
            terminal = Terminal(process)
            terminal.read_until("Requests:")
            exports = [line.removeprefix("export ") for line in terminal.lines if line.startswith("export ")]
            yield terminal, dict(line.split("=", 1) for line in exports)
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0


def authorize(settings: dict[str, str], **more: str) -> str:
    query = {"response_type": "code", "client_id": settings["THANKSIO_CLIENT_ID"], "redirect_uri": HERE, "state": "s"}
    return f"{settings['THANKSIO_AUTHORIZE_URL']}?{urlencode(query | more)}"


def refused(*arguments: str) -> str:
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    return done.stderr.splitlines()[-1]


@pytest.mark.parametrize("port", ["99999", "-1", "http"])
def test_a_port_that_is_none(port):
    assert refused(f"--port={port}").endswith(
        f"argument --port: {port} is not a port: give a number from 1 to 65535, or 0 for a free one"
    )


@pytest.mark.parametrize("seconds", ["-5", "nan", "inf", "0", "soon"])
def test_a_lifetime_that_is_none(seconds):
    said = refused(f"--access-token-seconds={seconds}")
    assert said.endswith(f"{seconds} is not a lifetime: give a number of seconds above 0")


def test_a_port_in_use_and_a_file_that_cannot_be():
    with ThanksIOServer() as server:
        port = server.url.rpartition(":")[2]
        assert refused("--port", port) == f"Port {port} can't be used: Address already in use"
    missing = str(Path("/nowhere/.env"))
    assert refused("--port", "0", "--env", missing) == f"{missing} can't be used: No such file or directory"


def test_the_lines_are_ready_for_a_shell_and_the_file_for_env(tmp_path):
    file = tmp_path / ".env"
    file.write_text("SECRET_KEY=mine\nexport THANKSIO_API_URL=old\n# a note\n", encoding="utf-8")
    with running("--env", str(file)) as (terminal, settings):
        assert list(settings) == NAMES
        script = "\n".join(line for line in terminal.lines if line.startswith("export")) + "\nenv"
        shell = subprocess.run(["sh", "-euc", script], capture_output=True, text=True, env={"PATH": os.environ["PATH"]})
        assert {
            name: value for line in shell.stdout.splitlines() for name, _, value in [line.partition("=")]
        }.items() >= (settings.items())
        lines = file.read_text(encoding="utf-8").splitlines()
    assert lines == ["SECRET_KEY=mine", "# a note", *(f"{name}={value}" for name, value in settings.items())]


def test_an_env_file_of_its_own(tmp_path):
    write_env(tmp_path / "new.env", {"THANKSIO_API_URL": "http://127.0.0.1:1/api/v2"})
    assert (tmp_path / "new.env").read_text() == "THANKSIO_API_URL=http://127.0.0.1:1/api/v2\n"


def test_the_terminal_shows_each_request_and_no_secret():
    with running() as (terminal, settings):
        answer = requests.post(authorize(settings), data={"answer": "allow"}, allow_redirects=False, timeout=10)
        code = parse_qs(urlsplit(answer.headers["Location"]).query)["code"][0]
        assert terminal.read_until("/oauth/authorize") == "POST   /oauth/authorize  302  ok"
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": HERE}
        form |= {"client_id": settings["THANKSIO_CLIENT_ID"], "client_secret": settings["THANKSIO_CLIENT_SECRET"]}
        pair = requests.post(settings["THANKSIO_TOKEN_URL"], data=form, timeout=10).json()
        assert terminal.read_until("/oauth/token") == "POST   /oauth/token  200  authorization_code: ok"
        bearer = {"Authorization": f"Bearer {pair['access_token']}"}
        requests.get(f"{settings['THANKSIO_API_URL']}/mailing-lists/?x=secret", headers=bearer, timeout=10)
        assert terminal.read_until("/api/v2") == "GET    /api/v2/mailing-lists/  200  ok"
        printed = "\n".join(terminal.lines)
    assert code not in printed
    assert pair["access_token"] not in printed


def test_the_question_and_both_answers():
    with running() as (_, settings):
        asked = requests.get(authorize(settings, state='"><script>'), timeout=10)
        assert asked.status_code == 200
        assert "Allow this site to use your thanks.io account?" in asked.text
        assert "<script>" not in asked.text
        for answer, expected in (("allow", "code="), ("deny", "error=access_denied")):
            sent = requests.post(authorize(settings), data={"answer": answer}, allow_redirects=False, timeout=10)
            assert sent.headers["Location"].startswith(HERE)
            assert expected in sent.headers["Location"]
        assert requests.post(authorize(settings), data={"answer": "perhaps"}, timeout=10).status_code == 200


def test_a_site_that_is_not_set_up_for_it_is_told_why():
    with running() as (_, settings):
        page = requests.get(authorize(settings, client_id="<b>another</b>"), timeout=10)
        assert page.status_code == 401
        assert "Set THANKSIO_CLIENT_ID" in page.text
        assert "<b>another" not in page.text
        assert "redirect URI is missing" in requests.get(authorize(settings, redirect_uri=""), timeout=10).text


def test_auto_allow_asks_nobody():
    with running("--auto-allow") as (_, settings):
        answer = requests.get(authorize(settings), allow_redirects=False, timeout=10)
        assert "code=" in answer.headers["Location"]
        assert requests.post(authorize(settings), timeout=10).status_code == 405


def test_the_fixtures_server_asks_nobody_unless_told_to():
    with ThanksIOServer() as server:
        assert "code=" in server.visit(authorize(server.settings()))
    with ThanksIOServer(auto_allow=False) as server, pytest.raises(ValueError, match="Allow this site"):
        server.visit(authorize(server.settings()))


def test_the_pages_say_what_it_is_and_take_access_away():
    with ThanksIOServer() as server:
        home = requests.get(server.url, timeout=10).text
        assert "A stand-in for thanks.io" in home
        assert f"export THANKSIO_TOKEN_URL={server.token_url}" in home
        tokens = server.issue()
        access = f"{server.url}/profile/api"
        assert "1 connection has access" in requests.get(access, timeout=10).text
        assert "0 connections have access" in requests.post(access, timeout=10).text
        assert server.cause_of_death(tokens.refresh_token) == "revoked_by_user"
        assert requests.get(f"{server.url}/elsewhere", timeout=10).status_code == 404
