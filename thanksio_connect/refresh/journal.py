"""What a renewal inside a caller's transaction is about, written down outside of it; and pairs that wait for the row.

Such a renewal can't commit anything to the connection's row, which the caller holds; if the caller rolls back, or its
process dies, the row shows the spent refresh token again. An entry, committed over a private connection, tells whoever
claims the row then that somebody is at it, or which pair the row is to have. It says nothing once the row has another
version, and is removed after the transaction. A pair that can't be stored for a while, because such a transaction has
the row locked, stands here meanwhile, too.

On SQLite the entries stand in another file (see :mod:`~thanksio_connect.refresh.journal_file`); it is read after the
row was claimed, and written after the row was.
"""

from __future__ import annotations

import json
import logging
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, cast

from django.db import DatabaseError, connections, models
from django.db.models import Exists, OuterRef, Q

from . import journal_file, rows
from .row import Key, Row
from .rows import UtcNow

logger = logging.getLogger("thanksio_connect")

_LOOKED_AT = ("pair", "grant_id", "lease_id")


@dataclass(frozen=True)
class Announced:
    """What an announcement came to: the entry is ours (new, or a dead holder's before), or somebody else's, or done."""

    is_ours: bool
    is_new: bool = False
    taken_over: bool = False
    values: Mapping[str, Any] | None = field(default=None, repr=False)


def announce(using: str, key: Key, lease_id: uuid.UUID, ttl_seconds: float) -> Announced | None:
    """Before the request: take the entry of the version that is to be spent. Sees what others see, and is repeatable.

    None: the row, or that version of it, is not visible to others, so nobody else can spend it.
    """
    row = rows.load(using, key)
    if row is None or row.values["grant_id"] != key.grant_id:
        return None
    with _entries(using, key) as entries:
        return _announced(entries, row, key, lease_id, ttl_seconds)


def _announced(
    entries: models.QuerySet[Any], row: Row, key: Key, lease_id: uuid.UUID, ttl_seconds: float
) -> Announced | None:
    # What can be read without a lock comes first: a disconnect that waits for the row has its entries locked.
    seen = list(entries.values("pk", "version", *_LOOKED_AT, is_over=Q(lease_expires_at__lt=UtcNow())))
    of_grant = {entry["version"]: entry for entry in seen if entry["grant_id"] == key.grant_id}
    if row.version != key.version and not of_grant.get(key.version - 1, {}).get("pair"):
        return None
    entry = of_grant.get(key.version)
    if entry is not None and entry["pair"] is not None:
        return Announced(is_ours=False, values=_loaded(key.model, entry["pair"]))
    is_own = entry is not None and entry["lease_id"] == lease_id
    if entry is not None and not is_own and not entry["is_over"]:
        return Announced(is_ours=False)
    needed = [entry["pk"] for version, entry in of_grant.items() if version >= row.version]
    if stale := {entry["pk"] for entry in seen}.difference(needed):
        _delete(entries.filter(pk__in=stale))
    lease = {"lease_id": lease_id, "lease_expires_at": UtcNow() + timedelta(seconds=ttl_seconds)}
    if entry is None:
        _create(entries, key, **lease)
        return Announced(is_ours=True, is_new=True)
    is_ours = bool(entries.filter(pk=entry["pk"], lease_id=entry["lease_id"], pair=None).update(**lease))
    return Announced(is_ours, taken_over=is_ours and not is_own)


def record(using: str, key: Key, lease_id: uuid.UUID, values: Mapping[str, Any]) -> None:
    """After the answer: what the row is to have."""
    with _entries(using, key) as entries:
        _own(entries, key, lease_id).update(pair=_dumped(values))


def keep(using: str, key: Key, lease_id: uuid.UUID, values: Mapping[str, Any]) -> bool:
    """While somebody has the row locked: what it is to have, for him, and for all should this process die meanwhile.

    Repeatable. Returns whether the pair stands in the journal.
    """
    pair = _dumped(values)
    with _entries(using, key) as entries:
        if not entries.filter(version=key.version).exists():
            _create(entries, key, lease_id=lease_id, lease_expires_at=UtcNow(), pair=pair)
        of_grant = entries.filter(version=key.version, grant_id=key.grant_id)
        of_grant.filter(pair=None).update(pair=pair)
        return of_grant.filter(pair=pair).exists()


def forget(using: str, key: Key, lease_id: uuid.UUID) -> None:
    """After the transaction, or when nothing was sent. A pair stays for as long as the row has not come to it."""
    is_past = key.is_past(rows.load(using, key))
    with _entries(using, key) as entries:
        entry = _own(entries, key, lease_id)
        _delete(entry if is_past else entry.filter(pair=None))


def expire(using: str, key: Key, lease_id: uuid.UUID) -> None:
    """As :func:`forget`, where a request of this version may have been processed: others must hear of it."""
    with _entries(using, key) as entries:
        _own(entries, key, lease_id).update(lease_expires_at=UtcNow() - timedelta(seconds=1))


def may_have_entries(using: str) -> bool:
    """Whether to look: on SQLite, whether the file was ever needed."""
    if connections[using].vendor != "sqlite":
        return True
    path = journal_file.path_of(using)
    return path is not None and os.path.exists(path)


@contextmanager
def entries_of(using: str, model: type[models.Model]) -> Iterator[models.QuerySet[Any]]:
    """All entries, where they stand for the database ``using``; ``model`` is the journal's."""
    path = journal_file.path_of(using)
    with nullcontext(using) if path is None else journal_file.opened(using, path, model) as at:
        yield model._base_manager.using(at)


