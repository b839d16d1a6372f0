"""Diagrams as text: ``{sequence}``, ``{states}`` and ``{floors}``, drawn as SVG in the page, in the theme's colours.

``sequence``: the first line names the columns, ``a | b | c``; then ``a -> b: words`` for each message, ``a -> a:
words`` for what somebody does alone. ``states`` is the same with states as columns. ``floors``:
``7 | names | meaning``. The text is the page's own, so that a reader of the source sees the same.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from docutils import nodes
from docutils.parsers.rst import Directive

CHARACTER = 6.7  # of the 12 px font, on average
LINE = 16
BOX = 34
WORDS, FEWER_WORDS = 30, 18  # letters in a line of a label; where there are five columns or more
LEAST_GAP = 120


@dataclass(frozen=True)
class Message:
    """One arrow, from a column to a column; both the same: done alone."""

    source: int
    target: int
    lines: tuple[str, ...]

    @property
    def height(self) -> int:
        return LINE * len(self.lines) + 18

    @property
    def width(self) -> float:
        return max(len(line) for line in self.lines) * CHARACTER


def parse_sequence(text: list[str]) -> tuple[list[str], list[Message]]:
    """Return the columns and the messages. Raise ValueError for a line that is neither."""
    columns = [name.strip() for name in text[0].split("|")]
    letters = WORDS if len(columns) < 5 else FEWER_WORDS
    messages = []
    for line in text[1:]:
        arrow, _, words = line.partition(":")
        source, found, target = (part.strip() for part in arrow.partition("->"))
        if not found or source not in columns or target not in columns:
            raise ValueError(f"{line!r} is no message between {columns}")
        lines = tuple(textwrap.wrap(words.strip(), letters))
        messages.append(Message(columns.index(source), columns.index(target), lines))
    return columns, messages


def parse_floors(text: list[str]) -> list[tuple[str, str, str]]:
    """Return number, names and meaning of each floor."""
    return [tuple(cell.strip() for cell in line.split("|")) for line in text]  # type: ignore[misc]


def places(columns: list[str], messages: list[Message]) -> list[float]:
    """Where the columns stand, so that each label has room between its two."""
    gaps = [float(LEAST_GAP)] * len(columns)
    for number, (left, right) in enumerate(pairwise(columns)):
        gaps[number] = max(gaps[number], (len(left) + len(right)) / 2 * 7.5 + 40)
    for message in messages:
        first, last = sorted((message.source, message.target))
        last = max(last, first + 1)
        for number in range(first, last):
            gaps[number] = max(gaps[number], (message.width + 34) / (last - first))
    at = [max(len(columns[0]) * 7.5, 90) / 2 + 12]
    for gap in gaps[: len(columns) - 1]:
        at.append(at[-1] + gap)
    return at


def draw_sequence(columns: list[str], messages: list[Message]) -> tuple[str, float, float]:
    """Return the SVG's content, its width and its height."""
    at = places(columns, messages)
    alone_at_the_end = [message.width for message in messages if message.source == message.target == len(columns) - 1]
    width = at[-1] + max(len(columns[-1]) * 3.75 + 24, *[one + 30 for one in alone_at_the_end], 60)
    height = BOX + 14 + sum(message.height for message in messages) + 12
    parts = []
    for name, x in zip(columns, at, strict=True):
        half = len(name) * 3.75 + 12
        parts.append(f'<line class="life" x1="{x:.0f}" y1="{BOX}" x2="{x:.0f}" y2="{height - 6:.0f}"/>')
        parts.append(f'<rect class="box" x="{x - half:.0f}" y="2" width="{2 * half:.0f}" height="{BOX - 4}" rx="5"/>')
        parts.append(f'<text class="name" x="{x:.0f}" y="{BOX / 2 + 4:.0f}">{escape(name)}</text>')
    y = BOX + 14.0
    for message in messages:
        parts.append(_draw_message(message, at, y))
        y += message.height
    return "\n".join(parts), width, height


