"""What a renewal inside a caller's transaction is about, written down outside of that transaction.

Such a renewal can't commit anything to the connection's row, which the caller holds; if the caller rolls back, or its
process dies, the row shows the spent refresh token again. An entry, committed over a private connection, tells whoever
claims the row then that somebody is at it, or which pair the row is to have. It says nothing once the row has another
version, and is removed after the transaction.

Not on SQLite: nobody else can write while the caller's transaction holds the file.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, cast

from django.db import connections, models
from django.db.models import Exists, Q

from . import rows
from .rows import Key, Row, UtcNow


def announce(using: str, key: Key, lease_id: uuid.UUID, ttl_seconds: float) -> bool | None:
    """Before the request: take the entry of the version that is to be spent. Sees what others see, and is repeatable.

    Returns whether it was taken (False: somebody else's lives). None: the row, or that version of it, is not visible
    to others, so nobody else can spend it.
    """
    row = rows.load(using, key)
    entries = _of_connection(using, key)
    if row is None:
        return None
    if row.version != key.version and not entries.filter(version=key.version - 1, pair__isnull=False).exists():
        return None
    entries.filter(version__lt=row.version).delete()
    lease = {"lease_id": lease_id, "lease_expires_at": UtcNow() + timedelta(seconds=ttl_seconds)}
    entry = _entry(using, key)
    if entry.filter(Q(lease_id=lease_id) | Q(lease_expires_at__lt=UtcNow()), pair=None).update(**lease):
        return True
    if entry.exists():
        return False
    entry.create(connection_id=key.pk, version=key.version, **lease)
    return True


def record(using: str, key: Key, lease_id: uuid.UUID, values: Mapping[str, Any]) -> None:
    """After the answer: what the row is to have."""
    _entry(using, key).filter(lease_id=lease_id).update(pair=_dumped(values))


def forget(using: str, key: Key) -> None:
    """The row tells as much itself, or nothing was sent."""
    _entry(using, key).delete()


def reencrypted(model: type[models.Model], pair: str) -> str:
    """The same pair, its tokens under the newest key. Raises ``TokenUndecryptable``."""
    values = _loaded(model, pair)
    for name in {"access_token", "refresh_token"} & values.keys():
        values[name] = values[name].reencrypted()
    return _dumped(values)


def claim(
    using: str, key: Key, lease_id: uuid.UUID, ttl_seconds: float, *, settles: bool = True
) -> tuple[bool, Row | None]:
    """Take the row's lease as :func:`rows.claim` does, unless somebody else's entry stands for its version.

    A pair that was recorded and then rolled back is written to the row, which is returned with its new version; a dead
    holder's entry means that its request may have been processed. ``settles``: this transaction is the engine's own, so
    the entry can be removed in it.
    """
    if not connections[using].features.has_select_for_update:
        return rows.claim(using, key, lease_id, ttl_seconds)
    entries = _entry(using, key).exclude(lease_id=lease_id)
    # MariaDB may lock what a condition of an UPDATE reads: a caller's transaction must not, or we could not announce.
    taken, row = rows.claim(using, key, lease_id, ttl_seconds, only_if=~Exists(entries) if settles else None)
    looks_free = row is not None and row.version == key.version and not row.lease_lives
    if row is None or not looks_free or (taken and settles):
        return taken, row
    entry = entries.values("pair", is_over=Q(lease_expires_at__lt=UtcNow())).first()
    if entry is None:
        return taken, row
    if entry["pair"] is None and not entry["is_over"]:
        rows.release(using, key, lease_id)
        return False, replace(row, lease_lives=True)
    if settles:
        forget(using, key)
    if entry["pair"] is None:
        key.rows(using).update(outcome_unknown=True)
        return rows.claim(using, key, lease_id, ttl_seconds)
    values = _loaded(key.model, entry["pair"])
    rows.store(using, key, values)
    return False, Row(values={**row.values, **values})


def _of_connection(using: str, key: Key) -> models.QuerySet[Any]:
    model = cast("type[models.Model]", key.model._meta.get_field("uncommitted_renewals").related_model)
    return model._base_manager.using(using).filter(connection_id=key.pk)


def _entry(using: str, key: Key) -> models.QuerySet[Any]:
    return _of_connection(using, key).filter(version=key.version)


def _dumped(values: Mapping[str, Any]) -> str:
    def plain(value: Any) -> str:
        return value.isoformat() if isinstance(value, datetime) else str(value.dumped)  # the tokens' ciphertext

    return json.dumps(dict(values), default=plain)


def _loaded(model: type[models.Model], pair: str) -> dict[str, Any]:
    return {
        name: cast("models.Field[Any, Any]", model._meta.get_field(name)).to_python(value)
        for name, value in json.loads(pair).items()
    }
