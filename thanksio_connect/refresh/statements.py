"""The few statements that touch the token row, in plain SQL: a lease is read, and written, in one screen.

Each function is one short step on the database alias that it is given; none knows of HTTP, retries or places.
``lease_expires_at`` is on the database's clock and nothing else is: never both in one column.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from django.db import DatabaseError, InterfaceError, ProgrammingError, connections, models

from ..database import facts
from ..exceptions import RefreshInProgress
from .token_row import Failure, Key, Row, Status, failed_values, verdict_code

# How long a write waits for a lock that somebody else has on the row.
LOCK_WAIT_SECONDS = 15.0
# How often a claim looks at the row: another worker's lease may end between two looks.
CLAIM_LOOKS = 3
NOT_WRITTEN = (
    "The row of the thanks.io tokens can be read here, and not written: a policy or a trigger of the database passes "
    "over it. If it goes by a tenant, a role or a variable of the session, name a function that sets it in "
    "THANKSIO_PREPARE_SESSION."
)


@dataclass(frozen=True)
class Lease:
    """What a claim asks for: for how long, and how long to wait for somebody else's lock on the row.

    ``outcome_is_unknown``: the holder's own request may have spent the token.
    """

    id: str
    seconds: float
    lock_wait_seconds: float
    outcome_is_unknown: bool = False


@dataclass(frozen=True)
class Claimed:
    """Whether the lease was taken, and the row (None: it is gone, or can't be seen here)."""

    taken: bool
    row: Row | None


@dataclass(frozen=True)
class Stored:
    """Whether the pair stands in the row, and the row that does (None: it is gone, or can't be seen here)."""

    stands: bool
    row: Row | None


@lru_cache(maxsize=32)
def _readers(model: type[models.Model]) -> dict[str, Callable[[Any], Any] | None]:
    """What turns each column's value into the field's: our own fields do it, and booleans may come as numbers."""
    readers: dict[str, Callable[[Any], Any] | None] = {}
    for each in model._meta.concrete_fields:
        is_flag = isinstance(each, models.BooleanField)
        readers[each.attname] = bool if is_flag else getattr(each, "from_db_value", None)
    return readers


@lru_cache(maxsize=32)
def _columns(model: type[models.Model], now_sql: str) -> str:
    """All columns, and whether the lease lives. Their names are ours, and need no quotes."""
    names = ", ".join(str(each.column) for each in model._meta.concrete_fields)
    return f"{names}, CASE WHEN lease_expires_at >= {now_sql} THEN 1 ELSE 0 END"


def _row(model: type[models.Model], record: tuple[Any, ...] | None) -> Row | None:
    if record is None:
        return None
    readers = _readers(model).items()
    values = {
        name: value if read is None else read(value) for (name, read), value in zip(readers, record[:-1], strict=True)
    }
    return Row(values, lease_lives=bool(record[-1]))


def load(using: str, key: Key) -> Row | None:
    """Read the row, or None when it is gone or can't be seen on this connection."""
    return _load(using, key.model, "id", key.pk)


def load_of_connection(using: str, model: type[models.Model], connection_id: Any) -> Row | None:
    """Read the connection's row, whichever grant it has by now."""
    return _load(using, model, "connection_id", connection_id)


def _load(using: str, model: type[models.Model], column: str, value: Any) -> Row | None:
    connection = connections[using]
    field: Any = model._meta.pk if column == "id" else model._meta.get_field("connection")
    now = facts.now(connection)
    table = connection.ops.quote_name(model._meta.db_table)
    sql = f"SELECT {_columns(model, now.sql)} FROM {table} WHERE {column} = %s"  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(sql, [*now.parameters, field.get_db_prep_save(value, connection)])
        return _row(model, cursor.fetchone())


def claim(using: str, key: Key, lease: Lease) -> Claimed:
    """Take the lease if the row still has the key's version and nobody else's lease lives on it.

    Repeatable with the same lease. A dead holder's lease means that its request may have been processed. Raises
    RefreshInProgress when somebody has the row locked for longer than the claim may wait, ProgrammingError when the
    database does not let the row be written.
    """
    connection = connections[using]
    now, ends = facts.now(connection), facts.later(connection, lease.seconds)
    # MariaDB evaluates assignments from left to right: what reads the old lease comes first.
    sql = f"""UPDATE {connection.ops.quote_name(key.model._meta.db_table)}
        SET outcome_unknown = CASE WHEN (lease_id IS NULL OR lease_id = %s) AND %s THEN outcome_unknown ELSE %s END,
            lease_id = %s, lease_expires_at = {ends.sql}
        WHERE id = %s AND version = %s AND (lease_id IS NULL OR lease_id = %s OR lease_expires_at < {now.sql})"""  # noqa: S608
    parameters = [lease.id, not lease.outcome_is_unknown, True, lease.id, *ends.parameters]
    parameters += [key.pk, key.version, lease.id, *now.parameters]
    returns = facts.returns_updated_row(connection)
    if returns:
        sql += f" RETURNING {_columns(key.model, now.sql)}"
    for _look in range(CLAIM_LOOKS):
        try:
            with facts.executed(connection, sql, parameters, lock_wait_seconds=lease.lock_wait_seconds) as cursor:
                if returns and (record := cursor.fetchone()) is not None:
                    return Claimed(True, _row(key.model, record))
                taken = not returns and cursor.rowcount > 0
        except (DatabaseError, InterfaceError) as error:
            if facts.is_lock_error(error):
                raise RefreshInProgress(code="row_locked") from error
            raise
        row = load(using, key)
        is_ours = row is not None and row.version == key.version
        if taken or row is None or not is_ours or row.lease_lives or not facts.may_pass_over_rows(connection):
            return Claimed(taken and is_ours, row)
    raise ProgrammingError(NOT_WRITTEN)


@lru_cache(maxsize=64)
def _writers(model: type[models.Model], names: tuple[str, ...]) -> tuple[list[Callable[..., Any]], str]:
    """What turns each value into its column's, and the assignments."""
    fields: list[Any] = [model._meta.get_field(name) for name in names]
    return [each.get_db_prep_save for each in fields], ", ".join(f"{each.column} = %s" for each in fields)


def _update(
    using: str, key: Key, values: Mapping[str, Any], where: str, parameters: list[Any], *, first: str = ""
) -> bool:
    """Write the values where the row meets the condition, waiting for locks. Returns whether it did.

    ``first``: an assignment in SQL that comes before the values'; its parameters come before the condition's.
    """
    connection = connections[using]
    writers, assignments = _writers(key.model, tuple(values))
    table = connection.ops.quote_name(key.model._meta.db_table)
    sql = f"UPDATE {table} SET {first}{assignments} WHERE {where} AND id = %s"  # noqa: S608
    count = first.count("%s")
    written = [write(value, connection) for write, value in zip(writers, values.values(), strict=True)]
    every = [*parameters[:count], *written, *parameters[count:], key.pk]
    with facts.executed(connection, sql, every, lock_wait_seconds=LOCK_WAIT_SECONDS) as cursor:
        return bool(cursor.rowcount > 0)


def store(using: str, key: Key, values: Mapping[str, Any], *, since: int | None = None) -> Stored:
    """Write a renewed pair over the version that was spent, waiting for locks.

    By row and version alone: whoever spent it holds the only live pair, lease or no lease. ``since``: over any version
    from that one on, all of which were spent. The pair also stands when an earlier try wrote it and its reply was lost.
    Raises ProgrammingError when the database does not let the row be written.
    """
    first = key.version if since is None else since
    if _update(using, key, values, "version >= %s AND version < %s", [first, values["version"]]):
        return Stored(True, Row(values))
    row = load(using, key)
    is_unwritten = row is not None and first <= row.version < values["version"]
    if is_unwritten and facts.may_pass_over_rows(connections[using]):
        raise ProgrammingError(NOT_WRITTEN)
    return Stored(row is not None and row.values["access_token"] == values["access_token"], row)


def release(using: str, key: Key, lease_id: str) -> None:
    """Give the lease back: nothing was sent, or nothing came of it."""
    _update(using, key, {"lease_id": None, "lease_expires_at": None}, "lease_id = %s", [lease_id])


def fail(using: str, key: Key, lease_id: str, row: Row, failure: Failure) -> Row:
    """Give the lease back, record the failure and when to try again. Returns the row as it was written.

    Without the lease nothing is recorded: whoever took it over has noted that the outcome is unknown.
    """
    values = failed_values(row, failure)
    written = _update(using, key, values, "version = %s AND lease_id = %s", [key.version, lease_id])
    return Row({**row.values, **values}) if written else row


def conclude(using: str, key: Key, code: str, access_token_dead: bool) -> bool:
    """Write the verdict "reconnect required" if the version is unchanged; the version stays, so a late store heals it.

    Returns whether this call changed the status. A refusal after an unknown outcome is recorded as a lost reply.
    """
    now = datetime.now(UTC)
    verdict = {
        "status": Status.RECONNECT_REQUIRED.value,
        "lease_id": None,
        "lease_expires_at": None,
        "last_failed_at": now,
        **({"expires_at": now} if access_token_dead else {}),
    }
    # Another worker may have found out that the outcome is unknown since the caller last looked.
    reason = "last_error_code = CASE WHEN outcome_unknown = %s THEN %s ELSE %s END, "
    reasons = [True, verdict_code(code, outcome_unknown=True), code[:40]]
    stands = "version = %s AND status = %s"
    return _update(using, key, verdict, stands, [*reasons, key.version, Status.CONNECTED.value], first=reason)
