"""Encrypt every stored token anew under the newest key of ``FIELD_ENCRYPTION_KEY``: then an old key can be dropped."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from django.db import router

from ..exceptions import TokenUndecryptable
from ..fields import EncryptedValue
from ..models import ThanksIOConnection, UncommittedRenewal
from ..refresh import journal

PAGE_SIZE = 200


@dataclass
class Summary:
    """Rows by outcome; ``changed_meanwhile`` ones were just written by somebody else, under the newest key."""

    reencrypted: int = 0
    undecryptable: int = 0
    changed_meanwhile: int = 0


def reencrypt_all() -> Summary:
    """Go over the table page by page. A row that no key fits is left as it is, and counted."""
    summary = Summary()
    using = router.db_for_write(ThanksIOConnection)
    _reencrypt_journal(using)
    rows = ThanksIOConnection._base_manager.using(using)
    last = None
    while True:
        page = list((rows if last is None else rows.filter(pk__gt=last)).order_by("pk")[:PAGE_SIZE])
        if not page:
            return summary
        last = page[-1].pk
        for connection in page:
            stored: list[EncryptedValue] = [connection.__dict__[name] for name in ("access_token", "refresh_token")]
            try:
                access_token, refresh_token = (value.reencrypted() for value in stored)
            except TokenUndecryptable:
                summary.undecryptable += 1
                continue
            # The version stays: a renewal in flight must still find it when it stores its pair.
            written = rows.filter(pk=connection.pk, version=connection.version).update(
                access_token=access_token, refresh_token=refresh_token
            )
            summary.reencrypted += written
            summary.changed_meanwhile += 1 - written


def _reencrypt_journal(using: str) -> None:
    """First, so that a pair which goes from there to its row meanwhile is there under the newest key."""
    if not journal.may_have_entries(using):
        return
    with journal.entries_of(using, UncommittedRenewal) as entries:
        for pk, pair in list(entries.filter(pair__isnull=False).values_list("pk", "pair")):
            with contextlib.suppress(TokenUndecryptable):
                entries.filter(pk=pk).update(pair=journal.reencrypted(ThanksIOConnection, str(pair)))
