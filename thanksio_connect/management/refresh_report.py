"""What ``refresh_thanksio_tokens`` tells while it runs: whose tokens were not renewed and why, and how far it is."""

from __future__ import annotations

import shutil
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

from django.core.exceptions import ObjectDoesNotExist
from django.db import DatabaseError, InterfaceError
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..client.deadline import now
from ..flows.outcome import Handled, Outcome, Summary
from ..models import ConnectionTokens

# So many rows are kept for ``--json``: the memory has a bound, whatever the table's size.
KEPT_ROWS = 1000
BAR_SECONDS, LINE_SECONDS = 0.1, 60.0
BAR_WIDTH = 30

WORDS: dict[Outcome, str | Promise] = {
    Outcome.REFRESHED: gettext_lazy("renewed"),
    Outcome.SKIPPED: gettext_lazy("skipped: another worker has it, or it waits after a failure"),
    Outcome.ELSEWHERE: gettext_lazy("skipped: another worker has renewed it"),
    Outcome.GONE: gettext_lazy("skipped: it was disconnected"),
    Outcome.TRANSIENT: gettext_lazy("not renewed, and tried again later"),
    Outcome.DATABASE: gettext_lazy("not renewed: the database can't be used"),
    Outcome.THROTTLED: gettext_lazy("not renewed: thanks.io asks to wait"),
    Outcome.LOST: gettext_lazy("the new tokens could not be stored: needs its owner to connect again"),
    Outcome.RECONNECT_REQUIRED: gettext_lazy("needs its owner to connect again"),
    Outcome.NO_REFRESH_TOKEN: gettext_lazy("needs its owner to connect again: there is no refresh token"),
    Outcome.OTHER_CLIENT: gettext_lazy("not renewed: the tokens belong to another OAuth client"),
    Outcome.UNDECRYPTABLE: gettext_lazy("not renewed: FIELD_ENCRYPTION_KEY does not fit"),
    Outcome.UNREADABLE: gettext_lazy("not renewed: thanks.io can't read the token"),
}


def in_words(seconds: float) -> str:
    """Return a duration for people: 8 s, 5 min, 2 h 10 min."""
    if seconds < 90:
        return _("%(seconds)d s") % {"seconds": round(seconds)}
    minutes = round(seconds / 60)
    if minutes < 90:
        return _("%(minutes)d min") % {"minutes": minutes}
    return _("%(hours)d h %(minutes)d min") % {"hours": minutes // 60, "minutes": minutes % 60}


class RefreshReport:
    """Takes rows and progress from any thread. ``write(text, ending)`` prints.

    ``verbosity`` 0 tells of no row, 1 of those that could not be renewed, 2 of all. A terminal gets a bar with the time
    that is left, anything else a line a minute.
    """

    def __init__(
        self, write: Callable[[str, str], object], *, is_json: bool, is_terminal: bool, verbosity: int
    ) -> None:
        self.per_minute = 60.0
        self._write = write
        self._is_json = is_json
        self._is_terminal = is_terminal
        self._verbosity = verbosity
        self._lock = threading.Lock()
        self._began = now()
        self._shown_at = self._began - (BAR_SECONDS if is_terminal else 0.0)
        self._bar = ""
        self._reasons: Counter[str] = Counter()
        self._rows: list[dict[str, Any]] = []

    @property
    def seconds(self) -> float:
        """How long the run has taken so far."""
        return now() - self._began

    def row(self, tokens: ConnectionTokens, handled: Handled) -> None:
        """Tell what became of one row."""
        is_unhappy = handled.outcome.is_unhappy
        is_shown = not self._is_json and self._verbosity >= (1 if is_unhappy else 2)
        is_kept = self._is_json and is_unhappy
        if not (is_shown or is_kept):
            return
        name = _name_of(tokens)
        with self._lock:
            if is_shown:
                self._line(_sentence(name, tokens, handled))
            elif len(self._rows) < KEPT_ROWS:
                ids = {"user": name, "user_id": _plain(tokens.connection.user_id)}
                ids["connection_id"] = _plain(tokens.connection_id)
                self._rows.append({**ids, "outcome": str(handled.outcome), "code": handled.code})
            self._reasons[handled.code] += is_unhappy

    def progress(self, summary: Summary) -> None:
        """Show how far the run is, if that is wanted and not shown just now."""
        if self._is_json or not self._verbosity:
            return
        with self._lock:
            if now() - self._shown_at < (BAR_SECONDS if self._is_terminal else LINE_SECONDS):
                return
            self._shown_at = now()
            text = self._far(summary)
            if self._is_terminal:
                self._show_bar(text, summary)
            else:
                self._write(text, "\n")

    def clear(self) -> None:
        """Take the bar away: what is printed next has the line to itself."""
        if self._bar:
            self._write(" " * len(self._bar) + "\r", "")
            self._bar = ""

    def took(self) -> str:
        """Return how long it took, and the pace."""
        words = _("took %(duration)s, paced at %(rate)s a minute")
        return words % {"duration": in_words(self.seconds), "rate": f"{self.per_minute:g}"}

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``: the rows that were not renewed, at most a thousand, and how many there are of each code."""
        return {
            "not_renewed": self._rows,
            "not_renewed_left_out": self._reasons.total() - len(self._rows),
            "reasons": dict(self._reasons),
            "duration_seconds": round(self.seconds, 3),
        }

    def _far(self, summary: Summary) -> str:
        total = summary.done + summary.remaining
        words = _("%(done)d of %(total)d, paced at %(rate)s a minute, about %(left)s left")
        each = max(60.0 / self.per_minute, self.seconds / max(1, summary.done) if summary.done else 0.0)
        left = in_words(each * summary.remaining)
        return words % {"done": summary.done, "total": total, "rate": f"{self.per_minute:g}", "left": left}

    def _show_bar(self, text: str, summary: Summary) -> None:
        columns = shutil.get_terminal_size().columns - 1
        width = min(BAR_WIDTH, columns - len(text) - 3)
        if width >= 5:
            filled = width * summary.done // max(1, summary.done + summary.remaining)
            text = f"[{'#' * filled}{'.' * (width - filled)}] {text}"
        text = text[:columns]
        self._write(text.ljust(len(self._bar)) + "\r", "")  # a log record on the same terminal has the line to itself
        self._bar = text

    def _line(self, text: str) -> None:
        self.clear()
        self._write(text, "\n")
        self._shown_at -= BAR_SECONDS  # the bar comes back at once


def _sentence(name: str, tokens: ConnectionTokens, handled: Handled) -> str:
    words = _("%(user)s (connection %(connection)s): %(what)s")
    text = words % {"user": name, "connection": tokens.connection_id, "what": WORDS[handled.outcome]}
    return f"{text} ({handled.code})" if handled.code else text


def _name_of(tokens: ConnectionTokens) -> str:
    """The user's name as the project has it; the key where it can't be read. What is no letter, digit or sign goes."""
    try:
        name = str(tokens.connection.user.get_username())
    except (DatabaseError, InterfaceError, ObjectDoesNotExist):
        name = ""
    name = "".join(each for each in name if each.isprintable())
    return name or _("user %(id)s") % {"id": tokens.connection.user_id}


def _plain(key: Any) -> Any:
    return key if isinstance(key, int | str) else str(key)
