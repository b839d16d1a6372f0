"""The provider's token logic, after league/oauth2-server: who may have which tokens, and what kills them.

Thread-safe, and independent of HTTP: the endpoints call it, and so may a test.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from thanksio_connect.testing.codes import CODE_LIFETIME_SECONDS, AuthorizationCode
from thanksio_connect.testing.grants import (
    CODE_REUSE,
    EXPIRED,
    REUSE,
    REVOKED_BY_USER,
    ROTATED,
    Grant,
    Pair,
    Token,
)
from thanksio_connect.testing.minting import PASSPORT_REFRESH_LENGTH, mint_access_token, mint_opaque
from thanksio_connect.testing.refusals import Refused


class Provider:
    """Grants and tokens. Lifetimes are in seconds; the attributes may be changed while it runs.

    ``rotate``: a refresh kills the refresh token that was used (the access token dies in either case).
    ``reuse_detection``: presenting a rotated refresh token kills the whole grant (RFC 9700 4.14.2).
    """

    def __init__(
        self,
        *,
        rotate: bool = True,
        reuse_detection: bool = False,
        access_token_seconds: float = 3600.0,
        refresh_token_seconds: float = 30 * 86400.0,
        jwt: bool = True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.rotate = rotate
        self.reuse_detection = reuse_detection
        self.access_token_seconds = access_token_seconds
        self.refresh_token_seconds = refresh_token_seconds
        self.jwt = jwt
        self.clock = clock
        self.grants: list[Grant] = []
        self._tokens: dict[str, Token] = {}
        self._codes: dict[str, AuthorizationCode] = {}
        self._lock = threading.RLock()

    # Giving

    def issue(
        self,
        *,
        user_id: str,
        client_id: str,
        scope: str = "",
        expires_in: float | None = None,
        with_refresh_token: bool = True,
        token_length: int | None = None,
    ) -> Pair:
        """Start a grant and return its first pair. A negative ``expires_in`` gives a stale access token."""
        with self._lock:
            grant = Grant(f"grant-{len(self.grants) + 1}", user_id, client_id, scope)
            self.grants.append(grant)
            refresh = self._mint_refresh(grant, token_length) if with_refresh_token else None
            return self._add_pair(grant, "issued", refresh, expires_in, token_length)

    def refresh(
        self,
        refresh_token: str,
        *,
        client_id: str,
        keep_refresh_token: bool = False,
        token_length: int | None = None,
    ) -> Pair:
        """Spend a refresh token for the next pair, or raise :class:`Refused`.

        ``keep_refresh_token``: give no new refresh token; the old one stays good (RFC 6749 section 6).
        """
        with self._lock:
            token = self._tokens.get(refresh_token)
            if token is None or token.kind != "refresh":
                raise Refused("undecryptable")
            grant = token.grant
            if grant.client_id != client_id:
                raise Refused("client_mismatch")
            if token.cause_of_death == ROTATED and self.reuse_detection:
                grant.die(REUSE, self.clock())
            if token.cause_of_death is not None:
                raise Refused("invalid_grant")
            if token.expires_at < self.clock():
                token.die(EXPIRED)
                grant.note(EXPIRED, token.pair_number, self.clock())
                raise Refused("refresh_expired")
            grant.pairs[token.pair_number - 1].access.die(ROTATED)
            if keep_refresh_token:
                return self._add_pair(grant, "refreshed", token, None, token_length)
            if self.rotate:
                token.die(ROTATED)
            return self._add_pair(grant, "refreshed", self._mint_refresh(grant, token_length), None, token_length)

    def authorize(
        self,
        *,
        client_id: str,
        user_id: str,
        redirect_uri: str,
        scope: str = "",
        code_challenge: str | None = None,
        code_challenge_method: str = "plain",
    ) -> AuthorizationCode:
        """Return a new authorization code: the user has said yes."""
        code = AuthorizationCode(
            value="def502" + mint_opaque(200),
            client_id=client_id,
            user_id=user_id,
            redirect_uri=redirect_uri,
            scope=scope,
            expires_at=self.clock() + CODE_LIFETIME_SECONDS,
            code_challenge=code_challenge,
            code_challenge_method=code_challenge_method,
        )
        with self._lock:
            self._codes[code.value] = code
        return code

    def exchange(
        self,
        code: str,
        *,
        client_id: str,
        redirect_uri: str | None,
        code_verifier: str | None,
        with_refresh_token: bool = True,
        token_length: int | None = None,
    ) -> Pair:
        """Spend an authorization code. A second use revokes what the first gave (RFC 6749 4.1.2)."""
        with self._lock:
            known = self._codes.get(code)
            if known is None:
                raise Refused("code_undecryptable")
            if self.clock() > known.expires_at:
                raise Refused("code_expired")
            if known.grant is not None:
                known.grant.die(CODE_REUSE, self.clock())
                raise Refused("code_used")
            if known.client_id != client_id:
                raise Refused("code_client_mismatch")
            if redirect_uri is None:
                raise Refused("missing_redirect_uri")
            if redirect_uri != known.redirect_uri:
                raise Refused("redirect_uri_mismatch")
            known.check_verifier(code_verifier)
            pair = self.issue(
                user_id=known.user_id,
                client_id=client_id,
                scope=known.scope,
                with_refresh_token=with_refresh_token,
                token_length=token_length,
            )
            known.grant = pair.access.grant
            return pair

    # Taking

    def revoke(self, grant: Grant, cause: str = REVOKED_BY_USER) -> None:
        """Kill a grant, as its user does in thanks.io's settings."""
        with self._lock:
            grant.die(cause, self.clock())

    def expire_access_token(self, grant: Grant) -> None:
        """Let every access token of the grant be past its time; refresh tokens stay good."""
        with self._lock:
            for pair in grant.pairs:
                pair.access.die(EXPIRED)
            grant.note("access_token_expired", grant.pairs[-1].number, self.clock())

    # Asking

    def find(self, token: str) -> Token | None:
        """Return what is known of an access or refresh token, dead or alive."""
        with self._lock:
            return self._tokens.get(token)

    def is_live(self, token: str) -> bool:
        """True if the provider would accept this access or refresh token now."""
        with self._lock:
            known = self._tokens.get(token)
            return known is not None and known.cause_of_death is None and known.expires_at >= self.clock()

    def live_pair(self, grant: Grant) -> Pair | None:
        """Return the newest pair whose refresh token (or, without one, access token) is accepted."""
        with self._lock:
            for pair in reversed(grant.pairs):
                if self.is_live((pair.refresh or pair.access).value):
                    return pair
            return None

    # Inside

    def _mint_refresh(self, grant: Grant, length: int | None) -> Token:
        value = mint_opaque(length) if length else "def502" + mint_opaque(PASSPORT_REFRESH_LENGTH)
        token = Token(value, "refresh", grant, self.clock() + self.refresh_token_seconds)
        self._tokens[value] = token
        return token

    def _add_pair(
        self, grant: Grant, what: str, refresh: Token | None, expires_in: float | None, length: int | None
    ) -> Pair:
        now = self.clock()
        expires_at = now + (self.access_token_seconds if expires_in is None else expires_in)
        value = mint_access_token(
            user_id=grant.user_id,
            client_id=grant.client_id,
            issued_at=now,
            expires_at=expires_at,
            jwt=self.jwt,
            length=length,
        )
        number = len(grant.pairs) + 1
        access = self._tokens[value] = Token(value, "access", grant, expires_at, number)
        if refresh is not None:
            refresh.pair_number = number
        pair = Pair(number, access, refresh)
        grant.pairs.append(pair)
        grant.note(what, number, now)
        return pair
