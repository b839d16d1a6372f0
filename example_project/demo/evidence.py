"""Both sides' books, read beside the servers: the product's database file, and what the sandbox tells."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

WAIT_SECONDS = 40
POLL_SECONDS = 0.2
CONNECTION = """
    SELECT tokens.* FROM thanksio_connect_thanksioconnection AS connection
    JOIN thanksio_connect_connectiontokens AS tokens ON tokens.connection_id = connection.id
    JOIN auth_user ON auth_user.id = connection.user_id WHERE auth_user.username = ?
"""
POSTCARDS = """
    SELECT postcard.reference, postcard.status, postcard.order_id, postcard.order_status
    FROM product_postcard AS postcard
    JOIN auth_user ON auth_user.id = postcard.user_id WHERE auth_user.username = ? ORDER BY postcard.id
"""


class Mismatch(Exception):
    """A step did not leave behind what it should have."""

    def __init__(self, what: str, expected: object, seen: object) -> None:
        super().__init__(f"{what}: expected {expected!r}, saw {seen!r}")


def expect(what: str, seen: object, expected: object) -> None:
    """Raises :class:`Mismatch`."""
    if seen != expected:
        raise Mismatch(what, expected, seen)


@dataclass(frozen=True)
class Tokens:
    """What the sandbox counts for one user and the product. ``refreshes`` were granted, not only asked for."""

    live_access: int
    expired_access: int
    revoked_access: int
    live_refresh: int
    revoked_refresh: int
    exchanges: int
    refreshes: int


@dataclass(frozen=True)
class Evidence:
    product_database: Path
    sandbox_url: str
    inspection_key: str
    username: str = "demo"

    def connection(self) -> dict[str, Any] | None:
        """The product's tokens for the user, as they lie in the database (encrypted)."""
        rows = self._rows(CONNECTION)
        return rows[0] if rows else None

    def postcards(self) -> list[dict[str, Any]]:
        return self._rows(POSTCARDS)

    def records(self) -> dict[str, Any]:
        with requests.Session() as session:
            session.trust_env = False
            answer = session.get(
                f"{self.sandbox_url}/_sandbox/records", headers={"X-Sandbox-Key": self.inspection_key}, timeout=30
            )
            answer.raise_for_status()
            return dict(json.loads(answer.content))

    def orders(self) -> list[dict[str, Any]]:
        return list(self._user(self.records())["orders"])

    def consents(self) -> dict[str, int]:
        return dict(self.records()["answers"].get("consent", {}))

    def tokens(self) -> Tokens:
        records = self.records()
        client = self._user(records)["clients"][0]
        access, refresh = client["access_tokens"], client["refresh_tokens"]
        return Tokens(
            live_access=access["live"],
            expired_access=access["expired"],
            revoked_access=access["revoked"],
            live_refresh=refresh["live"],
            revoked_refresh=refresh["revoked"],
            exchanges=records["answers"].get("authorization_code", {}).get("200", 0),
            refreshes=records["answers"].get("refresh_token", {}).get("200", 0),
        )

    def wait_for(self, what: str, condition: Callable[[], bool]) -> None:
        """Raises :class:`Mismatch` when it does not come true in time."""
        deadline = time.monotonic() + WAIT_SECONDS
        while not condition():
            if time.monotonic() > deadline:
                raise Mismatch(what, "to happen", f"nothing in {WAIT_SECONDS} seconds")
            time.sleep(POLL_SECONDS)

    def _user(self, records: Mapping[str, Any]) -> Mapping[str, Any]:
        return next(user for user in records["users"] if user["username"] == self.username)

    def _rows(self, query: str) -> list[dict[str, Any]]:
        with closing(sqlite3.connect(f"{self.product_database.as_uri()}?mode=ro", uri=True)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(query, [self.username])]
