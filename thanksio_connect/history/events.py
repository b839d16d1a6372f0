"""Writes down what happened to a user's connection: after the tokens are committed, and never in their way.

The rows belong to :class:`~thanksio_connect.models.ConnectionEvent`, which this floor does not import.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

from django.apps import apps
from django.db import connections, models
from django.utils.translation import gettext_lazy as _

from ..client.interruption import is_interruption
from ..database import facts, sessions
from ..fields import utc_now
from ..records import record

# So many events of a user are kept.
KEPT = 50
# The tokens are stored, and somebody waits for them.
LOCK_WAIT_SECONDS = 1.0


class Kind(models.TextChoices):
    """What may happen to a connection."""

    CONNECTED = "connected", _("connected")
    RECONNECTED = "reconnected", _("connected again")
    ACCOUNT_CHANGED = "account_changed", _("connected again, with another thanks.io account")
    FAILING = "failing", _("renewals began to fail")
    RECOVERED = "recovered", _("recovered")
    RECONNECT_REQUIRED = "reconnect_required", _("reconnect required")
    DISCONNECTED = "disconnected", _("disconnected")


def write(
    commit: Callable[..., Any],
    user_id: Any,
    kind: Kind,
    code: str = "",
    *,
    connection_id: Any,
    at: datetime | None = None,
) -> Any:
    """Write one event. ``commit`` runs a step on a database alias, and commits it where the caller stands.

    Returns the user's id (``user_id`` None: the connection's), None if nothing was written. Never raises, but what
    interrupts.
    """
    step = partial(_write, user_id=user_id, connection_id=connection_id, kind=kind, code=code, at=at or utc_now())
    try:
        return commit(step, budget_seconds=0.0)
    except Exception as error:
        if is_interruption(error):
            raise
        words = {"error": type(error).__name__}
        record("event.not_written", words=words, connection_id=connection_id, user_id=user_id, code=kind.value)
        return None


def writer_after_commit(alias: str, user_id: Any, *, connection_id: Any) -> Callable[[Kind], object]:
    """Return what writes an event of now, on the caller's connection, once its transaction has ended.

    By then the transaction may have deleted the user: that is looked up.
    """
    at, may_be_gone = utc_now(), facts.in_transaction(alias)

    def commit(step: Callable[[str], Any], **options: Any) -> Any:
        def guarded(using: str) -> Any:
            return None if may_be_gone and not _user_exists(using, user_id) else step(using)

        return sessions.committed(alias, guarded, **options)

    return lambda kind: write(commit, user_id, kind, connection_id=connection_id, at=at)


def _model() -> Any:
    return apps.get_model("thanksio_connect", "ConnectionEvent")


def _user_exists(using: str, user_id: Any) -> bool:
    users: Any = _model()._meta.get_field("user").related_model
    return bool(users._base_manager.using(using).filter(pk=user_id).exists())


def _write(using: str, *, user_id: Any, connection_id: Any, kind: Kind, code: str, at: datetime) -> Any:
    """Insert the event, and delete what is more than are kept. Returns the user's id."""
    connection, events = connections[using], _model()
    if user_id is None:
        owners = apps.get_model("thanksio_connect", "ThanksIOConnection")._base_manager.using(using)
        user_id = owners.filter(pk=connection_id).values_list("user_id", flat=True).first()
        if user_id is None:  # the connection is gone
            return None
    _execute(
        connection,
        "INSERT INTO {table} ({user}, {kind}, {code}, {at}) VALUES (%s, %s, %s, %s)",
        user=user_id,
        kind=kind.value,
        code=code[:40],
        at=at,
    )
    older = events._base_manager.using(using).filter(user_id=user_id).order_by("-at").values_list("at", flat=True)
    for at in older[KEPT : KEPT + 1]:
        _execute(connection, "DELETE FROM {table} WHERE {user} = %s AND {at} <= %s", user=user_id, at=at)
    return user_id


def _execute(connection: Any, sql: str, **values: Any) -> None:
    """Execute a statement on the events' table, with a short wait for locks and none of the project's signals."""
    meta = _model()._meta
    fields = {name: meta.get_field(name) for name in ("user", "kind", "code", "at")}
    names = {name: connection.ops.quote_name(field.column) for name, field in fields.items()}
    statement = sql.format(table=connection.ops.quote_name(meta.db_table), **names)
    parameters = [fields[name].get_db_prep_save(value, connection) for name, value in values.items()]
    with facts.executed(connection, statement, parameters, lock_wait_seconds=LOCK_WAIT_SECONDS):
        pass
