"""For every test; and the compliance table: which rules of standards this run has proven."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

import pytest
from django.conf import settings

from tests.compliance import NOT_OURS, RULES, by_number, proofs
from tests.prepared_demo import prepared_demo

__all__ = ["prepared_demo"]

PROPERTY = "compliance"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """``-n auto``: most of the tests wait, for a time-out, another process, a server; so each core has three."""
    return 3 * (os.cpu_count() or 1)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--compliance", action="store_true", help="print the compliance table also of a partial run")


def pytest_itemcollected(item: pytest.Item) -> None:
    """The marks go with the reports, so that they arrive under xdist, too."""
    for mark in item.iter_markers("compliance"):
        item.user_properties.append((PROPERTY, " § ".join(mark.args)))


def _results(terminalreporter: pytest.TerminalReporter) -> dict[str, dict[str, str]]:
    """Rule -> test -> passed, failed or skipped; a failing set-up or tear-down counts."""
    found: dict[str, dict[str, str]] = {}
    for outcome in ("passed", "skipped", "failed", "error"):  # the later wins
        for report in terminalreporter.getreports(outcome):
            for name, rule in getattr(report, "user_properties", ()):
                if name == PROPERTY:
                    result = "failed" if outcome == "error" else outcome
                    found.setdefault(rule, {})[report.nodeid] = result
    return found


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Printed when every test that proves a rule took part, or with ``--compliance``."""
    results = _results(terminalreporter)
    took_part = {nodeid.partition("[")[0] for tests in results.values() for nodeid in tests}
    wanted = {f"tests/{test}" for tests in proofs().values() for test in tests}
    if not results or not (wanted <= took_part or config.getoption("--compliance")):
        return
    terminalreporter.section("compliance with standards")
    for standard, section in sorted(RULES | NOT_OURS, key=by_number):
        rule = (standard, section)
        if rule in NOT_OURS:
            words, reason = NOT_OURS[rule]
            terminalreporter.write_line(f"{standard:<14} {section:<10} {'n/a':<22} {words}: {reason}")
            continue
        outcomes = list(results.get(f"{standard} § {section}", {}).values())
        counts = [f"{outcomes.count(name)} {name}" for name in ("passed", "failed", "skipped") if name in outcomes]
        terminalreporter.write_line(f"{standard:<14} {section:<10} {', '.join(counts) or 'not run':<22} {RULES[rule]}")


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """A parameter that holds a key or a ciphertext has another text at each run: name it by its argument."""
    text = val.decode("latin-1") if isinstance(val, bytes) else val
    return argname if isinstance(text, str) and re.search(r"[\w+/-]{40}", text) else None


@pytest.fixture(autouse=True)
def _settings_as_they_were() -> Iterator[None]:
    """Overrides that end in another order than they began would leave one behind for every test after."""
    before = settings._wrapped
    yield
    settings._wrapped = before
