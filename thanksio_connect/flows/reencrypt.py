"""Encrypt all that is stored anew under the newest key of ``FIELD_ENCRYPTION_KEY``: then an old key can be dropped."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db import DatabaseError, IntegrityError, connections, models, router, transaction
from django.db.models import QuerySet

from ..database import facts
from ..exceptions import TokenUndecryptable
from ..fields import LazySecret, utc_now
from ..models import AuthorizationRequest, ConnectionTokens

PAGE_SIZE = 200
TRIES = 5
LOCK_WAIT_SECONDS = 5.0  # on MariaDB its own bound, of 50
_COLUMNS = ("access_token", "refresh_token", "webhook_token")


@dataclass
class Summary:
    """Rows by outcome.

    ``verifiers`` are those of open authorizations. ``changed_meanwhile`` ones were disconnected during the run;
    ``not_written`` ones are locked, were changed at each try, or the project's own rule on the table refuses the write.
    """

    reencrypted: int = 0
    verifiers: int = 0
    undecryptable: int = 0
    changed_meanwhile: int = 0
    not_written: int = 0


def reencrypt_all() -> Summary:
    """Go over both tables page by page. A row that no key fits, or that can't be written, is kept, and counted.

    Raises the database's errors for all that is no single row's.
    """
    summary = Summary()
    tokens = ConnectionTokens._base_manager.using(router.db_for_write(ConnectionTokens))
    for row in _each(tokens):
        if _reencrypt(tokens, row, summary):
            summary.reencrypted += 1
    verifiers = AuthorizationRequest._base_manager.using(router.db_for_write(AuthorizationRequest))
    for request in _each(verifiers.filter(expires_at__gt=utc_now())):
        if _written(verifiers, request, summary, ("code_verifier",), {}):
            summary.verifiers += 1
    return summary


def _each(rows: QuerySet[Any]) -> Iterator[Any]:
    rows = rows.order_by("pk")
    page = list(rows[:PAGE_SIZE])
    while page:
        yield from page
        page = list(rows.filter(pk__gt=page[-1].pk)[:PAGE_SIZE])


def _reencrypt(rows: QuerySet[ConnectionTokens], tokens: ConnectionTokens | None, summary: Summary) -> bool:
    """Return whether the row was written. Another write during the try leaves a part under the old key: once more."""
    for _try in range(TRIES):
        if tokens is None:
            summary.changed_meanwhile += 1
            return False
        # The version stays: a renewal in flight must still find it when it stores its pair. It says nothing of the
        # address for webhooks.
        unchanged = {"version": tokens.version, "webhook_digest": tokens.webhook_digest}
        if (written := _written(rows, tokens, summary, _COLUMNS, unchanged)) is not False:
            return bool(written)
        tokens = rows.filter(connection_id=tokens.connection_id).first()  # by a reconnect it got another key
    summary.not_written += 1  # a part of it may still be under the old key
    return False


def _written(
    rows: QuerySet[Any], row: models.Model, summary: Summary, columns: tuple[str, ...], unchanged: dict[str, Any]
) -> bool | None:
    """Whether the row was written; False if it is another by now. None, and counted, if it can't be."""
    try:
        fresh = {name: _reencrypted(getattr(row, name)) for name in columns}
    except TokenUndecryptable:
        summary.undecryptable += 1
        return None
    try:
        with transaction.atomic(rows.db), facts.lock_wait(connections[rows.db], LOCK_WAIT_SECONDS):
            return rows.filter(pk=row.pk, **unchanged).update(**fresh) > 0
    except DatabaseError as error:
        is_the_rows = isinstance(error, IntegrityError) or facts.is_raised_by_a_trigger(error)
        if not is_the_rows and not facts.is_lock_error(error):
            raise
        summary.not_written += 1
        return None


def _reencrypted(value: str) -> str:
    return value.reencrypted() if isinstance(value, LazySecret) else value
