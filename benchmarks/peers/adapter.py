"""What a peer has to do: hold a connection's tokens, and make one API call with a token that works."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

import requests
from django.conf import settings

API_TIMEOUT_SECONDS = 30


@dataclass(frozen=True)
class Pair:
    """Tokens as the provider gave them out, and when (in seconds) the access token is over."""

    access_token: str
    refresh_token: str
    expires_at: float

    @classmethod
    def issued(cls, answer: dict[str, Any]) -> Pair:
        """From the provider's own ``issue``."""
        expires_at = datetime.fromisoformat(answer["expires_at"]).timestamp()
        return cls(answer["access_token"], answer["refresh_token"], expires_at)

    @property
    def expires_in(self) -> int:
        """Seconds left."""
        return int(self.expires_at - time.time())

    @property
    def expiry(self) -> datetime:
        """The same moment, aware."""
        return datetime.fromtimestamp(self.expires_at, UTC)


class Peer(Protocol):
    """One way to keep tokens. ``settings.THANKSIO_TOKEN_URL`` and ``…_API_URL`` may change between calls."""

    name: str

    def add(self, pair: Pair) -> int:
        """Store a new connection; returns its primary key."""

    def load(self, pk: int) -> Any:
        """The object that a view has in hand."""

    def call(self, held: Any) -> None:
        """One API call (``GET /ping``), the token renewed first if it has expired. Raises if it does not work."""

    def refresh_token(self, pk: int) -> str:
        """What the database holds now."""


def ping(access_token: str) -> None:
    """The API call of those whose library makes none."""
    headers = {"Authorization": f"Bearer {access_token}"}
    response = requests.get(f"{settings.THANKSIO_API_URL}/ping", headers=headers, timeout=API_TIMEOUT_SECONDS)
    response.raise_for_status()
