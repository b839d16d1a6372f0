"""What the database and the provider hold of a connection's tokens, for tests to compare."""

from __future__ import annotations

from typing import Any

from thanksio_connect.models import ConnectionTokens, ThanksIOConnection
from thanksio_connect.testing import FakeThanksIO
from thanksio_connect.testing.grants import Grant


class HostError(Exception):
    """What goes wrong in the project's own code."""


def fresh(connection: Any, using: str = "default") -> ThanksIOConnection:
    """The connection and its tokens as they are in the database."""
    return (
        ThanksIOConnection.objects.using(using).select_related("tokens").get(pk=getattr(connection, "pk", connection))
    )


def access(connection: ThanksIOConnection) -> str:
    """The access token in clear, as the instance has it; nothing is renewed."""
    return str(connection.tokens.access_token.reveal())


def refresh(connection: ThanksIOConnection) -> str:
    """The refresh token in clear."""
    return str(connection.tokens.refresh_token.reveal())


def grant_of(thanksio: FakeThanksIO, connection: ThanksIOConnection) -> Grant:
    return thanksio.grant_of(access(connection))


def update(connection: ThanksIOConnection, **values: Any) -> None:
    """Write columns of the token row, as if time had passed or somebody else had been there."""
    assert ConnectionTokens._base_manager.filter(connection_id=connection.pk).update(**values) == 1
    connection._state.fields_cache["tokens"] = fresh(connection).tokens


def row(connection: Any, using: str = "default") -> dict[str, Any]:
    """The token row, tokens in clear."""
    tokens = fresh(connection, using).tokens
    return {
        "access_token": tokens.access_token.reveal(),
        "refresh_token": tokens.refresh_token.reveal() if tokens.refresh_token else "",
        "status": tokens.status,
        "version": tokens.version,
        "last_error_code": tokens.last_error_code,
        "failure_count": tokens.failure_count,
        "outcome_unknown": tokens.outcome_unknown,
        "lease": tokens.lease_id is not None,
    }


def live_row(thanksio: FakeThanksIO, connection: ThanksIOConnection, *, version: int = 2) -> dict[str, Any]:
    """The token row as it must be while the connection works."""
    pair = thanksio.live_pair(grant_of(thanksio, connection))
    assert pair is not None
    return {
        "access_token": pair.access_token,
        "refresh_token": pair.refresh_token,
        "status": "connected",
        "version": version,
        "last_error_code": "",
        "failure_count": 0,
        "outcome_unknown": False,
        "lease": False,
    }


def assert_live(
    thanksio: FakeThanksIO, connection: ThanksIOConnection, *, version: int = 2, using: str = "default"
) -> str:
    """The row in the database has the provider's live pair; returns its access token."""
    expected = live_row(thanksio, connection, version=version)
    assert row(connection, using) == expected
    return str(expected["access_token"])


def assert_instance_is_live(thanksio: FakeThanksIO, connection: ThanksIOConnection, *, version: int = 2) -> None:
    """As :func:`assert_live`, and the instance knows it."""
    token = assert_live(thanksio, connection, version=version)
    assert (access(connection), connection.tokens.version) == (token, version)
