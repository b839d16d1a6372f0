"""Renew one row for a bulk refresh, and say what became of it."""

from __future__ import annotations

import logging

from django.db import DatabaseError, InterfaceError

from ..exceptions import (
    NotConnected,
    ReconnectRequired,
    RefreshInProgress,
    ThanksIOError,
    Throttled,
    TokenUndecryptable,
)
from ..models import ConnectionTokens
from ..refresh import doors
from ..refresh.token_row import NO_REFRESH_TOKEN, OTHER_CLIENT
from .outcome import Outcome

logger = logging.getLogger("thanksio_connect")


def renew_row(tokens: ConnectionTokens, *, force: bool = False) -> Outcome:
    """Renew one row unless somebody else is at it. Raises Throttled and ThanksIOConfigurationError.

    ``force`` tries a row whose backoff still lasts, or that is locked for a moment.
    """
    version = tokens.version
    try:
        renewed = doors.renew_unless_taken(tokens, force=force)
    except Throttled:
        raise
    except NotConnected:
        return Outcome.GONE
    except RefreshInProgress:
        return Outcome.SKIPPED
    except ReconnectRequired as error:
        return _OF_CODE.get(error.code, Outcome.RECONNECT_REQUIRED)
    except TokenUndecryptable as error:
        return Outcome.UNREADABLE if error.said_by_thanksio else Outcome.UNDECRYPTABLE
    except (ThanksIOError, DatabaseError, InterfaceError) as error:
        code = getattr(error, "code", type(error).__name__)
        logger.warning("thanks.io tokens of connection %s were not renewed (%s).", tokens.connection_id, code)
        return Outcome.TRANSIENT if isinstance(error, ThanksIOError) else Outcome.DATABASE
    if renewed:
        return Outcome.REFRESHED
    return Outcome.SKIPPED if tokens.version == version else Outcome.ELSEWHERE


_OF_CODE = {OTHER_CLIENT: Outcome.OTHER_CLIENT, NO_REFRESH_TOKEN: Outcome.NO_REFRESH_TOKEN}
