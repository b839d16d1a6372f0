"""The diagrams are text, and say what the code does: floors, states, addresses."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

import pytest

from thanksio_connect import urls
from thanksio_connect.models import ThanksIOConnection

pytest.importorskip("docutils", reason="the extra docs is not installed")

REPOSITORY = Path(__file__).resolve().parents[2]
DOCS = REPOSITORY / "docs"


@pytest.fixture
def diagrams(monkeypatch):
    monkeypatch.syspath_prepend(DOCS / "_extensions")
    import diagrams

    yield diagrams
    del sys.modules["diagrams"]


def drawn(kind: str) -> list[list[str]]:
    """The text of each diagram of this kind, line by line."""
    found = []
    for page in sorted(DOCS.rglob("*.md")):
        blocks = re.findall(rf"^```\{{{kind}\}}[^\n]*\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.DOTALL)
        found += [block.splitlines() for block in blocks]
    return found


def test_the_floors_are_import_linters(diagrams):
    config = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    [contract] = [each for each in config["tool"]["importlinter"]["contracts"] if each["id"] == "layers"]
    layers = [set(re.findall(r"\w+", layer)) for layer in contract["layers"]]
    for upper in ("database", "history", "refresh", "webhooks"):  # one floor of five layers
        layers.remove({upper})
        layers[next(number for number, layer in enumerate(layers) if "fields" in layer)].add(upper)
    by_number = list(reversed(layers))
    [floors] = drawn("floors")

    for number, names, _ in diagrams.parse_floors(floors):
        if number:
            assert set(names.split()) - by_number[int(number)] == set()
            left_out = by_number[int(number)] - set(names.split())
            assert left_out <= {"checks_surroundings", "django_tasks"}
    assert len(by_number) == len(floors) - 1


def test_the_states_are_the_models(diagrams):
    [lines] = drawn("states")
    columns, messages = diagrams.parse_sequence(lines)

    assert set(columns) == {"no connection", *ThanksIOConnection.Status.values}
    ways = {(columns[message.source], columns[message.target]) for message in messages}
    assert ("no connection", "reconnect_required") not in ways
    assert len(ways) == len(messages)


def test_the_sequence_names_the_apps_addresses(diagrams):
    text = "\n".join(line for lines in drawn("sequence") for line in lines)
    paths = {str(pattern.pattern) for pattern in urls.urlpatterns} - {""}

    assert {path for path in paths if path in text} == {"connect/", "callback/"}


def test_a_line_that_is_no_message_is_refused(diagrams):
    with pytest.raises(ValueError, match="is no message between"):
        diagrams.parse_sequence(["a | b", "a -> c: words"])


@pytest.mark.parametrize("lines", [*drawn("sequence"), *drawn("states")], ids=lambda lines: lines[0])
def test_labels_have_room(diagrams, lines):
    columns, messages = diagrams.parse_sequence(lines)
    at = diagrams.places(columns, messages)
    for message in messages:
        if message.source != message.target:
            assert abs(at[message.source] - at[message.target]) >= message.width
