"""Tells the fault of some rows from a fault of the whole: where failures come one after another, rows by chance decide.

Any number of rows that can't be renewed may lie before those that can. So a sweep is stopped by nothing that it sees of
the rows in their order; it is stopped when rows that were drawn by chance fail, too.
"""

from __future__ import annotations

from django.db import OperationalError

from ..exceptions import ThanksIOConfigurationError, TokenUndecryptable
from ..models import ConnectionTokens
from .outcome import Outcome, Summary
from .selection import some_rows

# So many failures in a row, and rows by chance are tried; twice as many the next time.
IN_A_ROW = 3
KEY_SAMPLE_SIZE = 200

Reason = ThanksIOConfigurationError | OperationalError | str


class Suspicion:
    """Whether the next rows are to be drawn by chance."""

    def __init__(self) -> None:
        self._patience = IN_A_ROW
        self._failures = 0
        self._undecryptable = 0
        self._lost = 0
        self._key_fits = False

    def note(self, outcome: Outcome) -> None:
        """Take account of one row."""
        if outcome is Outcome.REFRESHED:
            self._failures = self._lost = 0
            self._key_fits = True
        elif outcome is Outcome.LOST:
            self._lost += 1
        elif outcome is Outcome.UNDECRYPTABLE:
            self._undecryptable += 1
        elif outcome.is_failure:
            self._failures += 1

    @property
    def loses_pairs(self) -> bool:
        """Whether pair after pair could not be stored: each further one costs a customer the connection."""
        return self._lost >= IN_A_ROW

    @property
    def is_raised(self) -> bool:
        """Whether so many failed in a row that others have to be asked."""
        return self._failures >= self._patience

    def allay(self) -> None:
        """A row by chance was renewed, or there is none: ask again after twice as many failures."""
        self._failures = 0
        self._patience *= 2

    def no_key_fits(self) -> bool:
        """Whether tokens can't be decrypted, neither those at hand nor others by chance. Asks once."""
        if self._key_fits or self._undecryptable < IN_A_ROW:
            return False
        self._key_fits = any(_key_fits(tokens) for tokens in some_rows(KEY_SAMPLE_SIZE))
        return not self._key_fits


def _key_fits(tokens: ConnectionTokens) -> bool:
    try:
        if stored := tokens.refresh_token:
            stored.reveal()
    except TokenUndecryptable:
        return False
    return True


def reason_of(outcome: Outcome, summary: Summary, *, were_others_asked: bool) -> Reason | None:
    """Return why the sweep stops when rows fail like this: an error to raise, or a word for the summary.

    None: it goes on. Without others to ask, a few rows alone don't speak for the provider or for other grants.
    """
    if outcome is Outcome.OTHER_CLIENT and not summary.refreshed:
        return ThanksIOConfigurationError(
            "thanks.io says that these refresh tokens belong to another OAuth client. Check THANKSIO_CLIENT_ID: it "
            "must be the client that the users connected with.",
            code="client_mismatch",
        )
    if outcome is Outcome.UNREADABLE and not summary.refreshed:
        return ThanksIOConfigurationError(
            "thanks.io can't read the refresh tokens. Check THANKSIO_TOKEN_URL, and that FIELD_ENCRYPTION_KEY "
            "is the key that they were encrypted with. Nothing was overwritten.",
            code="undecryptable",
        )
    if not were_others_asked:
        return None
    if outcome is Outcome.RECONNECT_REQUIRED and not summary.refreshed:
        return ThanksIOConfigurationError(
            "thanks.io refuses every refresh token. Check THANKSIO_TOKEN_URL and THANKSIO_CLIENT_ID: they must be "
            "those that the users connected with. The connections that were tried need their owners.",
            code="all_refused",
        )
    if outcome is Outcome.DATABASE:
        return database_error()
    return "throttled" if outcome is Outcome.THROTTLED else "unavailable"


def database_error() -> OperationalError:
    """Return the error for a database that no row can be read from or written to."""
    return OperationalError("no row could be read or written")


def no_key_fits_error() -> ThanksIOConfigurationError:
    """The key is wrong, or lost."""
    return ThanksIOConfigurationError(
        "FIELD_ENCRYPTION_KEY fits none of the stored tokens. Put back the key that they were encrypted "
        "with (a list rotates keys: newest first). Nothing was sent or overwritten.",
        code="undecryptable",
    )


def invisible_rows_error() -> ThanksIOConfigurationError:
    """The workers' sessions lack what this one has."""
    return ThanksIOConfigurationError(
        "The database sessions of the worker threads don't see the rows that this command sees. Name a function in "
        "THANKSIO_PREPARE_SESSION that gives a session its tenant, role or variable, or use --workers 1.",
        code="invisible_rows",
    )
