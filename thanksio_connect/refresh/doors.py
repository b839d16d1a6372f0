"""The doors of the engine: renew if needed, renew now, renew unless taken, renew what was refused.

The engine works on the token row's instance that it is handed, through its model's base manager, and imports no model.
"""

from __future__ import annotations

import logging
from typing import Any, cast

from django.db import DatabaseError, InterfaceError, models, router

from ..client.tokens import Secret
from ..database import facts, sessions
from ..exceptions import (
    NotConnected,
    ReconnectRequired,
    RefreshInProgress,
    ThanksIOConfigurationError,
    ThanksIOError,
)
from ..records import record
from . import schedule, statements
from .protocol import Request
from .renewal import Renewal, Tokens
from .token_row import Status, ids_of

# An instance that was read so long ago looks at the row before it hands out a token: others may have renewed it.
REREAD_SECONDS = 60.0
# How often a renewal begins anew that found a newer pair which is itself past use, or a newer grant.
TRIES = 3


def access_token(tokens: Any) -> str:
    """Return a usable access token: for the helper. Costs no query while it is fresh and lately read.

    A renewal that fails is raised only if the token has expired, else logged.
    """
    if not tokens.was_read_within(REREAD_SECONDS):
        _reread_if_possible(tokens)
    if schedule.needs_renewal(tokens):
        renew_if_needed(tokens)
    return tokens.access_token.reveal()  # type: ignore[no-any-return]


def renew_if_needed(tokens: Tokens) -> None:
    """Renew; a failure is raised only if the access token has expired, else logged."""
    has_expired = schedule.is_expired(tokens)
    if _needs_owner(tokens) and not has_expired:
        return
    try:
        _renew_until_usable(tokens, Request(is_needed=has_expired, has_expired=has_expired), is_urgent=has_expired)
    except (ThanksIOError, ThanksIOConfigurationError, DatabaseError, InterfaceError) as error:
        if schedule.is_expired(tokens) or isinstance(error, NotConnected):
            raise
        code = str(getattr(error, "code", type(error).__name__))
        level = logging.INFO if isinstance(error, RefreshInProgress) else None
        record("token.living_used", level=level, code=code, **ids_of(tokens))


def renew(tokens: Tokens, *, force: bool = False) -> None:
    """Renew now, or take a newer token from the row. Raises whenever neither works."""
    _renew_until_usable(tokens, Request(has_expired=schedule.is_expired(tokens), force=force))


def renew_unless_taken(tokens: Tokens, *, force: bool = False) -> bool:
    """Renew now, for bulk runs, without waiting for whoever is at it. Returns whether this call renewed.

    Somebody's lock is waited for where it says nothing of the row, for there the whole database is locked.
    """
    request = Request(is_needed=False, has_expired=schedule.is_expired(tokens), force=force)
    alias = router.db_for_write(type(cast("models.Model", tokens)), instance=tokens)
    waits = facts.has_one_writer(alias) and not facts.in_transaction(alias)
    current = Renewal(tokens, request, is_urgent=force or waits, outlives_sessions=True).run()
    return current is not None and current.renewed


def renew_rejected(tokens: Any, rejected: Secret) -> None:
    """Take the row's token if it is another than the one that thanks.io's API refused, else renew."""
    _reread_if_possible(tokens)
    if Secret(tokens.access_token.reveal()) == rejected:
        _renew_until_usable(tokens, Request(rejected=True))


def reread(tokens: Any) -> bool:
    """Bring the instance up to date, also with a new grant. Returns False when the connection is gone."""
    model = type(tokens)
    alias = router.db_for_write(model, instance=tokens)
    with sessions.callers_connection(alias) as using:
        row = statements.load_of_connection(using, model, tokens.connection_id)
    if row is not None and (row.values["id"] != tokens.pk or row.version >= tokens.version):
        tokens.adopt(row.values)
    return row is not None


def _reread_if_possible(tokens: Any) -> None:
    """What lives is handed out although the database can't be asked. Raises NotConnected."""
    try:
        is_there = reread(tokens)
    except (DatabaseError, InterfaceError) as error:
        record("token.not_read_again", code=type(error).__name__, **ids_of(tokens))
        return
    if not is_there:
        raise NotConnected


def _needs_owner(tokens: Any) -> bool:
    return bool(tokens.status == Status.RECONNECT_REQUIRED)


def _renew_until_usable(tokens: Tokens, request: Request, *, is_urgent: bool = True) -> None:
    """Run the protocol, and again when the row that it found is past use (an old instance), or has a newer grant."""
    for _try in range(TRIES):
        try:
            current = Renewal(tokens, request, is_urgent=is_urgent).run()
        except NotConnected:
            before = tokens.pk
            if not reread(tokens) or tokens.pk == before:
                raise
            if not schedule.needs_renewal(tokens):
                return
            continue
        if current is None or current.renewed or not schedule.is_expired(tokens):
            if request.is_needed and _needs_owner(tokens):
                raise ReconnectRequired(code=current.row.error_code if current else None)
            return
    raise RefreshInProgress
