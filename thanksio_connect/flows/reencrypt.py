"""Encrypt every stored token anew under the newest key of ``FIELD_ENCRYPTION_KEY``: then an old key can be dropped."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import router
from django.db.models import QuerySet

from ..exceptions import TokenUndecryptable
from ..fields import LazySecret
from ..models import ConnectionTokens

PAGE_SIZE = 200
TRIES = 5
_COLUMNS = ("access_token", "refresh_token", "webhook_token")


@dataclass
class Summary:
    """Rows by outcome; ``changed_meanwhile`` ones were removed by somebody else, or written again and again."""

    reencrypted: int = 0
    undecryptable: int = 0
    changed_meanwhile: int = 0


def reencrypt_all() -> Summary:
    """Go over the table page by page. A row that no key fits is left as it is, and counted."""
    summary = Summary()
    rows = ConnectionTokens._base_manager.using(router.db_for_write(ConnectionTokens))
    last = ""
    while page := list(rows.filter(pk__gt=last).order_by("pk")[:PAGE_SIZE]):
        last = page[-1].pk
        for tokens in page:
            try:
                written = _reencrypt(rows, tokens)
            except TokenUndecryptable:
                summary.undecryptable += 1
            else:
                summary.reencrypted += written
                summary.changed_meanwhile += not written
    return summary


def _reencrypt(rows: QuerySet[ConnectionTokens], tokens: ConnectionTokens | None) -> bool:
    """Return whether the row was written. Who writes it meanwhile leaves a part of it under its old key: once more."""
    for _try in range(TRIES):
        if tokens is None:
            return False  # disconnected
        fresh = {name: _reencrypted(getattr(tokens, name)) for name in _COLUMNS}
        # The version stays: a renewal in flight must still find it when it stores its pair. It says nothing of the
        # address for webhooks.
        unchanged = {"version": tokens.version, "webhook_digest": tokens.webhook_digest}
        if rows.filter(pk=tokens.pk, **unchanged).update(**fresh):
            return True
        tokens = rows.filter(connection_id=tokens.connection_id).first()  # by a reconnect it got another key
    return False


def _reencrypted(value: str) -> str:
    return value.reencrypted() if isinstance(value, LazySecret) else value
