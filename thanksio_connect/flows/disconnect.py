"""Remove a connection, and tell thanks.io that its webhooks and tokens are no longer needed (RFC 7009).

thanks.io documents no revocation endpoint. Where there is one, ``THANKSIO_REVOKE_URL`` names it, and it is asked once
the row is gone. Whatever it answers, the connection is removed.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from django.db import router, transaction

from ..client.tokens import Secret
from ..client.transport import TransportConfig
from ..conf import app_settings, oauth_client
from ..exceptions import ThanksIOConfigurationError
from ..fields import LazySecret
from ..models import ConnectionTokens, ThanksIOConnection
from ..records import record
from . import webhooks
from .status import connection_of

# The user waits, and the connection is removed already.
_TIME_BUDGET = TransportConfig(connect_timeout_seconds=1.0, read_timeout_seconds=2.0)


def disconnect_user(user: Any) -> bool:
    """Remove the user's connection. Returns False if there was none."""
    connection = connection_of(user)
    if connection is None:
        return False
    disconnect(connection)
    return True


def disconnect(connection: ThanksIOConnection) -> None:
    """Remove the connection; after the commit, send the signal, end its webhooks and ask for its tokens' revocation."""
    using = router.db_for_write(ThanksIOConnection, instance=connection)
    tokens = _newest_tokens(connection, using)
    is_revoked = is_revoked_at_thanksio()
    connection.disconnect()
    if tokens is not None and tokens.webhook_digest:
        transaction.on_commit(partial(webhooks.end, tokens, connection.user_id), using=using)
    if tokens is not None and is_revoked:
        transaction.on_commit(partial(_revoke, tokens, connection.user_id), using=using)


def is_revoked_at_thanksio() -> bool:
    """Whether thanks.io is told of a disconnect: where ``THANKSIO_REVOKE_URL`` is set."""
    try:
        return bool(app_settings.revoke_url)
    except ThanksIOConfigurationError as error:
        words = {"cause": error}
        record("connection.not_revoked:configuration", words=words, connection_id=None, user_id=None, code=error.code)
        return False


def _newest_tokens(connection: ThanksIOConnection, using: str) -> ConnectionTokens | None:
    """Read now: an instance may have been loaded before a renewal."""
    rows = ConnectionTokens._base_manager.using(using)
    tokens: ConnectionTokens | None = rows.filter(connection_id=connection.pk).first()
    return tokens


def _revoke(tokens: ConnectionTokens, user_id: Any) -> None:
    """Ask for the refresh token first: with it the whole grant ends (RFC 7009 2.1). Never raises."""
    pairs: tuple[tuple[LazySecret, str], ...] = (
        (tokens.refresh_token, "refresh_token"),
        (tokens.access_token, "access_token"),
    )
    try:
        client = oauth_client(_TIME_BUDGET)
        for token, hint in pairs:
            if token:
                client.revoke(app_settings.revoke_url, Secret(token.reveal()), hint)
    except Exception as error:  # noqa: BLE001 - the connection is removed, whatever this is
        code = str(getattr(error, "code", ""))
        record(
            "connection.not_revoked",
            words={"error": type(error).__name__, "reason": code},
            connection_id=tokens.connection_id,
            user_id=user_id,
            code=code or type(error).__name__,
        )
