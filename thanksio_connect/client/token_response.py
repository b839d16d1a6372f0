"""What a token endpoint's answer means: a token set, or the error that it stands for.

By the error code *and* the text beside it, never by the status alone: league/oauth2-server 8 calls a dead
refresh token 401 ``invalid_request``, its version 9 calls it 400 ``invalid_grant``, and both say the same of
a refresh token that belongs to another client or that the server can't decrypt. Provider text is read here
and goes no further.
"""

from __future__ import annotations

import math
from typing import Any, Literal

from ..exceptions import (
    InvalidGrant,
    InvalidTokenResponse,
    OutcomeUnknown,
    ThanksIOConfigurationError,
    Throttled,
    TokenUndecryptable,
)
from .tokens import TokenSet
from .transport import Response, load_json, parse_retry_after

Grant = Literal["authorization_code", "refresh_token"]

_CLIENT_CODES = {"invalid_client", "unauthorized_client", "unsupported_grant_type"}
# A renewal asks for no scope: one that is refused there is that grant's alone, such as one that thanks.io gave up.
_CONFIGURATION_CODES: dict[Grant, set[str]] = {
    "authorization_code": _CLIENT_CODES | {"invalid_scope"},
    "refresh_token": _CLIENT_CODES,
}
_KNOWN_CODES = _CLIENT_CODES | {"invalid_scope", "invalid_grant", "invalid_request", "access_denied"}
_DEAD_REFRESH_TOKEN = ("refresh token is invalid", "token has been revoked", "token has expired")
_DEAD_CODE = (
    "authorization code has been revoked",
    "authorization code has expired",
    "authorization code was not issued to this client",
    "cannot decrypt the authorization code",
    "authorization code malformed",
    "check the `code` parameter",
)
_REDIRECT_URI = (
    "invalid redirect uri",
    "check the `redirect_uri` parameter",
    "redirect_uri mismatch",
    "redirect uri mismatch",
)
_CLIENT_PARAMETERS = ("check the `client_id` parameter", "check the `client_secret` parameter")
_TEXT_FIELDS = ("error_description", "message", "hint")


def read_token_response(response: Response, grant: Grant) -> TokenSet:
    """The token set in the answer; raises what DESIGN's failure table says.

    InvalidGrant, InvalidTokenResponse, ThanksIOConfigurationError, OutcomeUnknown, Throttled, and for a
    refresh token TokenUndecryptable.
    """
    result = _judge(response, grant)
    del response  # the traceback keeps this frame's locals, and the body may hold live tokens
    if isinstance(result, TokenSet):
        return result
    raise result


def _judge(response: Response, grant: Grant) -> TokenSet | Exception:
    status = response.status
    if status in (429, 503):
        return Throttled(retry_after=parse_retry_after(response.headers.get("Retry-After")))
    if status >= 500:
        return OutcomeUnknown(code="server_error")
    if 200 <= status < 300:
        # By now the pair that was presented is spent: whatever good tokens there are, in any spelling, are taken.
        return _token_set(_load(response.body))
    body = _load(response.body, object_pairs_hook=_unique)
    if status < 400:
        return InvalidTokenResponse(code="redirect")
    if body is None:
        return InvalidTokenResponse(code=f"http_{status}")
    return _judge_error(body, grant, status, response)


def _token_set(body: dict[str, Any] | None) -> TokenSet | Exception:
    try:
        return TokenSet.from_response(body or {})
    except InvalidTokenResponse:
        return InvalidTokenResponse()  # a fresh one: the other's traceback has frames that hold the body


def _judge_error(body: dict[str, Any], grant: Grant, status: int, response: Response) -> Exception:
    error = body.get("error")
    code = error if isinstance(error, str) and error in _KNOWN_CODES else None
    text = " ".join(value for name in _TEXT_FIELDS if isinstance(value := body.get(name), str)).lower()
    told = _judge_text(text, grant)
    if told is not None:
        return told
    if code == "invalid_request" and any(phrase in text for phrase in _CLIENT_PARAMETERS):
        code = "invalid_client"
    if code in _CONFIGURATION_CODES[grant]:
        return ThanksIOConfigurationError(
            f"thanks.io refuses this site's OAuth client ({code}). Check THANKSIO_CLIENT_ID, "
            "THANKSIO_CLIENT_SECRET, THANKSIO_SCOPES and the redirect URI that is registered for the client.",
            code=code or "",
        )
    dead = _DEAD_REFRESH_TOKEN if grant == "refresh_token" else _DEAD_CODE
    if code == "invalid_grant" or (code == "invalid_request" and any(phrase in text for phrase in dead)):
        return InvalidGrant()
    if error == "temporarily_unavailable":
        return Throttled(retry_after=parse_retry_after(response.headers.get("Retry-After")))
    return InvalidTokenResponse(code=code or f"http_{status}")


def _judge_text(text: str, grant: Grant) -> Exception | None:
    """What the words say, whatever the code beside them."""
    if grant == "refresh_token":
        if "cannot decrypt" in text:
            unreadable = TokenUndecryptable(
                "thanks.io can't read the refresh token that was sent. Check that FIELD_ENCRYPTION_KEY is "
                "the key that it was encrypted with and that THANKSIO_TOKEN_URL is right. Nothing was lost."
            )
            unreadable.said_by_thanksio = True
            return unreadable
        if "not linked to client" in text:
            return InvalidGrant(
                "thanks.io gave this refresh token to another OAuth client: the connection was imported, or "
                "THANKSIO_CLIENT_ID was changed. Its owner has to connect again.",
                code="other_client",
            )
    elif any(phrase in text for phrase in _REDIRECT_URI):  # not the standard's long text, which names it too
        return ThanksIOConfigurationError(
            "thanks.io refuses the redirect URI. THANKSIO_REDIRECT_URI (or the callback's URL) must be "
            "exactly the one that is registered for the OAuth client.",
            code="redirect_uri_mismatch",
        )
    return None


def _load(body: bytes, **options: Any) -> dict[str, Any] | None:
    value, is_json = load_json(body, parse_int=_parse_int, **options)
    return value if is_json and isinstance(value, dict) else None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An error that names a member twice says nothing certain."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("duplicate member")
    return members


def _parse_int(text: str) -> int | float:
    """An absurd ``expires_in`` must not cost the tokens beside it (Python refuses very long numbers)."""
    return int(text) if len(text) <= 20 else math.inf
