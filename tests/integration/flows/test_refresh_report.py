"""What the command tells: whose tokens were not renewed and why, how far it is, and what Ctrl-C costs."""

from __future__ import annotations

import fcntl
import io
import json
import os
import pty
import re
import signal
import struct
import termios
import time
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import OperationalError

from tests.integration.flows.fleet import run
from tests.integration.flows.test_refresh_thanksio_tokens import Command
from thanksio_connect.fields import utc_now
from thanksio_connect.flows.outcome import Handled, Outcome, Summary
from thanksio_connect.management import refresh_report
from thanksio_connect.management.refresh_report import WORDS, RefreshReport, in_words
from thanksio_connect.models import ConnectionEvent, ConnectionTokens
from thanksio_connect.refresh import statements
from thanksio_connect.testing import Fault

FAST = ("--rate", "6000")


@pytest.fixture
def command(database, thanksio) -> Command:
    return Command(database)


def printed(*arguments, verbosity=1):
    """What the command prints, without its last line, and its exit status."""
    out, status = io.StringIO(), 0
    try:
        call_command("refresh_thanksio_tokens", *FAST, *arguments, stdout=out, verbosity=verbosity)
    except CommandError as error:
        status = error.returncode
    *lines, last = out.getvalue().splitlines()
    assert re.search(r"remaining 0; took \d+ s, paced at 6000 a minute$", last), last
    return sorted(lines), status


def connection_of(name):
    return ConnectionTokens.objects.get(connection__user__username=name).connection_id


UNHAPPY = {
    "revoked": "needs its owner to connect again (invalid_grant)",
    "lost_key": "not renewed: FIELD_ENCRYPTION_KEY does not fit (undecryptable)",
    "other_client": "not renewed: the tokens belong to another OAuth client (other_client)",
}


def test_those_that_were_not_renewed_are_named_with_the_reason(fleet):
    fleet(2, **dict.fromkeys(UNHAPPY, 1))
    expected = [f"{kind}-0 (connection {connection_of(f'{kind}-0')}): {words}" for kind, words in UNHAPPY.items()]
    assert printed("--workers", "1") == (sorted(expected), 1)


def test_verbosity_2_names_all_and_0_nobody(fleet):
    some = fleet(2, lost_key=1)
    lines, _status = printed(verbosity=2)
    assert [line.partition(" ")[0] for line in lines] == ["healthy-0", "healthy-1", "lost_key-0"]
    assert lines[0].endswith("renewed")
    some.make_due()
    assert printed(verbosity=0) == ([], 1)


def test_verbosity_0_is_silent_while_all_is_well(fleet):
    some = fleet(2)
    out = io.StringIO()
    call_command("refresh_thanksio_tokens", *FAST, verbosity=0, stdout=out)
    assert (some.renewed(), out.getvalue()) == (2, "")


def test_json_carries_the_reasons(fleet):
    fleet(2, revoked=1, lost_key=2)
    summary, status = run(*FAST, "--workers", "1")
    assert (summary["reasons"], summary["not_renewed_left_out"], status) == (
        {"invalid_grant": 1, "undecryptable": 2},
        0,
        1,
    )
    [revoked] = [row for row in summary["not_renewed"] if row["code"] == "invalid_grant"]
    user = User.objects.get(username="revoked-0")
    assert revoked == {
        "user": "revoked-0",
        "user_id": user.pk,
        "connection_id": user.thanksio_connection.pk,
        "outcome": "reconnect_required",
        "code": "invalid_grant",
    }
    assert len(summary["not_renewed"]) == 3


def test_the_memory_has_a_bound(connected_row):
    report = RefreshReport(lambda *args: None, is_json=True, is_terminal=False, verbosity=1)
    for _number in range(3000):
        report.row(connected_row, Handled(Outcome.TRANSIENT, "timeout"))
    told = report.as_dict()
    assert (len(told["not_renewed"]), told["not_renewed_left_out"], told["reasons"]) == (1000, 2000, {"timeout": 3000})


@pytest.fixture
def connected_row(fleet):
    fleet(1)
    return ConnectionTokens.objects.select_related("connection__user").get()


def test_a_customer_who_revoked_is_news_once(fleet):
    some = fleet(3, revoked=1)
    lines, status = printed("--workers", "1")
    assert (len(lines), status) == (1, 1)
    some.make_due()
    assert printed("--workers", "1") == ([], 0)


