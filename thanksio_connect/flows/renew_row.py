"""Renew one row for a bulk refresh, and say what became of it."""

from __future__ import annotations

import random
import time
from typing import Any

from django.db import DatabaseError, InterfaceError

from ..database import facts
from ..exceptions import (
    NotConnected,
    ReconnectRequired,
    RefreshInProgress,
    ThanksIOError,
    Throttled,
    TokenUndecryptable,
)
from ..models import ConnectionTokens
from ..records import record
from ..refresh import doors
from ..refresh.renewal import LOST_NOTE
from ..refresh.token_row import NO_REFRESH_TOKEN, OTHER_CLIENT
from .outcome import Handled, Outcome

# A session that the server ended costs one try; a server that is gone costs all.
TRIES, PAUSE_SECONDS = 2, 0.5


def renew_row(tokens: ConnectionTokens, *, force: bool = False) -> Handled:
    """Renew one row unless somebody else is at it. Raises ThanksIOConfigurationError, and Throttled.

    ``force`` tries a row whose backoff still lasts, or that is locked for a moment.
    """
    was_failing, code = bool(tokens.last_error_code), ""
    for left in reversed(range(TRIES)):
        try:
            outcome, code = _renew_row(tokens, force=force)
            return Handled(outcome, code, is_repeated=was_failing)
        except (DatabaseError, InterfaceError) as error:
            if facts.is_old_schema(error):  # no such table on this session's search path
                return Handled(Outcome.GONE)
            code = type(error).__name__
            if LOST_NOTE in getattr(error, "__notes__", ()):
                return Handled(Outcome.LOST, code)
            _record_database_error(tokens, error)
        if left:
            time.sleep(PAUSE_SECONDS * random.random())  # noqa: S311 - jitter, no secret
    return Handled(Outcome.DATABASE, code, is_repeated=was_failing)


def _renew_row(tokens: ConnectionTokens, *, force: bool) -> tuple[Outcome, str]:
    version = tokens.version
    try:
        renewed = doors.renew_unless_taken(tokens, force=force)
    except Throttled:
        raise
    except ThanksIOError as error:
        return _outcome_of(error), error.code
    if renewed:
        return Outcome.REFRESHED, ""
    return Outcome.SKIPPED if tokens.version == version else Outcome.ELSEWHERE, ""


def _outcome_of(error: ThanksIOError) -> Outcome:
    if isinstance(error, NotConnected):
        return Outcome.GONE
    if isinstance(error, RefreshInProgress):
        return Outcome.SKIPPED
    if isinstance(error, ReconnectRequired):
        return _OF_CODE.get(error.code, Outcome.RECONNECT_REQUIRED)
    if isinstance(error, TokenUndecryptable):
        return Outcome.UNREADABLE if error.said_by_thanksio else Outcome.UNDECRYPTABLE
    return Outcome.TRANSIENT


def _record_database_error(tokens: ConnectionTokens, error: Exception) -> None:
    ids: dict[str, Any] = {"connection_id": tokens.connection_id, "user_id": tokens.connection.user_id}
    record("renewal.database_failed", code=type(error).__name__, **ids)


_OF_CODE = {OTHER_CLIENT: Outcome.OTHER_CLIENT, NO_REFRESH_TOKEN: Outcome.NO_REFRESH_TOKEN}
