"""Every code block of the pages is run by a test, as printed: here, or where ``RUN_BY`` says."""

from __future__ import annotations

import ast
import asyncio
import dis
import json
import re
import subprocess
import textwrap
import types
import unittest
from configparser import RawConfigParser
from pathlib import Path
from typing import Any

import django
import pytest
from django.contrib.auth import get_user_model
from django.core.checks import run_checks
from django.db import ConnectionHandler
from django.template import RequestContext, engines
from django.test import Client, RequestFactory, override_settings
from django.urls import reverse

from tests import shell_words
from tests.docs_blocks import ALL, REPOSITORY, Block, blocks_for, pages, runner_of
from thanksio_connect import exceptions, signals
from thanksio_connect.models import ThanksIOConnection
from thanksio_connect.testing import FakeThanksIO

RUN_BY = {
    "quickstart": "tests/e2e/test_first_hour.py",
    "product": "tests/integration/test_docs_testing_examples.py",
    "api": "tests/integration/test_docs_api_examples.py",
    "readme": ".ci/readme.py",
    **dict.fromkeys(("python", "template", "shell", "ini", "json", "text"), "tests/integration/test_docs_blocks.py"),
}
MY_SITE = """<title>{% block title %}{% endblock %}</title><h1>My site</h1>
{% block main %}{% endblock %}{% block content %}{% endblock %}"""
PACKAGE = REPOSITORY / "thanksio_connect"

pytestmark = pytest.mark.django_db


def test_no_block_is_left_out():
    known = {*RUN_BY, "elsewhere"}
    assert {str(block): block.language for block in ALL if runner_of(block) not in known} == {}
    assert all((REPOSITORY / test).exists() for test in RUN_BY.values())


@pytest.mark.parametrize("block", blocks_for("elsewhere"), ids=str)
def test_a_block_that_names_its_test_is_run_there(block):
    test = (REPOSITORY / block.marker[1]).read_text(encoding="utf-8")
    assert f'"{Path(block.page).name}"' in test
    assert "exec(" in test or "findall(" in test


def test_no_block_is_overlooked():
    for page in pages():
        source = page.read_text(encoding="utf-8")
        fences = re.findall(r"^[ >]*(?:```|~~~)", source, re.MULTILINE)
        assert all(fence == "```" for fence in fences), f"{page}: a block that is indented is not found"
        directives = re.findall(r"^```+\{(?!code-block)", source, re.MULTILINE)
        found = [block for block in ALL if REPOSITORY / block.page == page]
        assert len(fences) == 2 * (len(found) + len(directives)), page


def test_a_command_that_is_printed_twice_is_the_same():
    """``.ci/readme.py`` runs those of the README."""
    texts: dict[str, set[str]] = {}
    for block in blocks_for("readme"):
        texts.setdefault(block.marker[1], set()).add(block.text)
    run = {block.marker[1] for block in blocks_for("readme") if block.page == "README.md"}
    assert set(texts) == run == {"demo", "tests"}
    assert all(len(each) == 1 for each in texts.values())


# Python

PYTHON = blocks_for("python")


@pytest.fixture
def thanksio():
    with FakeThanksIO() as server, server.override_settings():
        yield server


@pytest.fixture
def no_receiver_stays():
    """What a page's block connects to a signal is gone afterwards."""
    all_signals = [item for item in vars(signals).values() if isinstance(item, signals.Signal)]
    before = [signal.receivers[:] for signal in all_signals]
    yield
    for signal, receivers in zip(all_signals, before, strict=True):
        signal.receivers[:] = receivers
        signal.sender_receivers_cache.clear()


def given(thanksio: FakeThanksIO, user: Any) -> dict[str, Any]:
    """What the pages speak of without defining it: the request, its user, and the user's connection."""
    connection = thanksio.connect(user, user_id=7)
    request = RequestFactory().get("/")
    request.user = get_user_model().objects.get(pk=user.pk)
    return {"user": user, "request": request, "connection": connection, "api": connection.api}


def of_the_project(settings: Any) -> dict[str, Any]:
    """What a settings module has already, and a project's own function."""
    names = ("INSTALLED_APPS", "MIDDLEWARE", "TEMPLATES")
    databases = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
    return {name: list(getattr(settings, name)) for name in names} | {"DATABASES": databases, "current_tenant": str}


@pytest.mark.parametrize("page", sorted({block.page for block in PYTHON}))
def test_python_runs_as_printed(page, thanksio, settings, django_user_model, no_receiver_stays):
    user = django_user_model.objects.create_user("ann")
    names = of_the_project(settings)
    for block in PYTHON:
        if block.page == page and can_run_here(block):
            run(block, names | given(thanksio, user), names)
    assert [record for record in thanksio.requests if record.outcome == "crashed"] == []