def test_what_failed_for_a_moment_is_no_news_and_what_goes_on_is(fleet, thanksio):
    some = fleet(3, slow=0)
    key = some.healthy[0]
    grant = thanksio.grant_of(ConnectionTokens.objects.get(pk=key).access_token.reveal())
    for expected in (0, 1):
        some._faults[grant.id] = Fault(times=None, status=500)
        some.make_due()
        lines, status = printed("--workers", "1")
        assert (len(lines), status) == (1, expected), lines
        assert lines[0].endswith("not renewed, and tried again later (server_error)")


def test_a_pair_that_was_lost_names_its_user(fleet, monkeypatch, caplog):
    some = fleet(1)

    def fail(*args, **kwargs):
        raise OperationalError

    monkeypatch.setattr(statements, "store", fail)
    monkeypatch.setattr("thanksio_connect.database.sessions.STORE_BUDGET_SECONDS", 0.1)
    summary, status = run(*FAST, "--workers", "1")
    [row] = summary["not_renewed"]
    assert (status, row["user"], row["outcome"], row["code"]) == (1, "healthy-0", "lost", "OperationalError")
    [lost] = [each for each in caplog.records if getattr(each, "thanksio_event", "") == "tokens.lost"]
    user = User.objects.get(username="healthy-0")
    assert (lost.levelname, lost.thanksio_user_id, lost.thanksio_connection_id) == (
        "CRITICAL",
        user.pk,
        user.thanksio_connection.pk,
    )
    assert some.posts() == 1


def test_a_line_a_minute_where_nobody_watches(monkeypatch):
    clock = iter(range(0, 10_000, 25))
    monkeypatch.setattr(refresh_report, "now", lambda: next(clock))
    lines = []
    report = RefreshReport(
        lambda text, ending: lines.append(text + ending), is_json=False, is_terminal=False, verbosity=1
    )
    for done in range(8):
        report.progress(Summary(refreshed=done, remaining=300 - done))
    assert lines == [
        "2 of 300, paced at 60 a minute, about 5 h 10 min left\n",
        "4 of 300, paced at 60 a minute, about 4 h 38 min left\n",
        "6 of 300, paced at 60 a minute, about 4 h 25 min left\n",
    ]


@pytest.mark.parametrize(
    ("seconds", "words"), [(8.4, "8 s"), (89, "89 s"), (300, "5 min"), (7800, "2 h 10 min"), (0, "0 s")]
)
def test_durations(seconds, words):
    assert in_words(seconds) == words


def test_each_outcome_has_words():
    assert set(WORDS) == set(Outcome)


def test_a_name_in_any_script_goes_to_any_stream(command, fleet):
    fleet(1, lost_key=1)
    User.objects.filter(username="lost_key-0").update(username="Zoë\x1b[31m\r\n雪")
    for encoding, name in (("utf-8", "Zoë[31m雪"), ("ascii", "Zo\\xeb[31m\\u96ea")):
        command.environment = {"PYTHONIOENCODING": encoding}
        ConnectionTokens.objects.update(next_refresh_at=utc_now() - timedelta(hours=1))
        status, out, _errors = command.run(*FAST, encoding="utf-8")
        assert (status, out.splitlines()[0].startswith(f"{name} (connection ")) == (1, True), out


def test_a_sweep_deletes_what_is_old(fleet):
    fleet(1)
    user = User.objects.get()
    ConnectionEvent.objects.all().delete()
    for days in (400, 366, 364, 1):
        ConnectionEvent.objects.create(user=user, kind="failing", at=utc_now() - timedelta(days=days))
    run(*FAST, "--user", user.username)
    assert ConnectionEvent.objects.count() == 4
    run(*FAST)
    assert ConnectionEvent.objects.count() == 2


# On a terminal


class Terminal:
    """The command on a terminal of so many columns."""

    def __init__(self, command, columns, *arguments):
        self.ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        streams = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
        self.process = command.start(*arguments, **streams, preexec_fn=lambda: os.login_tty(theirs))
        os.close(theirs)
        self.text = ""

    def type(self, keys):
        os.write(self.ours, keys)

    def read_until(self, words, seconds=60):
        ends = time.monotonic() + seconds
        while words not in self.text:
            assert time.monotonic() < ends, self.text
            try:
                self.text += os.read(self.ours, 65536).decode()
            except OSError:  # the process has ended
                assert words in self.text, self.text
        return self.text

    def read_all(self):
        try:
            while chunk := os.read(self.ours, 65536):
                self.text += chunk.decode()
        except OSError:
            pass
        os.close(self.ours)
        return self.process.wait(60)


