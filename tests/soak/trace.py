"""What each process of a soak did to whose connection, line by line: the story behind a violation."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from thanksio_connect.refresh.engine import Renewal
from thanksio_connect.refresh.guard import Guard
from thanksio_connect.refresh.row import Row

from thanksio_connect.refresh import journal

BEFORE_SECONDS, AFTER_SECONDS = 4.0, 12.0


class Trace:
    """A file to which every process of the soak appends."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self.path = path

    def write(self, owner: object, text: str) -> None:
        """``owner``: the row's primary key, or ``-`` for what concerns all, or what is said by nobody."""
        line = f"{time.time():.4f}\t{owner}\t{os.getpid()}/{threading.get_native_id()}\t{text}\n"
        os.write(self._file, line.encode())

    def story(self, owners: set[str], around: list[float]) -> str:
        """The lines on these rows near these moments, and what the threads at work on them logged meanwhile."""
        lines = [line.split("\t", 3) for line in self.path.read_text().splitlines()]
        near = [
            line
            for line in lines
            if any(moment - BEFORE_SECONDS < float(line[0]) < moment + AFTER_SECONDS for moment in around)
        ]
        threads = {line[2] for line in near if line[1] in owners}
        told = [line for line in near if line[1] in owners or line[1] == "-" or (line[1] == "?" and line[2] in threads)]
        return "\n".join("  ".join(line) for line in sorted(told))

    def install(self) -> None:
        """Have this process tell what the engine does."""
        self._tell(Renewal, "perform", lambda self, *_rest: self.key.pk)
        for name in ("announce", "record", "forget", "expire", "claim"):
            self._tell(journal, name, lambda _using, key, *_rest: key.pk)
        for name in ("_watch", "_rewrite", "_finish", "_replay", "committed", "_confirm"):
            self._tell(Guard, name, lambda self, *_rest: self.row[1])
        logging.getLogger("thanksio_connect").addHandler(_Handler(self))

    def _tell(self, where: Any, name: str, owner: Callable[..., object]) -> None:
        function = getattr(where, name)

        @wraps(function)
        def told(*given: Any, **options: Any) -> Any:
            what = f"{name} {shown(given)}"
            self.write(owner(*given), what)
            try:
                result = function(*given, **options)
            except BaseException as error:
                self.write(owner(*given), f"{what}: raised {type(error).__name__} {error}".replace("\n", " "))
                raise
            self.write(owner(*given), f"{what}: {shown(result)}")
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
    if isinstance(value, tuple):
        return "(" + ", ".join(shown(item) for item in value) + ")"
    if isinstance(value, Row):
        names = {"version": "v", "lease_id": "lease", "outcome_unknown": "unknown", "last_error_code": "error"}
        known = [f"{short}={str(value.values.get(name))[:8]}" for name, short in names.items()]
        return f"Row({', '.join(known)}, lives={value.lease_lives})"
    if hasattr(value, "row") and isinstance(value.row, Row):
        return f"{type(value).__name__}({shown(value.row)})"
    if hasattr(value, "lease_id") and hasattr(value, "alias"):
        return f"{type(value).__name__} {value.lease_id.hex[:8]}"
    if isinstance(value, Guard):
        return f"guard {value.number}"
    if value is None or isinstance(value, bool | int | str | float | Exception):
        return repr(value)[:80].replace("\n", " ")
    if hasattr(value, "hex") and hasattr(value, "version") and not callable(value.hex):
        return str(value.hex)[:8]
    if hasattr(value, "pk") and hasattr(value, "version"):
        return f"v{value.version}"
    return type(value).__name__
