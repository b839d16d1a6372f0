"""The token row as the engine sees it: which one, what was read of it, what a grant, a renewal, a failure writes."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _

from ..client.tokens import TokenSet
from ..exceptions import InvalidGrant
from ..fields import LazySecret, sealed
from . import schedule

LOST_REPLY = "lost_reply"
OTHER_CLIENT = "other_client"
NO_REFRESH_TOKEN = "no_refresh_token"  # noqa: S105 - a code, no secret


class Status(models.TextChoices):
    """Whether thanks.io still accepts the grant, as far as is known."""

    CONNECTED = "connected", _("connected")
    RECONNECT_REQUIRED = "reconnect_required", _("reconnect required")


def new_id() -> str:
    """Return 32 hex characters that are never given twice: a row's key, or a lease."""
    return uuid.uuid4().hex


@dataclass(frozen=True)
class Key:
    """Which row, and the version to spend. Its primary key is the grant's: a reconnect gives it a new one.

    ``user_id``: whose connection it is, if that is known without a query.
    """

    model: type[models.Model]
    pk: str
    connection_id: Any
    version: int
    user_id: Any = None

    @property
    def ids(self) -> dict[str, Any]:
        """Whose row it is, for a log record."""
        return {"connection_id": self.connection_id, "user_id": self.user_id}


def ids_of(tokens: Any) -> dict[str, Any]:
    """Return whose row an instance is; the user's id if it is known without a query."""
    connection = tokens._state.fields_cache.get("connection")
    user_id = None if connection is None else vars(connection).get("user_id")
    return {"connection_id": tokens.connection_id, "user_id": user_id}


@dataclass(frozen=True)
class Row:
    """What was read or written of the row. ``lease_lives`` was judged by the database's clock."""

    values: Mapping[str, Any] = field(repr=False)
    lease_lives: bool = False

    @property
    def version(self) -> int:
        """+1 at every token write."""
        return int(self.values["version"])

    @property
    def refresh_token(self) -> LazySecret | None:
        """Still encrypted; None if there is none."""
        return self.values["refresh_token"] or None

    @property
    def is_dead(self) -> bool:
        """Whether the verdict "reconnect required" stands."""
        return bool(self.values["status"] == Status.RECONNECT_REQUIRED)

    @property
    def failure_count(self) -> int:
        """Failures in a row."""
        return int(self.values["failure_count"])

    @property
    def error_code(self) -> str:
        """The last failure's code."""
        return str(self.values["last_error_code"])

    @property
    def trouble(self) -> str | None:
        """The last failure's code, which a verdict may be without; None while all is well."""
        return self.error_code if self.error_code or self.is_dead else None

    @property
    def failed_at(self) -> datetime | None:
        """When the last failure was recorded."""
        return self.values["last_failed_at"]  # type: ignore[no-any-return]

    @property
    def backoff_seconds(self) -> float:
        """How long the last failure's backoff still lasts; 0 without one."""
        if not self.failure_count:
            return 0.0
        return max(0.0, -schedule.seconds_since(self.values["next_refresh_at"]))

    @property
    def was_renewed_lately(self) -> bool:
        """Whether the token was renewed so lately that a refusal can't be mended by renewing it again."""
        return schedule.was_within(schedule.STORM_SECONDS, self.values["last_refreshed_at"])


def granted_values(tokens: TokenSet) -> dict[str, Any]:
    """What a new grant writes, under a new primary key."""
    return {
        **_pair_values(tokens),
        "id": new_id(),
        "version": 1,
        "refresh_token": sealed(tokens.refresh_token or ""),
        "scope": tokens.scope,
        "last_refreshed_at": None,
        "last_failed_at": None,
    }


def renewed_values(version: int, tokens: TokenSet) -> dict[str, Any]:
    """What a renewal writes over the version that it spent; encrypted once, however often the write is tried."""
    values = _pair_values(tokens)
    values |= {"version": version + 1, "last_refreshed_at": values["obtained_at"]}
    if tokens.scope:
        values["scope"] = tokens.scope
    if tokens.refresh_token:
        values["refresh_token"] = sealed(tokens.refresh_token)
    return values


def _pair_values(tokens: TokenSet) -> dict[str, Any]:
    now = datetime.now(UTC)
    return {
        "access_token": sealed(tokens.access_token),
        "token_type": tokens.token_type[:40],
        "expires_at": tokens.expires_at,
        "obtained_at": now,
        "status": Status.CONNECTED.value,
        "outcome_unknown": False,
        "lease_id": None,
        "lease_expires_at": None,
        "next_refresh_at": schedule.due_at(tokens.expires_at, obtained_at=now),
        "failure_count": 0,
        "last_error_code": "",
    }


@dataclass(frozen=True)
class Failure:
    """A renewal that did not succeed and says nothing final of the grant.

    ``retry_after_seconds``: not before; else the backoff doubles. ``is_counted``: False for what is our own fault, and
    is put right at once. ``lengthens``: False for a try while the backoff of an earlier failure lasts.
    """

    code: str
    outcome_unknown: bool = False
    retry_after_seconds: float | None = None
    is_counted: bool = True
    lengthens: bool = True


def failed_values(row: Row, failure: Failure) -> dict[str, Any]:
    """What a failure writes."""
    values: dict[str, Any] = {
        "lease_id": None,
        "lease_expires_at": None,
        "last_error_code": failure.code[:40],
        "last_failed_at": datetime.now(UTC),
    }
    if failure.outcome_unknown:  # only a new pair takes that back
        values["outcome_unknown"] = True
    if failure.lengthens:
        count = row.failure_count + failure.is_counted
        values["failure_count"] = count
        values["next_refresh_at"] = schedule.retry_at(count, failure.retry_after_seconds)
    return values


def verdict_code(code: str, *, outcome_unknown: bool) -> str:
    """Why the connection needs its owner: thanks.io refuses the token, perhaps because we never heard its answer."""
    return LOST_REPLY if outcome_unknown and code == InvalidGrant.code else code
