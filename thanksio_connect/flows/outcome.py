"""What became of the rows of a bulk refresh."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Outcome(StrEnum):
    """What became of one row."""

    REFRESHED = "refreshed"
    SKIPPED = "skipped"
    ELSEWHERE = "elsewhere"
    GONE = "gone"
    TRANSIENT = "transient"
    DATABASE = "database"
    THROTTLED = "throttled"
    LOST = "lost"
    RECONNECT_REQUIRED = "reconnect_required"
    NO_REFRESH_TOKEN = "no_refresh_token"  # noqa: S105 - a code, no secret
    OTHER_CLIENT = "other_client"
    UNDECRYPTABLE = "undecryptable"
    UNREADABLE = "unreadable"

    @property
    def was_sent(self) -> bool:
        """Whether thanks.io was asked: else the row takes no place of the limit, and no turn."""
        return self not in _NOT_SENT

    @property
    def is_failure(self) -> bool:
        """Whether the row was not renewed for a reason that may be everybody's: thanks.io's, or the database's."""
        return self is Outcome.DATABASE or (self.was_sent and self is not Outcome.REFRESHED)

    @property
    def is_unhappy(self) -> bool:
        """Whether somebody's tokens could not be renewed."""
        return self not in _NOTHING_TO_TELL


_NOTHING_TO_TELL = {Outcome.REFRESHED, Outcome.SKIPPED, Outcome.ELSEWHERE, Outcome.GONE}
_NOT_SENT = {
    Outcome.SKIPPED,
    Outcome.ELSEWHERE,
    Outcome.GONE,
    Outcome.DATABASE,
    Outcome.NO_REFRESH_TOKEN,
    Outcome.UNDECRYPTABLE,
}
# Several outcomes are one in the summary.
_COUNTED_AS = {
    Outcome.ELSEWHERE: "skipped",
    Outcome.GONE: "skipped",
    Outcome.DATABASE: "transient",
    Outcome.THROTTLED: "transient",
    Outcome.LOST: "reconnect_required",
    Outcome.NO_REFRESH_TOKEN: "reconnect_required",
    Outcome.OTHER_CLIENT: "reconnect_required",
    Outcome.UNREADABLE: "undecryptable",
}


@dataclass(frozen=True)
class Handled:
    """One row that was handled: what became of it, why, and whether its last renewal had failed, too."""

    outcome: Outcome
    code: str = ""
    is_repeated: bool = False

    @property
    def needs_attention(self) -> bool:
        """Whether an operator must know. What failed once for no fault of the row's is tried again by the next run."""
        passes = self.outcome in (Outcome.TRANSIENT, Outcome.THROTTLED)
        return self.outcome.is_unhappy and (self.is_repeated or not passes)


@dataclass
class Summary:
    """How many rows came to which outcome. ``remaining`` were due and not reached.

    ``elsewhere``: how many of those skipped somebody else has renewed or disconnected meanwhile. ``alarming``: how many
    an operator must know of.
    """

    refreshed: int = 0
    skipped: int = 0
    elsewhere: int = 0
    transient: int = 0
    reconnect_required: int = 0
    undecryptable: int = 0
    remaining: int = 0
    stopped_by: str = ""
    alarming: int = 0

    def add(self, handled: Handled) -> None:
        """Count one row."""
        outcome = handled.outcome
        self.alarming += handled.needs_attention
        name = _COUNTED_AS.get(outcome, str(outcome))
        setattr(self, name, getattr(self, name) + 1)
        self.elsewhere += outcome in (Outcome.ELSEWHERE, Outcome.GONE)

    @property
    def done(self) -> int:
        """Rows that were handled."""
        return self.refreshed + self.skipped + self.failed

    @property
    def failed(self) -> int:
        """Rows that could not be renewed."""
        return self.transient + self.reconnect_required + self.undecryptable

    @property
    def renewed_nothing(self) -> bool:
        """Whether rows are still due and none was renewed."""
        return not self.refreshed and bool(self.failed + self.remaining + self.skipped - self.elsewhere)

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return {name: value for name, value in asdict(self).items() if name != "alarming"}
