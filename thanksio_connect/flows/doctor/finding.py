"""What a probe has found: a line for a person, and the same as data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


_SEVERITY = [Level.OK, Level.WARNING, Level.PROBLEM]


@dataclass(frozen=True)
class Finding:
    """``code`` is stable and machine-readable, ``text`` and ``cure`` are sentences. None of them holds a secret."""

    code: str
    level: Level
    text: str
    cure: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return asdict(self)


def ok(code: str, text: str) -> Finding:
    """All well."""
    return Finding(code, Level.OK, text)


def warning(code: str, text: str, cure: str = "") -> Finding:
    """It works, but somebody should look."""
    return Finding(code, Level.WARNING, text, cure)


def problem(code: str, text: str, cure: str = "") -> Finding:
    """It does not work."""
    return Finding(code, Level.PROBLEM, text, cure)


def worst(findings: Iterable[Finding]) -> Level:
    """The highest level among them; ok without any."""
    return max((finding.level for finding in findings), key=_SEVERITY.index, default=Level.OK)