def _draw_message(message: Message, at: list[float], top: float) -> str:
    source, target = at[message.source], at[message.target]
    bottom = top + message.height - 12
    if message.source == message.target:
        words = _words(message.lines, source + 12, top, "start")
        return f'<circle class="dot" cx="{source:.0f}" cy="{top + 8:.0f}" r="3.5"/>{words}'
    sign = 1 if target > source else -1
    line = f'<line class="arrow" x1="{source:.0f}" y1="{bottom:.0f}" x2="{target - 2 * sign:.0f}" y2="{bottom:.0f}"/>'
    tip = f"{target:.0f},{bottom:.0f} {target - 8 * sign:.0f},{bottom - 4:.0f} {target - 8 * sign:.0f},{bottom + 4:.0f}"
    words = _words(message.lines, (source + target) / 2, top, "middle")
    return f'{line}<polygon class="tip" points="{tip}"/>{words}'


def _words(lines: tuple[str, ...], x: float, top: float, anchor: str) -> str:
    start = f'<text class="words" text-anchor="{anchor}" x="{x:.0f}"'
    rows = enumerate(lines)
    return "".join(f'{start} y="{top + LINE * (row + 0.75):.0f}">{escape(line)}</text>' for row, line in rows)


def draw_floors(floors: list[tuple[str, str, str]]) -> tuple[str, float, float]:
    """Return the SVG's content, its width and its height."""
    width, tall = 460, 56
    parts = []
    for number, (floor, names, meaning) in enumerate(floors):
        y = number * tall + 2
        kind = "box" if floor else "box beside"
        parts.append(f'<rect class="{kind}" x="2" y="{y}" width="{width - 4}" height="{tall - 8}" rx="5"/>')
        parts.append(f'<text class="number" x="24" y="{y + 30}">{escape(floor)}</text>')
        parts.append(f'<text class="names" x="46" y="{y + 21}">{escape(names)}</text>')
        parts.append(f'<text class="words" x="46" y="{y + 38}">{escape(meaning)}</text>')
    return "\n".join(parts), width, len(floors) * tall


class Diagram(Directive):
    """A drawing, and the same as a list, for screen readers and narrow windows. The argument is the title."""

    has_content = True
    required_arguments = 1
    final_argument_whitespace = True
    kind = ""

    def run(self) -> list[nodes.Node]:
        text = [line for line in self.content if line.strip()]
        try:
            content, width, height = self.draw(text)
            items = "\n".join(f"<li>{item}</li>" for item in self.items(text))
        except ValueError as error:
            raise self.error(str(error)) from None
        title = escape(self.arguments[0], quote=True)
        svg = (
            f'<figure class="diagram {self.kind}"><figcaption>{title}</figcaption>'
            f'<div class="diagram-drawing"><svg aria-hidden="true" viewBox="0 0 {width:.0f} {height:.0f}" '
            f'width="{width:.0f}" height="{height:.0f}">\n{content}\n</svg></div>'
            f'<ol class="diagram-words">\n{items}\n</ol></figure>'
        )
        return [nodes.raw("", svg, format="html")]

    def draw(self, text: list[str]) -> tuple[str, float, float]:
        raise NotImplementedError

    def items(self, text: list[str]) -> list[str]:
        raise NotImplementedError


class Sequence(Diagram):
    kind = "sequence"

    def draw(self, text: list[str]) -> tuple[str, float, float]:
        return draw_sequence(*parse_sequence(text))

    def items(self, text: list[str]) -> list[str]:
        columns, messages = parse_sequence(text)
        return [_item(columns[each.source], columns[each.target], " ".join(each.lines)) for each in messages]


def _item(source: str, target: str, words: str) -> str:
    who = source if source == target else f"{source} → {target}"
    return f"<b>{escape(who)}</b> {escape(words)}"


class States(Sequence):
    kind = "states"


class Floors(Diagram):
    kind = "floors"

    def draw(self, text: list[str]) -> tuple[str, float, float]:
        return draw_floors(parse_floors(text))

    def items(self, text: list[str]) -> list[str]:
        return [
            f"<b>{escape(f'{floor} {names}')}</b> {escape(meaning)}" for floor, names, meaning in parse_floors(text)
        ]


def setup(app: object) -> dict[str, bool]:
    """Called by Sphinx."""
    for name, directive in (("sequence", Sequence), ("states", States), ("floors", Floors)):
        app.add_directive(name, directive)  # type: ignore[attr-defined]
    app.add_css_file("pages.css")  # type: ignore[attr-defined]
    return {"parallel_read_safe": True, "parallel_write_safe": True}
