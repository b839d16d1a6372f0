"""docs/templates.md names every template, block and class of the app, and no other."""

from __future__ import annotations

import re
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
TEMPLATES = REPOSITORY / "thanksio_connect" / "templates"
PAGE = (REPOSITORY / "docs" / "templates.md").read_text(encoding="utf-8")
SOURCES = {
    path.relative_to(TEMPLATES).as_posix(): path.read_text(encoding="utf-8")
    for path in (TEMPLATES / "thanksio_connect").rglob("*.html")
}


def rows(header: str) -> list[list[str]]:
    """The cells of the table that begins with this header."""
    table = PAGE.partition(f"\n{header}\n")[2].partition("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[1:]]


def words(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_every_template_is_listed_with_its_blocks():
    listed = {words(name)[0]: set(words(blocks)) for name, _, blocks in rows("| template | what it is | blocks |")}
    assert listed == {name: set(re.findall(r"{% block (\w+)", source)) for name, source in SOURCES.items()}


def test_every_template_with_variables_lists_them_as_its_head_comment_does():
    listed = {f"thanksio_connect/{words(name)[0]}": set(words(cell)) for name, cell in rows("| template | variables |")}
    assert listed.keys() == SOURCES.keys() - {"thanksio_connect/base.html"}
    for name, source in SOURCES.items():
        head = source.partition("{% endcomment %}")[0].partition("Variables: ")[2]
        for variable in re.findall(r"\b[a-z]+_[a-z_]+\b", head):
            assert variable in listed[name] | {"connect_button"}, (name, variable)


def test_every_class_is_listed():
    listed = set()
    for cell, _ in rows("| class | on |"):
        name = ""
        for word in words(cell):
            name = word if not word.startswith("--") else name
            listed.add(word if word == name else name + word)
    used = {name for source in SOURCES.values() for name in re.findall(r"thanksio-[a-z]+(?:--?[a-z]+)*", source)}
    kinds = {f"thanksio-button--{kind}" for kind in ("connect", "connected", "reconnect", "disconnect", "back")}
    levels = {f"thanksio-message--{level}" for level in ("success", "info", "warning", "error")}
    assert listed == used | kinds | levels
