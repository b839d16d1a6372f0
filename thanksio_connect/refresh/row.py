"""The connection's row as the engine sees it: which one, what was read of it, and what is to be written."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ..client.tokens import TokenSet
from . import schedule

ENGINE_COLUMNS = frozenset(
    "access_token refresh_token token_type scope expires_at status version lease_id lease_expires_at outcome_unknown "
    "rejection_count next_refresh_at failure_count last_error_code last_refreshed_at connected_at "
    "grant_id thanksio_user_id".split()
)
# A project may set these: the worst that a wrong value does is a renewal that comes early, or a 401 that causes one.
ASSIGNABLE_COLUMNS = frozenset({"expires_at", "next_refresh_at", "thanksio_user_id"})


class Status(models.TextChoices):
    """Whether thanks.io still accepts the grant, as far as is known."""

    CONNECTED = "connected", _("connected")
    RECONNECT_REQUIRED = "reconnect_required", _("reconnect required")


@dataclass(frozen=True)
class Key:
    """Which row: its identity (another tenant's table may hold the same primary key), and the version to spend.

    ``grant_id``, known once the row was claimed: a version that was rolled back may be given again to a new grant.
    """

    model: type[models.Model]
    pk: Any
    owner: Any
    created_at: datetime
    version: int
    grant_id: uuid.UUID | None = None

    def rows(self, using: str) -> models.QuerySet[Any]:
        """The row on that database, whatever its version."""
        return self.model._base_manager.using(using).filter(pk=self.pk)

    def rows_to_spend(self, using: str) -> models.QuerySet[Any]:
        """The row, if it still has the version, of the same grant."""
        rows = self.rows(using).filter(version=self.version)
        return rows if self.grant_id is None else rows.filter(grant_id=self.grant_id)

    def is_past(self, row: Row | None) -> bool:
        """Whether there is nothing left to spend: the row is gone, has a newer version, or another grant."""
        return row is None or row.version > self.version or self.grant_id not in (None, row.values["grant_id"])


@dataclass(frozen=True)
class Row:
    """What was read or written of the row. ``lease_lives`` was judged by the database's clock.

    ``taken_over``: it was claimed from a holder whose lease was over, who may yet come with a pair.
    """

    values: Mapping[str, Any] = field(repr=False)
    lease_lives: bool = False
    taken_over: bool = False

    @property
    def version(self) -> int:
        """+1 at every token write."""
        return int(self.values["version"])

    @property
    def refresh_token(self) -> Any:
        """Still encrypted."""
        return self.values["refresh_token"]

    @property
    def is_dead(self) -> bool:
        """Whether the verdict "reconnect required" stands."""
        return bool(self.values["status"] == Status.RECONNECT_REQUIRED)

    @property
    def outcome_unknown(self) -> bool:
        """Whether the stored refresh token may have been spent without an answer."""
        return bool(self.values["outcome_unknown"])

    @property
    def failure_count(self) -> int:
        """Failures in a row."""
        return int(self.values["failure_count"])

    @property
    def error_code(self) -> str:
        """The last failure's code."""
        return str(self.values["last_error_code"])

    @property
    def backoff_seconds(self) -> float:
        """How long the last failure's backoff still lasts; 0 without one."""
        if not self.failure_count:
            return 0.0
        next_refresh_at: datetime = self.values["next_refresh_at"]
        return max(0.0, (next_refresh_at - timezone.now()).total_seconds())

    @property
    def recent_rejections(self) -> int:
        """How often in a row thanks.io refused a token that had just been renewed."""
        return int(self.values["rejection_count"]) if schedule.is_recent(self.values["last_refreshed_at"]) else 0


def granted_values(tokens: TokenSet, *, now: datetime) -> dict[str, Any]:
    """What a new grant writes (its version apart)."""
    return {
        **_token_values(tokens, now=now),
        "refresh_token": tokens.refresh_token or "",
        "scope": tokens.scope,
        "grant_id": uuid.uuid4(),
        "connected_at": now,
        "last_refreshed_at": None,
        "rejection_count": 0,
    }


def _token_values(tokens: TokenSet, *, now: datetime) -> dict[str, Any]:
    expires_at = schedule.as_stored(tokens.expires_at)
    return {
        "access_token": tokens.access_token,
        "token_type": tokens.token_type[:40],
        "expires_at": expires_at,
        "status": Status.CONNECTED,
        "outcome_unknown": False,
        "lease_id": None,
        "lease_expires_at": None,
        "next_refresh_at": schedule.due_at(expires_at, obtained_at=now),
        "failure_count": 0,
        "last_error_code": "",
    }


def renewed_values(key: Key, tokens: TokenSet, *, rejection_count: int) -> dict[str, Any]:
    """What a renewal writes over the version that it spent; encrypted once, however often the write is tried."""
    now = timezone.now()
    values = {
        **_token_values(tokens, now=now),
        "version": key.version + 1,
        "rejection_count": rejection_count,
        "last_refreshed_at": now,
    }
    if tokens.scope:
        values["scope"] = tokens.scope
    if tokens.refresh_token:
        values["refresh_token"] = tokens.refresh_token
    for name in {"access_token", "refresh_token"} & values.keys():
        values[name] = cast("models.Field[Any, Any]", key.model._meta.get_field(name)).to_python(values[name])
    return values


@dataclass(frozen=True)
class Failure:
    """A renewal that did not succeed and says nothing of the grant."""

    code: str
    outcome_unknown: bool = False
    retry_after_seconds: float | None = None
    backs_off: bool = True


def failed_values(row: Row, failure: Failure) -> dict[str, Any]:
    """What a failure writes."""
    values: dict[str, Any] = {
        "lease_id": None,
        "lease_expires_at": None,
        "last_error_code": failure.code[:40],
    }
    if row.outcome_unknown or failure.outcome_unknown:  # which a guard that comes late must not take back
        values["outcome_unknown"] = True
    if failure.backs_off:
        values["failure_count"] = row.failure_count + 1
        values["next_refresh_at"] = schedule.retry_at(row.failure_count + 1, failure.retry_after_seconds)
    return values


def stands(row: Row | None, values: Mapping[str, Any]) -> bool:
    """Whether the row holds the pair of these values."""
    return row is not None and bool(row.values["access_token"].ciphertext == values["access_token"].ciphertext)


def holds(row: Row | None, values: Mapping[str, Any]) -> bool:
    """Whether the row holds the failure of these values."""
    names = ("outcome_unknown", "last_error_code", "failure_count")
    return row is not None and all(row.values[name] == values[name] for name in names if name in values)
