"""The OAuth 2.0 client: authorization URL, code exchange, refresh, revocation (RFC 6749, RFC 7636, RFC 7009)."""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from ..exceptions import InvalidGrant, InvalidTokenResponse, OAuthError
from .token_response import Grant, read_token_response
from .tokens import Secret, TokenSet
from .transport import Reuse, Transport


@dataclass(frozen=True)
class OAuthConfig:
    """The registration of this site at thanks.io, and thanks.io's token endpoint: what a renewal needs, and no more."""

    client_id: str
    client_secret: Secret
    token_url: str


class OAuthClient:
    """Speaks to the authorization server. Nothing is stored and nothing is sent twice."""

    def __init__(self, config: OAuthConfig, transport: Transport) -> None:
        self.config = config
        self.transport = transport

    def exchange_code(self, *, code: Secret, redirect_uri: str, code_verifier: Secret | None) -> TokenSet:
        """Trade an authorization code for tokens (RFC 6749 4.1.3). It works once: send again only on NotSent.

        Raises InvalidGrant (the code is dead), InvalidTokenResponse, NotSent, OutcomeUnknown, Throttled, and
        ThanksIOConfigurationError if thanks.io refuses the client or its redirect URI.
        """
        form: dict[str, str | Secret] = {"redirect_uri": redirect_uri, "code": code}
        if code_verifier is not None:
            form["code_verifier"] = code_verifier
        return self._post("authorization_code", form)

    def prove_client(self, *, redirect_uri: str = "") -> None:
        """Present a code that was never given: the server looks at the client before it looks at the code.

        Returns where the client's id and secret are accepted, and the redirect URI too if one is given and the server
        looks at it. Raises ThanksIOConfigurationError where they are refused, else as :meth:`exchange_code`. It touches
        no user, no token and no authorization.
        """
        form: dict[str, str | Secret] = {"code": f"thanksio-doctor-{secrets.token_urlsafe(16)}"}
        if redirect_uri:
            form["redirect_uri"] = redirect_uri
        try:
            self._post("authorization_code", form)
        except InvalidGrant:
            return
        raise InvalidTokenResponse(code="code_accepted")

    def refresh(self, refresh_token: Secret) -> TokenSet:
        """Trade a refresh token for new tokens (RFC 6749 6), which as a rule kills the old ones.

        Raises InvalidGrant (the refresh token is dead), TokenUndecryptable (thanks.io can't read it),
        InvalidTokenResponse, NotSent, OutcomeUnknown, Throttled, and ThanksIOConfigurationError if thanks.io
        refuses the client.
        """
        return self._post("refresh_token", {"refresh_token": refresh_token}, reuse=Reuse.LATELY)

    def revoke(self, revoke_url: str, token: Secret, token_type_hint: str) -> None:
        """Tell thanks.io that a token is no longer needed (RFC 7009 2.1). An unknown token is no error (2.2).

        ``token_type_hint`` is ``refresh_token`` or ``access_token``. Raises OAuthError (code ``not_revoked``) for an
        answer other than 200, NotSent, OutcomeUnknown, and ThanksIOConfigurationError.
        """
        form: dict[str, str | Secret] = {"token": token, "token_type_hint": token_type_hint}
        status = self.transport.send("POST", revoke_url, form=form | self._credentials()).status
        if status != 200:
            raise OAuthError(f"The revocation endpoint answered {status}.", code="not_revoked")

    def _credentials(self) -> dict[str, str | Secret]:
        """In the body, as thanks.io documents it."""
        return {"client_id": self.config.client_id, "client_secret": self.config.client_secret}

    def _post(self, grant: Grant, form: dict[str, str | Secret], *, reuse: Reuse = Reuse.NEVER) -> TokenSet:
        form = {"grant_type": grant} | self._credentials() | form
        # The answer is no local variable, because the traceback of an error would keep it.
        return read_token_response(self.transport.send("POST", self.config.token_url, form=form, reuse=reuse), grant)


def authorization_url(
    authorize_url: str,
    *,
    client_id: str,
    redirect_uri: str,
    state: str,
    scopes: Sequence[str] = (),
    code_challenge: str | None = None,
) -> str:
    """Where to send the browser (RFC 6749 4.1.1). A query that the endpoint already has is kept."""
    params = {"response_type": "code", "client_id": client_id, "redirect_uri": redirect_uri}
    if scopes:
        params["scope"] = " ".join(scopes)
    params["state"] = state
    if code_challenge is not None:
        params |= {"code_challenge": code_challenge, "code_challenge_method": "S256"}
    parts = urlsplit(authorize_url)
    kept = [pair for pair in parse_qsl(parts.query, keep_blank_values=True) if pair[0] not in params]
    return urlunsplit(parts._replace(query=urlencode([*kept, *params.items()]), fragment=""))


def new_code_verifier() -> Secret:
    """A code verifier of 64 unreserved characters (RFC 7636 4.1)."""
    return Secret(secrets.token_urlsafe(48))


def s256_challenge(verifier: Secret) -> str:
    """The code challenge of a verifier (RFC 7636 4.2, S256)."""
    digest = hashlib.sha256(verifier.reveal().encode("ascii")).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")
