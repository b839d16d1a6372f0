"""What the protocol asks for and is told: why a renewal is wanted, the steps with their results, the outcome."""

from __future__ import annotations

from dataclasses import dataclass

from ..client.tokens import TokenSet
from .row import Failure, Row


@dataclass(frozen=True)
class Request:
    """Why the renewal is wanted, and what the place allows.

    ``is_needed``: nothing but a new token helps the caller. ``has_expired``, ``rejected``: the stored one is past its
    lifetime, was refused by thanks.io's API. ``force``: try although the verdict or a backoff stands. ``may_wait`` and
    ``may_conclude`` are False where the caller's transaction holds locks that others need.
    """

    is_needed: bool = True
    has_expired: bool = False
    rejected: bool = False
    force: bool = False
    may_wait: bool = True
    may_conclude: bool = True


@dataclass(frozen=True)
class Load:
    """Read the row. Result: ``Row | None``."""


@dataclass(frozen=True)
class Claim:
    """Take the lease. Result: ``(taken, Row | None)``; without a row it is locked by somebody or gone."""


@dataclass(frozen=True)
class Pause:
    """Wait for another worker, or before a second look. Result: False when the caller's patience is over."""

    second_look: bool = False


@dataclass(frozen=True)
class Post:
    """Spend the row's refresh token at the token endpoint. Result: ``TokenSet``, the exception, or None.

    None: the claim is too long ago, somebody else may have the lease by now; nothing was sent.
    """

    row: Row


@dataclass(frozen=True)
class Store:
    """Make the new pair durable. Result: ``(stored, Row | None)``: the row that stands now."""

    tokens: TokenSet
    rejection_count: int


@dataclass(frozen=True)
class Fail:
    """Give the lease back and record the failure. Result: the ``Row`` as written."""

    row: Row
    failure: Failure


@dataclass(frozen=True)
class Conclude:
    """Write the verdict "reconnect required" if the version is unchanged. Result: the ``Row | None`` that stands."""

    code: str
    access_token_dead: bool


@dataclass(frozen=True)
class Release:
    """Give the lease back. Result: None."""


Step = Load | Claim | Pause | Post | Store | Fail | Conclude | Release


@dataclass(frozen=True)
class Current:
    """The outcome: the row whose access token to use. ``renewed`` when this call stored it."""

    row: Row
    renewed: bool = False
