"""The page of log records lists what the code records, no more and no less: name, levels, fields."""

from __future__ import annotations

import ast
import functools
import json
import logging
import logging.config
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from thanksio_connect.records import record

ROOT = Path(__file__).resolve().parents[2]
APP = ROOT / "thanksio_connect"
PAGE = (ROOT / "docs" / "log-records.md").read_text(encoding="utf-8")
IDS = {"connection_id", "user_id"}
OF_A_KEY = {"key", "connection_id", "order_id", "attempts"}
OUTSIDE = {"testing", "records.py"}
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


def trees() -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted(APP.rglob("*.py")):
        if path.relative_to(APP).parts[0] not in OUTSIDE:
            yield path, ast.parse(path.read_text(encoding="utf-8"))


def calls() -> Iterator[ast.Call]:
    for _path, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "record":
                yield node


def levels_of(node: ast.expr) -> set[str]:
    return {each.attr for each in ast.walk(node) if isinstance(each, ast.Attribute) and each.attr in LEVELS}


@functools.cache
def in_the_code() -> dict[str, tuple[set[str], set[str]]]:
    found: dict[str, tuple[set[str], set[str]]] = {}
    for call in calls():
        level, event, *_text = call.args
        assert isinstance(event, ast.Constant), ast.unparse(call)
        levels, fields = found.setdefault(event.value, (set(), set()))
        levels |= levels_of(level)
        for keyword in call.keywords:
            if keyword.arg is None:
                fields |= OF_A_KEY if "_facts(" in ast.unparse(keyword.value) else IDS  # **ids
            elif keyword.arg != "logger":
                fields.add(keyword.arg)
    return found


def on_the_page() -> dict[str, tuple[set[str], set[str]]]:
    rows = re.findall(r"^\| `([a-z_.]+)` \| ([A-Z, ]+) \| ([^|]*) \|", PAGE, re.MULTILINE)
    return {
        event: ({each.strip() for each in levels.split(",")}, set(re.findall(r"`(\w+)`", fields)))
        for event, levels, fields in rows
    }


def test_the_page_lists_every_record():
    assert set(on_the_page()) == set(in_the_code())


@pytest.mark.parametrize("event", sorted(in_the_code()))
def test_levels_and_fields(event):
    levels, fields = in_the_code()[event]
    on_page = on_the_page()[event]
    assert on_page[1] == fields
    assert not levels or on_page[0] >= levels


def test_nothing_is_logged_past_the_records():
    for path, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                is_logging = node.func.attr in {"debug", "info", "warning", "error", "critical", "exception", "log"}
                called = ast.unparse(node.func.value)
                assert not (is_logging and "log" in called), f"{path}:{node.lineno}"


def test_the_pages_formatter_writes_lines_of_json(capsys):
    [code] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    namespace: dict[str, object] = {}
    exec(compile(code, "docs/log-records.md", "exec"), namespace)
    logger = logging.getLogger("thanksio_connect")
    before = logger.handlers, logger.level, logger.propagate
    try:
        logging.config.dictConfig(namespace["LOGGING"])
        record(logging.INFO, "connection.connected", "User %s", 5, user_id=5, connection_id=Path("7"), code="connected")
    finally:
        logger.handlers, logger.level, logger.propagate = before
    assert json.loads(capsys.readouterr().err) == {
        "level": "INFO",
        "message": "User 5",
        "thanksio_event": "connection.connected",
        "thanksio_user_id": 5,
        "thanksio_connection_id": "7",
        "thanksio_code": "connected",
    }
