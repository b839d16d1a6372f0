"""What each process of a soak did to whose tokens, line by line: the story behind a violation."""

from __future__ import annotations

import logging
import os
import threading
import time
from functools import wraps
from pathlib import Path
from typing import Any

from thanksio_connect.refresh.places import CallersTransaction, Place, PrivateSessions
from thanksio_connect.refresh.rollback_guard import Guard
from thanksio_connect.refresh.token_row import Row

BEFORE_SECONDS, AFTER_SECONDS = 4.0, 12.0
REWRITE = "_rewrite"
STEPS: dict[type, tuple[str, ...]] = {
    Place: ("load", "claim", "store", "fail", "conclude", "release"),
    PrivateSessions: ("load", "claim", "sees_the_row"),
    CallersTransaction: ("store",),
    Guard: (REWRITE, "committed"),
}


class Trace:
    """A file to which every process of the soak appends."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self.path = path

    def write(self, owner: object, text: str) -> None:
        """``owner``: the token row's primary key, ``-`` for what concerns all, ``?`` for what the thread says."""
        line = f"{time.time():.4f}\t{owner}\t{os.getpid()}/{threading.get_native_id()}\t{text}\n"
        os.write(self._file, line.replace("\r", " ").encode())

    def lines(self) -> list[list[str]]:
        """Return what was written: time, owner, thread, text."""
        return [line.split("\t", 3) for line in self.path.read_text().splitlines()]

    def rewritten(self, owners: set[str], since: float, until: float) -> bool:
        """Return whether a rollback guard wrote one of these rows again in that time."""
        return any(
            line[1] in owners and line[3].startswith(REWRITE) and since < float(line[0]) < until
            for line in self.lines()
        )

    def story(self, owners: set[str], around: list[float]) -> str:
        """Return the lines on these rows near these moments, and what the threads at work on them logged meanwhile."""
        near = [
            line
            for line in self.lines()
            if any(moment - BEFORE_SECONDS < float(line[0]) < moment + AFTER_SECONDS for moment in around)
        ]
        threads = {line[2] for line in near if line[1] in owners}
        told = [line for line in near if line[1] in owners or line[1] == "-" or (line[1] == "?" and line[2] in threads)]
        return "\n".join("  ".join(line) for line in sorted(told))

    def install(self) -> None:
        """Have this process tell what the engine does."""
        for where, names in STEPS.items():
            for name in names:
                self._tell(where, name)
        logging.getLogger("thanksio_connect").addHandler(_Handler(self))

    def _tell(self, where: type, name: str) -> None:
        function = getattr(where, name)

        @wraps(function)
        def told(self_: Any, *given: Any, **options: Any) -> Any:
            what = f"{name} of {type(self_).__name__}, version {self_.key.version}"
            self.write(self_.key.pk, what)
            try:
                result = function(self_, *given, **options)
            except BaseException as error:
                self.write(self_.key.pk, f"{what}: raised {type(error).__name__} {error}".replace("\n", " "))
                raise
            self.write(self_.key.pk, f"{what}: {shown(result)}")
            return result

        setattr(where, name, told)


class _Handler(logging.Handler):
    def __init__(self, trace: Trace) -> None:
        super().__init__(logging.INFO)
        self._trace = trace

    def emit(self, record: logging.LogRecord) -> None:
        self._trace.write("?", f"log: {record.getMessage()}".replace("\n", " "))


def shown(value: Any) -> str:
    """Short; of a row what the engine decides by."""
    if isinstance(value, Row):
        names = {"version": "v", "lease_id": "lease", "outcome_unknown": "unknown", "last_error_code": "error"}
        known = [f"{short}={str(value.values.get(name))[:8]}" for name, short in names.items()]
        return f"Row({', '.join(known)}, lives={value.lease_lives})"
    if hasattr(value, "row"):
        success = getattr(value, "taken", getattr(value, "stands", None))
        return f"{type(value).__name__}({success}, {shown(value.row)})"
    return repr(value)[:80].replace("\n", " ")
