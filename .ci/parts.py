"""A part of the gate: one command with its log, its time, and what it counts for."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

REPOSITORY = Path(__file__).resolve().parents[1]
SCRATCH = Path(tempfile.mkdtemp(prefix="thanksio-gate-"))
PART_TIMEOUT_SECONDS = 1800
_printing = threading.Lock()
_running: set[subprocess.Popen[bytes]] = set()


@dataclass
class Result:
    name: str
    passed: int
    failed: int


@dataclass
class Part:
    """``may_skip``: reasons (a pattern) for which a test may be skipped here. Any other skip is a failure.

    ``must_run``: one passed test's name has to match it. ``tree``: where to run, if not in the lane's.
    """

    name: str
    command: Sequence[str | Path]
    environment: Mapping[str, str] = field(default_factory=dict)
    may_skip: str | None = None
    must_run: str | None = None
    is_tests: bool = False
    tree: Path | None = None

    def run(self, tree: Path, shared_environment: Mapping[str, str]) -> Result:
        """Run to the end, whatever happens, and say what happened; a failed part's log is printed whole."""
        slug = re.sub(r"\W+", "-", self.name).strip("-")
        log, report = SCRATCH / f"{slug}.log", SCRATCH / f"{slug}.xml"
        environment = {**shared_environment, **self.environment}
        if self.is_tests:
            environment["PYTEST_ADDOPTS"] = f"--junitxml={report} -p no:cacheprovider"
        started = time.monotonic()
        status = _status(self.command, self.tree or tree, environment, log)
        passed, failed, notes = (1, 0, []) if status == 0 else (0, 1, [f"exit status {status}"])
        if self.is_tests:
            passed, failed, notes = self._count(report, status)
        seconds = time.monotonic() - started
        with _printing:
            count = f", {passed} passed, {failed} failed" if self.is_tests else ""
            print(f"{'FAIL' if failed else 'ok  '}  {self.name} ({seconds:.0f} s{count})", flush=True)
            for note in [*notes, *(_reports(log) if self.is_tests and not failed else [])]:
                print(f"      {note}")
            if failed:
                print(f"----- {self.name}: whole output -----")
                print(log.read_text(errors="replace"))
                print(f"----- end of {self.name} -----", flush=True)
        return Result(self.name, passed, failed)

    def _count(self, report: Path, status: int) -> tuple[int, int, list[str]]:
        if not report.exists():
            return 0, 1, [f"exit status {status}, and no test report"]
        passed, failed, notes, ran = 0, 0, [], 0
        for case in ElementTree.parse(report).iter("testcase"):  # noqa: S314 - written by pytest a moment ago
            name = f"{case.get('classname')}::{case.get('name')}"
            skipped = case.find("skipped")
            if case.find("failure") is not None or case.find("error") is not None:
                failed += 1
                notes.append(f"failed: {name}")
            elif skipped is None:
                passed += 1
                ran += bool(self.must_run and re.search(self.must_run, name))
            elif not re.search(self.may_skip or "$^", why := _reason(skipped)):
                failed += 1
                notes.append(f"skipped: {name}: {why}")
        if self.must_run and not ran:
            failed += 1
            notes.append(f"no test ran that matches {self.must_run}")
        if status != 0 and not failed:
            failed += 1
            notes.append(f"exit status {status}")
        return passed, failed, notes


def _reason(skipped: ElementTree.Element) -> str:
    """Why a test was skipped: of a whole module pytest says so in the text alone."""
    message = skipped.get("message", "")
    found = re.search(r"Skipped: (.*?)'?\)?$", skipped.text or "", re.MULTILINE)
    return found[1] if message == "collection skipped" and found else message


def _reports(log: Path) -> list[str]:
    """What tests report of themselves (schedules explored, rules proven): their own sections of the summary."""
    lines: list[str] = []
    is_report = False
    for line in log.read_text(errors="replace").splitlines():
        if heading := re.fullmatch(r"=+ (.+?) =+", line):
            title = heading[1]
            is_report = not re.search(
                r"^(test session starts|short test summary info|.*summary.*)$|passed|failed", title
            )
            if is_report:
                lines.append(f"{title}:")
        elif is_report and line.strip():
            lines.append(f"  {line}")
    return lines


def _status(command: Sequence[str | Path], tree: Path, environment: Mapping[str, str], log: Path) -> int:
    """The exit status; after the time limit the whole process group is killed."""
    with log.open("wb") as stream:
        try:
            process = subprocess.Popen(
                [str(word) for word in command],
                cwd=tree,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            stream.write(f"{error}\n".encode())
            return 127
        _running.add(process)
        try:
            return process.wait(PART_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            stream.write(f"\nKilled after {PART_TIMEOUT_SECONDS} s.\n".encode())
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return 124
        finally:
            _running.discard(process)


def kill_all(number: int, frame: object) -> None:
    """A signal handler: whoever ends the gate ends its parts."""
    for process in list(_running):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    print(f"Ended by signal {number}.\n0 passed, 1 failed", flush=True)
    os._exit(1)
