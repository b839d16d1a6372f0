"""Authorization codes with PKCE (RFC 6749 4.1.2, RFC 7636)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass

from thanksio_connect.testing.grants import Grant
from thanksio_connect.testing.refusals import Refused

CODE_LIFETIME_SECONDS = 600.0
_VERIFIER = re.compile(r"[A-Za-z0-9\-._~]{43,128}")  # RFC 7636 4.1


@dataclass(eq=False, repr=False)
class AuthorizationCode:
    """A one-time code (RFC 6749 4.1.2) with what it was asked for."""

    value: str
    client_id: str
    user_id: str
    redirect_uri: str
    scope: str
    expires_at: float
    code_challenge: str | None = None
    code_challenge_method: str = "plain"
    grant: Grant | None = None

    def __repr__(self) -> str:
        return f"<AuthorizationCode {'used' if self.grant else 'unused'}>"

    def check_verifier(self, verifier: str | None) -> None:
        """Raise :class:`Refused` unless the verifier fits the challenge (RFC 7636 4.6)."""
        if self.code_challenge is None:
            if verifier is not None:  # the PKCE downgrade of RFC 9700 4.8
                raise Refused("unexpected_code_verifier")
            return
        if verifier is None:
            raise Refused("missing_code_verifier")
        if not _VERIFIER.fullmatch(verifier):
            raise Refused("malformed_code_verifier")
        computed = verifier
        if self.code_challenge_method == "S256":
            digest = hashlib.sha256(verifier.encode("ascii")).digest()
            computed = base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")
        if not hmac.compare_digest(computed, self.code_challenge):
            raise Refused("wrong_code_verifier")
