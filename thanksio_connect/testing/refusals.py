"""Every no of the token endpoint, in the words and statuses of league/oauth2-server 8 and 9.

Read from that project's ``OAuthServerException``, ``RefreshTokenGrant`` and ``AuthCodeGrant`` (8.5.5 and
9.4.1). The two differ where a client must tell a dead grant from its own mistake: version 8 calls a dead
refresh token ``invalid_request`` with status 401, version 9 ``invalid_grant`` with 400; version 8 repeats the
description as ``message``; dead authorization codes are ``invalid_request`` in version 8 and
``invalid_grant`` in 9.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Dialect = Literal["league8", "league9"]
DIALECTS: Final[tuple[Dialect, ...]] = ("league8", "league9")

_MALFORMED = (
    "The request is missing a required parameter, includes an invalid parameter value, "
    "includes a parameter more than once, or is otherwise malformed."
)
_BAD_GRANT = (
    "The provided authorization grant (e.g., authorization code, resource owner credentials) or refresh "
    "token is invalid, expired, revoked, does not match the redirection URI used in the authorization "
    "request, or was issued to another client."
)
_BAD_REFRESH = "The refresh token is invalid."


@dataclass(frozen=True)
class Wording:
    status: int
    error: str
    description: str
    hint: str | None


def _request(hint: str) -> tuple[Wording, Wording]:
    wording = Wording(400, "invalid_request", _MALFORMED, hint)
    return wording, wording


def _refresh(hint: str) -> tuple[Wording, Wording]:
    return (
        Wording(401, "invalid_request", _BAD_REFRESH, hint),
        Wording(400, "invalid_grant", _BAD_REFRESH, hint),
    )


def _code(hint: str) -> tuple[Wording, Wording]:
    return Wording(400, "invalid_request", _MALFORMED, hint), Wording(400, "invalid_grant", _BAD_GRANT, hint)


def _same(status: int, error: str, description: str, hint: str | None = None) -> tuple[Wording, Wording]:
    wording = Wording(status, error, description, hint)
    return wording, wording


#: code -> (wording in version 8, wording in version 9)
REFUSALS: Final[dict[str, tuple[Wording, Wording]]] = {
    "invalid_client": _same(401, "invalid_client", "Client authentication failed"),
    "unauthorized_client": _same(
        400,
        "unauthorized_client",
        "The authenticated client is not authorized to use this authorization grant type.",
    ),
    "unsupported_grant_type": _same(
        400,
        "unsupported_grant_type",
        "The authorization grant type is not supported by the authorization server.",
        "Check that all required parameters have been provided",
    ),
    "server_error": _same(
        500,
        "server_error",
        "The authorization server encountered an unexpected condition which prevented it from fulfilling the "
        "request: Unexpected error",
    ),
    "undecryptable": _refresh("Cannot decrypt the refresh token"),
    "client_mismatch": _refresh("Token is not linked to client"),
    "refresh_expired": _refresh("Token has expired"),
    "invalid_grant": _refresh("Token has been revoked"),
    "missing_client_id": _request("Check the `client_id` parameter"),
    "missing_client_secret": _request("Check the `client_secret` parameter"),
    "missing_refresh_token": _request("Check the `refresh_token` parameter"),
    "missing_code": _request("Check the `code` parameter"),
    "missing_redirect_uri": _request("Check the `redirect_uri` parameter"),
    "redirect_uri_mismatch": _request("Invalid redirect URI"),
    "code_undecryptable": (
        Wording(400, "invalid_request", _MALFORMED, "Cannot decrypt the authorization code"),
        Wording(400, "invalid_grant", _BAD_GRANT, "Cannot validate the provided authorization code"),
    ),
    "code_expired": _code("Authorization code has expired"),
    "code_used": _code("Authorization code has been revoked"),
    "code_client_mismatch": _request("Authorization code was not issued to this client"),
    "missing_code_verifier": _request("Check the `code_verifier` parameter"),
    "malformed_code_verifier": _request("Code Verifier must follow the specifications of RFC-7636."),
    "unexpected_code_verifier": _request("code_verifier received when no code_challenge is present"),
    "wrong_code_verifier": _same(400, "invalid_grant", _BAD_GRANT, "Failed to verify `code_verifier`."),
}


class Refused(Exception):
    """The provider says no; ``code`` is a key of :data:`REFUSALS`."""

    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__(code)


def refusal(code: str, dialect: Dialect) -> tuple[int, dict[str, str]]:
    """Return the status and JSON body of a refusal."""
    wording = REFUSALS[code][DIALECTS.index(dialect)]
    body = {"error": wording.error, "error_description": wording.description}
    if wording.hint is not None:
        body["hint"] = wording.hint
    if dialect == "league8":
        body["message"] = wording.description
    return wording.status, body
