"""``demo --walkthrough``: the whole story over real HTTP on fresh databases, both sides checked after every step."""

from __future__ import annotations

import re
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import requests

from example_project.demo import keys
from example_project.demo.browser import Browser
from example_project.demo.evidence import Evidence, Mismatch
from example_project.demo.processes import Children, DemoError, free_ports, prepare, start_servers, tail
from example_project.demo.run import addresses
from example_project.demo.story import Story

ACCESS_TOKEN_SECONDS = 10
LONG_RUN = re.compile(r"[\w.~+/=-]{60,}")


def run(product_port: int | None, sandbox_port: int | None, say: Callable[[str], None]) -> None:
    """Play the story, one line a step. Raises DemoError at the first step that can't be verified on both sides."""
    started = time.monotonic()
    free = free_ports()
    product, sandbox = addresses(product_port or free[0], sandbox_port or free[1])
    with tempfile.TemporaryDirectory(prefix="thanksio-walkthrough-") as name:
        directory = Path(name)
        environment = keys.child_environment(directory, product.url, sandbox.url)
        environment["SANDBOX_ACCESS_TOKEN_SECONDS"] = str(ACCESS_TOKEN_SECONDS)
        with Children(environment, directory) as children:
            say(f"Product {product.url}, sandbox {sandbox.url}, access tokens of {ACCESS_TOKEN_SECONDS} seconds.")
            prepare(children)
            keys.write_addresses(directory, product.url, sandbox.url)
            start_servers(children, product, sandbox)
            story = Story(product.url, sandbox.url, Browser(), _evidence(directory, sandbox.url), children)
            try:
                for number, (title, step) in enumerate(story.steps(), start=1):
                    _play(number, title, step, children, say)
            finally:
                story.browser.close()
    say(f"Every step was verified on both sides, in {time.monotonic() - started:.0f} seconds.")


def _play(number: int, title: str, step: Callable[[], str], children: Children, say: Callable[[str], None]) -> None:
    started = time.monotonic()
    try:
        outcome = step()
    except (Mismatch, LookupError, requests.RequestException, subprocess.SubprocessError) as error:
        logs = "\n".join(f"--- {part}\n{tail(children.log_file(part))}" for part in ("product", "sandbox"))
        reason = str(error) or type(error).__name__
        raise DemoError(f"Step {number}, {title}, failed.\n{redact(reason)}\n{redact(logs)}") from None
    say(f"{number:>3}. {title}: {outcome} ({time.monotonic() - started:.1f} s)")


def redact(text: str) -> str:
    """Nothing as long as a token leaves this program."""
    return LONG_RUN.sub("[…]", text)


def _evidence(directory: Path, sandbox_url: str) -> Evidence:
    made = dict(line.split("=", 1) for line in (directory / "demo.env").read_text("ascii").splitlines())
    return Evidence(directory / "product.sqlite3", sandbox_url, made["SANDBOX_INSPECTION_KEY"])