def reencrypted(model: type[models.Model], pair: str) -> str:
    """The same pair, its tokens under the newest key. Raises ``TokenUndecryptable``."""
    values = _loaded(model, pair)
    for name in {"access_token", "refresh_token"} & values.keys():
        values[name] = values[name].reencrypted()
    return _dumped(values)


def claim(
    using: str, key: Key, lease_id: uuid.UUID, ttl_seconds: float, *, again: bool = False
) -> tuple[bool, Row | None]:
    """Take the row's lease as :func:`rows.claim` does, unless an entry stands for its version.

    In a transaction of the engine's own, but on SQLite. A pair that was recorded and then rolled back is written to
    the row, which is returned with its new version; a dead holder's entry means that its request may have been
    processed. A lease that was held before (``again``) stays in the row, until it is told what came of it.
    """
    if not connections[using].features.has_select_for_update:
        return _claim_on_sqlite(using, key, lease_id, ttl_seconds, again=again)
    with _entries(using, key) as entries:
        entries = entries.filter(version=key.version)
        stands = Exists(entries.filter(grant_id=OuterRef("grant_id")))
        taken, row = rows.claim(using, key, lease_id, ttl_seconds, only_if=~stands)
        if taken or row is None or row.version != key.version:
            return taken, row
        if row.lease_lives and row.values["lease_id"] != lease_id:
            return False, row
        entry = _look(entries.filter(grant_id=row.values["grant_id"]))
        if entry is None:
            return False, row  # it was removed just now
        return _settle(using, entries, entry, row, key, lease_id, ttl_seconds)


def _claim_on_sqlite(
    using: str, key: Key, lease_id: uuid.UUID, ttl_seconds: float, *, again: bool
) -> tuple[bool, Row | None]:
    # In this order: an entry was there before its transaction let go of the row, and is there until the row has its
    # pair. Whoever finds none, and then the old version, is first.
    taken, taken_over = rows.take_unread(using, key, lease_id, ttl_seconds)
    entry = None
    if taken and may_have_entries(using):
        try:
            with _entries(using, key) as entries:
                entry = _look(entries.filter(version=key.version))
        except DatabaseError as error:
            logger.warning("The journal of renewals could not be read (%s).", type(error).__name__)
    row = rows.load(using, key)
    if not taken or row is None or row.version != key.version:
        return False, row
    if entry is None or entry["grant_id"] != row.values["grant_id"]:
        return True, replace(row, taken_over=taken_over)
    with _entries(using, key) as entries:
        taken, row = _settle(using, entries.filter(version=key.version), entry, row, key, lease_id, ttl_seconds)
    if not taken and not again:
        rows.release(using, key, lease_id)
    return taken, row


def _look(entries: models.QuerySet[Any]) -> dict[str, Any] | None:
    return entries.values(*_LOOKED_AT, is_over=Q(lease_expires_at__lt=UtcNow())).first()


def _settle(
    using: str,
    entries: models.QuerySet[Any],
    entry: dict[str, Any],
    row: Row,
    key: Key,
    lease_id: uuid.UUID,
    ttl_seconds: float,
) -> tuple[bool, Row | None]:
    """What a claim comes to that met an entry for the version of the row."""
    own = entries.filter(lease_id=entry["lease_id"])
    if entry["pair"] is None:
        # A holder whose lease is over may record its pair just now: then that is to be read.
        if not entry["is_over"] or not _delete(own.filter(pair=None)):
            return False, replace(row, lease_lives=True)
        key.rows(using).update(outcome_unknown=True)
        taken, claimed = rows.claim(using, key, lease_id, ttl_seconds)
        return taken, claimed and replace(claimed, taken_over=taken)
    values = _loaded(key.model, entry["pair"])
    stored, standing = rows.store(using, replace(key, grant_id=entry["grant_id"]), values)
    _delete(own)
    return False, Row(values={**row.values, **values}) if stored else standing


@contextmanager
def _entries(using: str, key: Key) -> Iterator[models.QuerySet[Any]]:
    """Those of the key's connection."""
    model = cast("type[models.Model]", key.model._meta.get_field("uncommitted_renewals").related_model)
    with entries_of(using, model) as entries:
        yield entries.filter(connection_id=key.pk)


def _own(entries: models.QuerySet[Any], key: Key, lease_id: uuid.UUID) -> models.QuerySet[Any]:
    return entries.filter(version=key.version, grant_id=key.grant_id, lease_id=lease_id)


def _create(entries: models.QuerySet[Any], key: Key, **values: Any) -> None:
    new = entries.model(connection_id=key.pk, version=key.version, grant_id=key.grant_id, **values)
    entries.model._base_manager.using(entries.db).bulk_create([new])  # which sends no signal


def _delete(entries: models.QuerySet[Any]) -> int:
    return entries._raw_delete(entries.db)  # a project's receivers must not meet the private connection


def _dumped(values: Mapping[str, Any]) -> str:
    def plain(value: Any) -> str:
        return value.isoformat() if isinstance(value, datetime) else str(value.dumped)  # the tokens' ciphertext

    return json.dumps(dict(values), default=plain)


def _loaded(model: type[models.Model], pair: str) -> dict[str, Any]:
    return {
        name: cast("models.Field[Any, Any]", model._meta.get_field(name)).to_python(value)
        for name, value in json.loads(pair).items()
    }
