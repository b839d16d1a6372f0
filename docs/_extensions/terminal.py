"""``{terminal}``: what a command printed, as a terminal shows it. The argument is the command as it was typed.

The text is the page's own, and ``tests/integration/test_docs_terminals.py`` compares it with what the command prints. A
line ``…`` stands for lines that are left out.
"""

from __future__ import annotations

import re
from html import escape

from docutils import nodes
from docutils.parsers.rst import Directive

LEVEL = re.compile(r"^(ok|warning|problem)(?=\s)", re.MULTILINE)


def draw(command: str, lines: list[str]) -> str:
    """Return the terminal as HTML: the levels of the doctor's findings in colour, each line on its own."""
    marked = (LEVEL.sub(r'<b class="\1">\1</b>', escape(line, quote=False)) for line in lines)
    rows = "".join(f"<span>{line}\n</span>" for line in marked)
    typed = f"<span><i>$</i> {escape(command, quote=False)}\n</span>"
    return f'<pre class="terminal" tabindex="0">{typed}{rows}</pre>'


class Terminal(Directive):
    has_content = True
    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        return [nodes.raw("", draw(self.arguments[0], list(self.content)), format="html")]


def setup(app: object) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_directive("terminal", Terminal)  # type: ignore[attr-defined]
    return {"parallel_read_safe": True, "parallel_write_safe": True}
