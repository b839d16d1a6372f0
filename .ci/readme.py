"""Run a command of README.md as it stands there: ``readme.py tests``, or ``demo`` (until both servers answer)."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
START_SECONDS = 300
STOP_SECONDS = 30


def command(name: str) -> str:
    """The code block after the line ``<!-- command: name -->``."""
    text = (REPOSITORY / "README.md").read_text()
    found = re.findall(rf"<!-- command: {name} -->\n+```sh\n(.*?)```", text, re.DOTALL)
    if len(found) != 1:
        raise SystemExit(f"README.md has {len(found)} commands marked {name!r}; it must have one.")
    return str(found[0])


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def demo() -> int:
    """Start the demo, wait for both servers, press Ctrl-C, and see it end by itself."""
    process = subprocess.Popen(["bash", "-euc", command("demo")], cwd=REPOSITORY, start_new_session=True)
    deadline = time.monotonic() + START_SECONDS
    urls = ["http://localhost:8000/login/", "http://127.0.0.1:8001/login"]
    try:
        while not all(answers(url) for url in urls):
            if process.poll() is not None:
                print(f"The demo ended with {process.returncode} before it answered.")
                return 1
            if time.monotonic() > deadline:
                print(f"No answer after {START_SECONDS} s from {urls}.")
                return 1
            time.sleep(0.5)
        print("Both servers answer.", flush=True)
        os.killpg(process.pid, signal.SIGINT)
        process.wait(STOP_SECONDS)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    still = [url for url in urls if answers(url)]
    print(f"Still answering after Ctrl-C: {still}" if still else "Ctrl-C stopped both.")
    return 1 if still else 0


if __name__ == "__main__":
    if sys.argv[1] == "demo":
        sys.exit(demo())
    os.chdir(REPOSITORY)
    os.execvp("bash", ["bash", "-euxc", command(sys.argv[1])])  # noqa: S606 - the shell is the point
