"""Tokens of the size and look of Laravel Passport's: JWTs of about 1 kB, refresh tokens of 700 characters."""

import base64
import json
import secrets
import time

from oauth2_provider.settings import oauth2_settings
from oauthlib.common import Request


def access_token(request: Request, refresh_token: bool = False) -> str:
    """A JWT with right claims and a random signature: the sandbox looks tokens up, it verifies none."""
    now = time.time()
    claims = {
        "aud": request.client.client_id,
        "jti": secrets.token_hex(40),
        "iat": now,
        "nbf": now,
        "exp": now + oauth2_settings.ACCESS_TOKEN_EXPIRE_SECONDS,
        "sub": str(request.user.pk),
        "scopes": [],
    }
    signature = base64.urlsafe_b64encode(secrets.token_bytes(512)).rstrip(b"=").decode()
    return f"{_part({'typ': 'JWT', 'alg': 'RS256'})}.{_part(claims)}.{signature}"


def refresh_token(request: Request, refresh_token: bool = False) -> str:
    return secrets.token_hex(350)


def _part(value: dict[str, object]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()