def test_a_terminal_shows_pace_and_what_is_left(command, fleet):
    fleet(8, lost_key=1)
    terminal = Terminal(command, 100, "--rate", "120", "--workers", "1")
    assert terminal.read_all() == 1
    assert re.search(r"\[#+\.+\] \d of 9, paced at 120 a minute, about \d s left", terminal.text), terminal.text
    shown = [each.strip() for each in re.split(r"[\r\n]+", terminal.text) if each.strip()]
    assert [each for each in shown if "lost_key-0 (connection" in each], shown
    assert [each for each in shown if re.search(r"; took \d+ s, paced at 120 a minute$", each)], shown


def test_a_narrow_terminal_is_not_overrun(command, fleet):
    fleet(4)
    terminal = Terminal(command, 40, "--rate", "240", "--workers", "1")
    assert terminal.read_all() == 0
    bars = [each for each in re.split(r"[\r\n]+", terminal.text) if " of 4, paced" in each]
    assert bars
    assert max(len(each) for each in bars) < 40


# Ctrl-C


def test_ctrl_c_typed_on_a_terminal(command, fleet, thanksio):
    some = fleet(5)
    fault = thanksio.next_token(hold="after")
    terminal = Terminal(command, 100, "--rate", "60", "--workers", "1")
    fault.wait_reached(60)
    terminal.type(b"\x03")
    terminal.read_until("Finishing the request in flight (up to 15 s)…")
    terminal.type(b"\x03")
    terminal.read_until("Once more ends the run at once")
    fault.release()
    assert terminal.read_all() == 1
    assert "refreshed 1, skipped 0" in terminal.text
    assert (some.renewed(), some.posts()) == (1, 1)


def test_ctrl_c_says_what_it_waits_for_and_twice_what_once_more_costs(command, fleet, thanksio):
    some = fleet(5)
    fault = thanksio.next_token(hold="after")
    process = command.start("--rate", "60", "--workers", "1")
    fault.wait_reached(60)
    process.send_signal(signal.SIGINT)
    assert read_line(process) == "Finishing the request in flight (up to 15 s)…"
    process.send_signal(signal.SIGINT)
    assert read_line(process).startswith(
        "thanks.io has not answered yet. Once more ends the run at once, and one customer may have to connect again:"
    )
    fault.release()
    _out, errors = process.communicate(timeout=60)
    assert (process.returncode, "Traceback" in errors, some.renewed(), some.posts()) == (1, False, 1, 1)


def test_the_third_ctrl_c_is_obeyed(command, fleet, thanksio):
    fleet(5)
    fault = thanksio.next_token(hold="after")
    process = command.start("--rate", "60", "--workers", "4")
    fault.wait_reached(60)
    for words in ("Finishing", "Once more ends"):
        process.send_signal(signal.SIGINT)
        while words not in (line := read_line(process)):
            assert line
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    _out, errors = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT, errors
    assert time.monotonic() - began < 8
    fault.release()


def test_sigterm_while_nothing_is_in_flight(command, fleet, thanksio):
    some = fleet(5)
    process = command.start("--rate", "1", "--workers", "1", "--json")
    ends = time.monotonic() + 60
    while not some.renewed():
        assert time.monotonic() < ends
        time.sleep(0.05)
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    assert read_line(process) == "Stopping. No request is in flight."
    out, _errors = process.communicate(timeout=60)
    assert (process.returncode, json.loads(out)["stopped_by"]) == (1, "interrupted")


# The terminal hangs up


def test_a_terminal_that_hangs_up_ends_the_run_and_costs_nobody_the_connection(command, fleet, thanksio):
    some = fleet(5)
    fault = thanksio.next_token(hold="after")
    terminal = Terminal(command, 100, "--rate", "60", "--workers", "1")
    fault.wait_reached(60)
    os.close(terminal.ours)
    for _time in range(3):  # shells hand it on to their jobs
        time.sleep(0.1)
        terminal.process.send_signal(signal.SIGHUP)
    fault.release()
    assert terminal.process.wait(60) == 1
    assert (some.renewed(), some.posts()) == (1, 1)


def test_with_nohup_the_run_outlives_its_terminal(command, fleet, thanksio):
    some = fleet(3)
    fault = thanksio.next_token(hold="after")
    ignored = {"preexec_fn": lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)}
    process = command.start("--rate", "6000", "--workers", "1", **ignored)
    fault.wait_reached(60)
    process.send_signal(signal.SIGHUP)
    fault.release()
    process.communicate(timeout=60)
    assert (process.returncode, some.renewed()) == (0, 3)


def read_line(process):
    """The next line of stderr that has words."""
    while not (line := process.stderr.readline().strip()):
        assert process.poll() is None
    return line