def can_run_here(block: Block) -> bool:
    key, value = block.marker
    if key != "needs":
        return True
    name, _, version = value.partition(" ")
    assert name == "Django", block
    return django.VERSION[:2] >= tuple(int(part) for part in version.split("."))


def run(block: Block, names: dict[str, Any], known: dict[str, Any]) -> None:
    """Run it with ``names``; what it defines is known to the page's later blocks."""
    before = dict(names)
    code = compile("\n" * block.line + block.text, block.page, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    result = eval(code, names)
    if asyncio.iscoroutine(result):
        asyncio.run(result)
    new = {name: value for name, value in names.items() if before.get(name) is not value and name != "__builtins__"}
    assert unresolved(new, names) == set(), block
    known |= {name: value for name, value in new.items() if not isinstance(value, ThanksIOConnection)}
    load_settings({name: value for name, value in new.items() if name.isupper()}, block)
    for item in new.values():
        if isinstance(item, type) and issubclass(item, unittest.TestCase) and item.__module__ == "builtins":
            case = item("setUp")
            case.setUp()
            case.doCleanups()


def unresolved(new: dict[str, Any], names: dict[str, Any]) -> set[str]:
    """The global names that the block's functions use and nobody defines."""
    known = names.keys() | vars(__import__("builtins")).keys()
    functions = [item for item in new.values() if isinstance(item, types.FunctionType)]
    loaded = [
        instruction.argval
        for function in functions
        if function.__globals__ is names
        for instruction in dis.get_instructions(function)
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME")
    ]
    return set(loaded) - known


def load_settings(changed: dict[str, Any], block: Block) -> None:
    """The settings of a block are such as Django, Celery or the app take."""
    if not changed:
        return
    if databases := changed.pop("DATABASES", None):
        with ConnectionHandler(databases)["default"].cursor() as cursor:
            cursor.execute("SELECT 1")
    for entry in changed.pop("CELERY_BEAT_SCHEDULE", {}).values():
        tasks = pytest.importorskip("thanksio_connect.tasks")
        task = getattr(tasks, entry["task"].removeprefix("thanksio_connect."))
        assert task.name == entry["task"]
        assert set(entry.get("kwargs", {})) <= set(task.run.__code__.co_varnames)
    # Django 6.1 would apply it for good: tests/unit/test_docs_log_records.py does, and undoes it.
    changed.pop("LOGGING", None)
    prepare = changed.pop("THANKSIO_PREPARE_SESSION", "")
    assert "prepare" in prepare or not prepare
    csp = "django.middleware.csp.ContentSecurityPolicyMiddleware"
    if "SECURE_CSP" in changed:
        changed["MIDDLEWARE"] = [csp]
    if set(changed.get("INSTALLED_APPS", [])) & {"django_tasks_db"}:
        pytest.importorskip("django_tasks_db")
    with override_settings(THANKSIO_AUTHORIZE_URL=None, **changed):
        found = run_checks()
    assert [message for message in found if message.id == "thanksio_connect.W004"] == [], block


# Templates


@pytest.mark.parametrize("block", blocks_for("template"), ids=str)
def test_templates_render_as_printed(block, thanksio, settings, django_user_model, client):
    user = django_user_model.objects.create_user("ann")
    key, name = block.marker
    if key == "template":
        pages_with(block.text, name, user, thanksio, settings)
        return
    request = RequestFactory().get("/")
    request.user = user
    text = engines["django"].from_string(block.text).template.render(RequestContext(request, {}))
    assert text.strip()
    assert "{%" not in text


def pages_with(template: str, name: str, user: Any, thanksio: FakeThanksIO, settings: Any) -> None:
    """The app's pages, where the project overrides one of their templates by this one."""
    [entry] = settings.TEMPLATES
    loaders = [
        ("django.template.loaders.locmem.Loader", {name: template, "my_site/base.html": MY_SITE}),
        "django.template.loaders.app_directories.Loader",
    ]
    settings.TEMPLATES = [entry | {"APP_DIRS": False, "OPTIONS": entry["OPTIONS"] | {"loaders": loaders}}]
    client = Client()
    client.force_login(user)
    before = client.get(reverse("thanksio_connect:connection"), secure=True).text
    asked = client.get(reverse("thanksio_connect:connect"), secure=True).text
    thanksio.connect(user)
    connected = client.get(reverse("thanksio_connect:connection"), secure=True).text
    for text in (before, asked, connected):
        assert ("My site" in text) == ("my_site" in template)
        assert "<form" in text or text is connected
        assert "thanks.io" in text
    if name.endswith("button.html"):
        assert 'class="btn btn-primary"' in before
    if name.endswith("connection.html"):
        assert "/postcards/new/" in connected
        assert "/postcards/new/" not in before


# The shell


INSTALLING = [block for block in blocks_for("quickstart") if block.marker == ("story", "install")]


@pytest.mark.parametrize("block", [*blocks_for("shell"), *blocks_for("readme"), *INSTALLING], ids=str)
def test_shell_commands_can_be_run(block):
    syntax = subprocess.run(["bash", "-n"], input=block.text, text=True, capture_output=True)
    assert syntax.stderr == ""
    for words in shell_words.commands_of(block.text):
        shell_words.check(words)


# Files of others


@pytest.mark.parametrize("block", blocks_for("ini"), ids=str)
def test_units_are_such_as_systemd_reads(block):
    unit = RawConfigParser()
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(block.text)
    assert set(unit.sections()) <= {"Unit", "Service", "Timer", "Install"}
    for section in unit.sections():
        for key, value in unit[section].items():
            if key == "ExecStart":
                shell_words.check(value.split())


@pytest.mark.parametrize("block", blocks_for("json"), ids=str)
def test_json_is_what_the_page_answers(block, thanksio, django_user_model, client):
    user = django_user_model.objects.create_user("ann")
    client.force_login(user)
    thanksio.connect(user)
    answer = client.get(reverse("thanksio_connect:connection"), headers={"Accept": "application/json"}).json()
    said = json.loads(block.text)
    moments = {"connected_since", "expires_at"}
    assert list(said) == list(answer)
    assert {key: said[key] for key in said if key not in moments} == {
        key: answer[key] for key in answer if key not in moments
    }
    assert all(re.fullmatch(r"[\d-]+T[\d:]+(\.\d+)?\+00:00", each[key]) for each in (said, answer) for key in moments)


# Text


@pytest.mark.parametrize("block", blocks_for("text"), ids=str)
def test_text_says_what_the_code_does(block):
    key, _ = block.marker
    if key == "formula":
        sizing(block)
    elif block.text.startswith("*/"):
        cron(block)
    elif textwrap.indent(block.text.strip(), "    ") not in exceptions.__doc__:
        printed_by_the_app(block)


def cron(block: Block) -> None:
    for line in block.text.splitlines():
        fields = line.split(maxsplit=5)
        assert all(re.fullmatch(r"[\d*/,-]+", field) for field in fields[:5]), line
        for words in shell_words.commands_of(fields[5]):
            shell_words.check(words)


def sizing(block: Block) -> None:
    """The table below the formula is what the formula gives, and the share is the schedule's."""
    assert "lifetime in minutes × 2/3" in block.text
    page = (REPOSITORY / block.page).read_text(encoding="utf-8")
    minutes = {"1 hour": 60, "1 day": 1440, "15 days": 21600}
    rows = re.findall(r"^\| ([\d,]+) \| (1 hour|1 day|15 days) \| ([\d.]+) \|$", page, re.MULTILINE)
    assert len(rows) == 4
    for connections, lifetime, said in rows:
        assert abs(int(connections.replace(",", "")) / (minutes[lifetime] * 2 / 3) - float(said)) < 0.06


def printed_by_the_app(block: Block) -> None:
    """Each line has the words of a sentence in the source; numbers, names and times are free."""
    sentences = [re.compile(pattern) for pattern in _sentences(PACKAGE)]
    joined = re.sub(r"\n {11,}", " ", block.text)
    for line in joined.splitlines():
        text = re.sub(r"^(ok|warning|problem|→|\s)+", "", line)
        assert text.startswith("THANKSIO_") or any(each.fullmatch(text) for each in sentences), line


def _sentences(folder: Path) -> set[str]:
    """The texts of the source as patterns: what is filled in may be anything."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in folder.rglob("*.py")]
    found = [_pattern(node) for tree in trees for node in ast.walk(tree)]
    return {pattern for pattern in found if len(re.sub(r"\.\+|\W", "", pattern)) >= 8}


def _pattern(node: ast.AST) -> str:
    if isinstance(node, ast.JoinedStr):
        return "".join(_pattern(part) for part in node.values)
    if isinstance(node, ast.FormattedValue):
        return ".+"
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return re.sub(r"%\\?\(\w+\\?\)[sd]", ".+", re.escape(node.value))
    return ""
