"""Tokens that look like Laravel Passport's: JWTs of about 1 kB, and refresh tokens of some 700 characters."""

from __future__ import annotations

import base64
import json
import secrets

PASSPORT_REFRESH_LENGTH = 720
_SIGNATURE_BYTES = 512  # RS256 with Passport's 4096-bit key


def _segment(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def mint_access_token(
    *,
    user_id: str,
    client_id: str,
    issued_at: float,
    expires_at: float,
    jwt: bool = True,
    length: int | None = None,
) -> str:
    """Return a new access token. Its signature is noise: nobody but the fake itself may trust it.

    ``length`` (characters) asks for an opaque token of exactly that length instead of a JWT.
    """
    if length is not None or not jwt:
        return mint_opaque(length or 64)
    claims = {
        "aud": client_id,
        "jti": secrets.token_hex(40),
        "iat": int(issued_at),
        "nbf": int(issued_at),
        "exp": int(expires_at),
        "sub": user_id,
        "scopes": [],
    }
    header = _segment(json.dumps({"typ": "JWT", "alg": "RS256"}).encode("ascii"))
    return f"{header}.{_segment(json.dumps(claims).encode())}.{_segment(secrets.token_bytes(_SIGNATURE_BYTES))}"


def mint_opaque(length: int) -> str:
    """Return a random token of exactly ``length`` characters (at least 16), hexadecimal as league's are."""
    return secrets.token_hex(max(length, 16) // 2 + 1)[: max(length, 16)]
