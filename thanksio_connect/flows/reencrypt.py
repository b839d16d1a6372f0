"""Encrypt every stored token anew under the newest key of ``FIELD_ENCRYPTION_KEY``: then an old key can be dropped."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import router

from ..exceptions import TokenUndecryptable
from ..fields import LazySecret
from ..models import ConnectionTokens

PAGE_SIZE = 200
_COLUMNS = ("access_token", "refresh_token", "webhook_token")


@dataclass
class Summary:
    """Rows by outcome; ``changed_meanwhile`` ones were just written by somebody else, under the newest key."""

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
                fresh = {name: _reencrypted(getattr(tokens, name)) for name in _COLUMNS}
            except TokenUndecryptable:
                summary.undecryptable += 1
                continue
            # The version stays: a renewal in flight must still find it when it stores its pair.
            written = rows.filter(pk=tokens.pk, version=tokens.version).update(**fresh)
            summary.reencrypted += written
            summary.changed_meanwhile += 1 - written
    return summary


def _reencrypted(value: str) -> str:
    return value.reencrypted() if isinstance(value, LazySecret) else value
