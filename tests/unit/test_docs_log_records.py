"""The page of log records lists what the catalogue has and the code records: name, levels, fields."""

from __future__ import annotations

import ast
import functools
import json
import logging
import logging.config
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from thanksio_connect.records import EVENTS, record

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


@dataclass(frozen=True)
class Call:
    """One call of ``record()``: the levels, and the names of the fields and words, that it may give."""

    name: str
    levels: set[str]
    fields: set[str]
    words: set[str]


@functools.cache
def calls() -> list[Call]:
    found = {}
    for path, tree in trees():
        for function in ast.walk(tree):
            if isinstance(function, ast.FunctionDef):  # an inner one comes after the one around it
                for node in ast.walk(function):
                    if isinstance(node, ast.Call) and ast.unparse(node.func) == "record":
                        found[path, node.lineno] = read(node, function)
    return list(found.values())


def read(node: ast.Call, function: ast.FunctionDef) -> Call:
    [event] = node.args
    assert isinstance(event, ast.Constant), ast.unparse(node)
    given = {keyword.arg: value_of(keyword.value, function) for keyword in node.keywords}
    nothing = ast.Dict(keys=[], values=[])
    words = given.pop("words", nothing)
    assert isinstance(words, ast.Dict), ast.unparse(node)
    levels = levels_of(given.pop("level", nothing))
    given.pop("logger", None)
    fields = {name for name in given if name is not None}
    if None in given:  # **ids
        fields |= OF_A_KEY if "_facts(" in ast.unparse(given[None]) else IDS
    return Call(event.value, levels, fields, {ast.literal_eval(key) for key in words.keys if key})


def value_of(node: ast.expr, function: ast.FunctionDef) -> ast.expr:
    """What was last assigned to a variable of this name, above."""
    above = [each for each in ast.walk(function) if isinstance(each, ast.Assign) and each.lineno < node.lineno]
    assigned = [each for each in above if ast.unparse(each.targets[0]) == ast.unparse(node)]
    return max(assigned, key=lambda each: each.lineno).value if assigned else node


def levels_of(node: ast.expr) -> set[str]:
    return {each.attr for each in ast.walk(node) if isinstance(each, ast.Attribute) and each.attr in LEVELS}


def placeholders(name: str) -> set[str]:
    return set(re.findall(r"%\((\w+)\)", EVENTS[name][1]))


def event_of(name: str) -> str:
    """An event's name, without what tells its sentences apart."""
    return name.partition(":")[0]


@functools.cache
def in_the_code() -> dict[str, tuple[set[str], set[str]]]:
    found: dict[str, tuple[set[str], set[str]]] = {event_of(name): (set(), set()) for name in EVENTS}
    for name, (level, _sentence) in EVENTS.items():
        found[event_of(name)][0].add(logging.getLevelName(level))
    for each in calls():
        levels, fields = found[event_of(each.name)]
        levels |= each.levels
        fields |= each.fields
    return found


def on_the_page() -> dict[str, tuple[set[str], set[str]]]:
    rows = re.findall(r"^\| `([a-z_.]+)` \| ([A-Z, ]+) \| ([^|]*) \|", PAGE, re.MULTILINE)
    return {
        event: ({each.strip() for each in levels.split(",")}, set(re.findall(r"`(\w+)`", fields)))
        for event, levels, fields in rows
    }


def test_the_page_lists_every_event():
    assert set(on_the_page()) == set(map(event_of, EVENTS))


def test_the_catalogue_has_what_is_recorded_and_no_more():
    assert {each.name for each in calls()} == set(EVENTS)


@pytest.mark.parametrize("event", sorted(set(map(event_of, EVENTS))))
def test_levels_and_fields(event):
    assert on_the_page()[event] == in_the_code()[event]


@pytest.mark.parametrize("each", calls(), ids=lambda each: each.name)
def test_a_sentence_is_given_what_it_needs_and_no_more(each):
    needed = placeholders(each.name)
    assert needed - each.fields == each.words


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
    handlers, level, propagate = logger.handlers, logger.level, logger.propagate
    try:
        logging.config.dictConfig(namespace["LOGGING"])
        record("connection.connected", connection_id=Path("7"), user_id=5, code="connected")
    finally:
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)  # and not by the attribute: what was found enabled is to be forgotten
    assert json.loads(capsys.readouterr().err) == {
        "level": "INFO",
        "message": "thanks.io connection 7 of user 5: connected.",
        "thanksio_event": "connection.connected",
        "thanksio_user_id": 5,
        "thanksio_connection_id": "7",
        "thanksio_code": "connected",
    }
