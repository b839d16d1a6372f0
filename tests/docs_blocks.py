"""The code blocks of the pages, and which test runs each.

A block may be preceded by a comment that says what it is. ``<!-- file: PATH -->``, ``<!-- append: PATH -->`` and
``<!-- story: NAME -->`` belong to the quickstart, ``<!-- command: NAME -->`` to ``.ci/readme.py``.
``<!-- run by: TEST -->`` names a test that looks closer than those for all pages. ``<!-- needs: Django 6.0 -->``,
``<!-- template: NAME -->`` (which one of the app's it overrides) and ``<!-- formula: … -->`` say how the block is run.
``{terminal}`` is no block of code: tests/integration/test_docs_terminals.py compares it with what the command prints.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
DOCS = REPOSITORY / "docs"
OUTSIDE = tuple(REPOSITORY / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/README.md"))
_BLOCK = re.compile(
    r"(?:^<!-- (?P<marker>[^\n]*?) -->\n+)?^(?P<fence>```+)(?P<info>[^\n]*)\n(?P<text>.*?)^(?P=fence)[ ]*$",
    re.MULTILINE | re.DOTALL,
)
_DIRECTIVE = re.compile(r"\{([\w-]+)\}\s*(.*)")
_OPTION = re.compile(r"^:([\w-]+):[ ]*(.*)\n", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """One fenced block. ``marker`` is its comment's (key, value), ``caption`` its ``:caption:``."""

    page: str
    line: int
    language: str
    text: str
    marker: tuple[str, str] = ("", "")
    caption: str = ""

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> list[Path]:
    """Every page with prose: the documentation, and what stands beside it."""
    return [*sorted(DOCS.rglob("*.md")), *(path for path in OUTSIDE if path.exists())]


def blocks_of(page: Path) -> list[Block]:
    """The page's blocks of code, in order; directives that show no code are left out."""
    source = page.read_text(encoding="utf-8")
    found = []
    for match in _BLOCK.finditer(source):
        language, text, caption = match["info"].strip(), match["text"], ""
        if directive := _DIRECTIVE.fullmatch(language):
            if directive[1] != "code-block":
                continue
            language = directive[2].strip()
            caption = dict(_OPTION.findall(text)).get("caption", "")
            text = _OPTION.sub("", text)
        key, _, value = (match["marker"] or "").partition(": ")
        name = page.relative_to(REPOSITORY).as_posix()
        line = source.count("\n", 0, match.start("fence")) + 1
        found.append(Block(name, line, language, text, (key, value), caption))
    return found


ALL = tuple(block for page in pages() for block in blocks_of(page))


def runner_of(block: Block) -> str | None:
    """Which test runs the block; None: nobody does.

    ``RUN_BY`` in tests/integration/test_docs_blocks.py has the test of each name; "elsewhere" is the one that the
    block's own comment says.
    """
    key, _ = block.marker
    if key in ("file", "append", "story"):
        return "quickstart"
    if key == "command":
        return "readme"
    if key == "run by":
        return "elsewhere"
    if block.page.startswith("docs/api/") and block.language == "python":
        return "api"
    if block.caption:
        return "product"
    return {
        "python": "python",
        "html+django": "template",
        "django": "template",
        "sh": "shell",
        "ini": "ini",
        "json": "json",
        "text": "text",
    }.get(block.language)


def blocks_for(runner: str) -> list[Block]:
    """The blocks that this runner has to run."""
    return [block for block in ALL if runner_of(block) == runner]
