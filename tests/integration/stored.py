"""A stored connection, and an instance that was loaded before somebody else renewed it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.db import connection

from tests.integration.browsing import make_user
from thanksio_connect.client.tokens import TokenSet
from thanksio_connect.models import ConnectionTokens, ThanksIOConnection

TOKENS = ("access-1", "refresh-1")
HOUR = timedelta(hours=1)


def connect(name: str = "alice", number: int = 1) -> ThanksIOConnection:
    user = get_user_model().objects.filter(username=name).first() or make_user(name)
    tokens = TokenSet(f"access-{number}", f"refresh-{number}", expires_in=3600)
    return ThanksIOConnection.objects.connect(user, tokens)


def load() -> ThanksIOConnection:
    return ThanksIOConnection.objects.select_related("tokens").get()


def revealed(tokens: ConnectionTokens) -> tuple[str, str, int]:
    return tokens.access_token.reveal(), tokens.refresh_token.reveal(), tokens.version


def stored() -> tuple[str, str, int]:
    return revealed(ConnectionTokens.objects.get())


def ciphertexts() -> tuple[str, str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT access_token, refresh_token FROM thanksio_connect_connectiontokens")
        return cursor.fetchone()


def renew() -> None:
    """Somebody else stores a newer pair over the same grant."""
    ConnectionTokens._base_manager.update(access_token="access-2", refresh_token="refresh-2", version=2)


@pytest.fixture
def stale() -> ThanksIOConnection:
    """An instance that was loaded, and read, before a renewal."""
    connect()
    row = load()
    assert revealed(row.tokens) == (*TOKENS, 1)
    renew()
    return row


NEWER = ("access-2", "refresh-2", 2)
