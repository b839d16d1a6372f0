"""The architecture page names each module, in a table, and nothing that is not there."""

import re
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGE = REPOSITORY / "thanksio_connect"
PAGE = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")


def test_each_module_has_a_line():
    section = PAGE.split("## All modules")[1].split("\n## ")[0]
    named = {
        name for cell in re.findall(r"^\| (`.*?`) \|", section, re.MULTILINE) for name in re.findall(r"`(.*?)`", cell)
    }
    modules = {
        file.relative_to(PACKAGE).with_suffix("").as_posix()
        for file in PACKAGE.rglob("*.py")
        if file.name != "__init__.py" and "migrations" not in file.parts
    }
    assert named == modules


def test_each_test_that_is_to_remind_exists():
    section = PAGE.split("## Where new code goes")[1].split("\n## ")[0]
    assert all((REPOSITORY / path).exists() for path in re.findall(r"`(tests/[\w/.]+)`", section))
