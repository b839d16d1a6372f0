"""What became of the rows of a bulk refresh, and what their outcomes say of the whole."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from ..exceptions import ThanksIOConfigurationError, TokenUndecryptable
from ..models import ConnectionTokens

# So many outcomes of one kind in a row, and nothing renewed: no row can help.
IN_A_ROW = 3
THROTTLED_IN_A_ROW = 5
KEY_SAMPLE_SIZE = 200


class Outcome(StrEnum):
    """What became of one row."""

    REFRESHED = "refreshed"
    SKIPPED = "skipped"
    GONE = "gone"
    TRANSIENT = "transient"
    THROTTLED = "throttled"
    RECONNECT_REQUIRED = "reconnect_required"
    OTHER_CLIENT = "other_client"
    UNDECRYPTABLE = "undecryptable"
    UNREADABLE = "unreadable"


# Several outcomes are one in the summary.
_COUNTED_AS = {
    Outcome.GONE: "skipped",
    Outcome.THROTTLED: "transient",
    Outcome.OTHER_CLIENT: "reconnect_required",
    Outcome.UNREADABLE: "undecryptable",
}


@dataclass
class Summary:
    """How many rows came to which outcome. ``remaining`` were due and not reached."""

    refreshed: int = 0
    skipped: int = 0
    transient: int = 0
    reconnect_required: int = 0
    undecryptable: int = 0
    remaining: int = 0
    stopped_by: str = ""

    def add(self, outcome: Outcome) -> None:
        """Count one row."""
        name = _COUNTED_AS.get(outcome, str(outcome))
        setattr(self, name, getattr(self, name) + 1)

    @property
    def done(self) -> int:
        """Rows that were handled."""
        return self.refreshed + self.skipped + self.transient + self.reconnect_required + self.undecryptable

    @property
    def needs_attention(self) -> bool:
        """Whether some row could not be renewed, or none of what was due was."""
        failed = self.transient + self.reconnect_required + self.undecryptable
        return bool(failed or (self.remaining + self.skipped and not self.refreshed))

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return asdict(self)


class Verdicts:
    """Tells from outcomes in a row that the fault is not the rows'."""

    def __init__(self) -> None:
        self._in_a_row: dict[Outcome, int] = {}

    def after(self, outcome: Outcome, summary: Summary) -> ThanksIOConfigurationError | str | None:
        """What stops the sweep: an error of the configuration, or a word for the summary."""
        if outcome is Outcome.SKIPPED:
            return None
        count = self._in_a_row.get(outcome, 0) + 1
        self._in_a_row = {outcome: count}
        if outcome is Outcome.THROTTLED and count == THROTTLED_IN_A_ROW:
            return "throttled"
        if summary.refreshed or count != IN_A_ROW:
            return None
        if outcome is Outcome.OTHER_CLIENT:
            return ThanksIOConfigurationError(
                "thanks.io says that these refresh tokens belong to another OAuth client. Check THANKSIO_CLIENT_ID: it "
                "must be the client that the users connected with.",
                code="client_mismatch",
            )
        if outcome is Outcome.UNREADABLE:
            return ThanksIOConfigurationError(
                "thanks.io can't read the refresh tokens. Check THANKSIO_TOKEN_URL, and that FIELD_ENCRYPTION_KEY "
                "is the key that they were encrypted with. Nothing was overwritten.",
                code="undecryptable",
            )
        if outcome is Outcome.UNDECRYPTABLE and not _key_fits_some_row():
            return ThanksIOConfigurationError(
                "FIELD_ENCRYPTION_KEY fits none of the stored tokens. Put back the key that they were encrypted "
                "with (a list rotates keys: newest first). Nothing was sent or overwritten.",
                code="undecryptable",
            )
        return None


def _key_fits_some_row() -> bool:
    rows = ConnectionTokens.objects.filter(status=ConnectionTokens.Status.CONNECTED)
    return any(_key_fits(tokens) for tokens in rows.order_by("-last_refreshed_at", "-pk")[:KEY_SAMPLE_SIZE])


def _key_fits(tokens: ConnectionTokens) -> bool:
    try:
        if stored := tokens.refresh_token:
            stored.reveal()
    except TokenUndecryptable:
        return False
    return True
