"""Values that must never be shown: a secret, and the token set of an RFC 6749 5.1 answer."""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from ..exceptions import InvalidTokenResponse

LONGEST_LIFETIME_SECONDS = 10 * 366 * 24 * 3600
"""A lifetime beyond this is taken for a mistake (milliseconds, or a point in time)."""

BEARER = "Bearer"
_TOKEN = re.compile(r"[\x21-\x7e]+")  # RFC 6749 A.12 allows spaces too, but no header could carry them intact
_NUMBER = re.compile(r"[0-9]{1,12}(\.[0-9]{1,6})?")
_SCOPE = re.compile(r"[\x20-\x7e]*")


class Secret:
    """Text that is shown only to those who call :meth:`reveal`. Compares in constant time."""

    __slots__ = ("_value",)

    def __init__(self, value: str | Secret) -> None:
        text = value.reveal() if isinstance(value, Secret) else value
        if not isinstance(text, str):
            raise TypeError("A Secret holds a str.")
        self._value: str = text

    def reveal(self) -> str:
        """The text itself. Keep it out of local variables: tracebacks are recorded with them."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    def __str__(self) -> str:
        return "***"

    def __format__(self, format_spec: str) -> str:
        return "***"

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(_bytes(self._value), _bytes(other._value))

    def __hash__(self) -> int:
        return hash((Secret, self._value))


@dataclass(frozen=True, slots=True, repr=False, init=False)
class TokenSet:
    """An access token and what came with it. ``expires_in`` is in seconds, ``expires_at`` is aware (UTC).

    ``expires_at`` is computed from a usable ``expires_in`` if it is not given; None means that nobody knows.
    Raises ValueError with a sentence that names the unusable field and not its value.
    """

    access_token: str
    refresh_token: str | None = None
    expires_in: int | None = None
    token_type: str = BEARER
    scope: str = ""
    expires_at: datetime | None = None

    def __init__(
        self,
        access_token: str,
        refresh_token: str | None = None,
        expires_in: int | None = None,
        token_type: str = BEARER,
        scope: str = "",
        expires_at: datetime | None = None,
    ) -> None:
        problem = ""
        if not is_usable_token(access_token):
            problem = "access_token must be non-empty ASCII text without spaces and control characters."
        elif refresh_token is not None and not is_usable_token(refresh_token):
            problem = "refresh_token must be None or non-empty ASCII text without spaces and control characters."
        elif not isinstance(token_type, str) or not isinstance(scope, str):
            problem = "token_type and scope must be text."
        elif expires_at is not None and not (isinstance(expires_at, datetime) and expires_at.tzinfo):
            problem = "expires_at must be None or an aware datetime."
        if problem:
            del access_token, refresh_token, token_type, scope  # the traceback keeps this frame's locals
            raise ValueError(problem)
        expires_in = _usable_lifetime(expires_in)
        if expires_at is not None:
            expires_at = expires_at.astimezone(UTC)
        elif expires_in is not None:
            expires_at = datetime.now(UTC) + timedelta(seconds=expires_in)
        # A frozen dataclass is filled in like this by its generated __init__ too.
        object.__setattr__(self, "access_token", access_token)
        object.__setattr__(self, "refresh_token", refresh_token)
        object.__setattr__(self, "expires_in", expires_in)
        object.__setattr__(self, "token_type", token_type)
        object.__setattr__(self, "scope", scope)
        object.__setattr__(self, "expires_at", expires_at)

    def __repr__(self) -> str:
        expires_at = getattr(self, "expires_at", None)  # unset while __init__ refuses its arguments
        return f"{type(self).__name__}(***, expires_at={expires_at})"

    @classmethod
    def from_response(cls, body: Mapping[str, object]) -> TokenSet:
        """Read a token endpoint's 2xx body (RFC 6749 5.1); raises InvalidTokenResponse if it isn't usable.

        The pair that was presented is spent by now, so whatever can be used is used: an unusable
        ``expires_in`` is an unknown expiry, an unusable ``refresh_token`` is a missing one.
        """
        token_set = _parse(body)
        del body  # the traceback keeps this frame's locals
        if token_set is None:
            raise InvalidTokenResponse
        return token_set


def is_usable_token(value: object) -> bool:
    """Whether a header and a form can carry the token unharmed."""
    return isinstance(value, str) and _TOKEN.fullmatch(value) is not None


def jwt_expiry(token: str) -> datetime | None:
    """The ``exp`` claim of an access token that happens to be a JWT (RFC 7519 4.1.4), if it lies ahead.

    The signature is not checked: a hint for when to renew, never a reason to trust. Never raises.
    """
    if not isinstance(token, str):
        return None
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        payload = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))
        claims = json.loads(payload)
    except (ValueError, binascii.Error, RecursionError):
        return None
    exp = claims.get("exp") if isinstance(claims, dict) else None
    if isinstance(exp, bool) or not isinstance(exp, int | float) or not abs(exp) < 1e11:
        return None
    lifetime = exp - datetime.now(UTC).timestamp()
    if not 0 < lifetime <= LONGEST_LIFETIME_SECONDS:
        return None
    return datetime.fromtimestamp(exp, UTC)


def _parse(body: Mapping[str, object]) -> TokenSet | None:
    access_token = body.get("access_token")
    if not isinstance(access_token, str) or not is_usable_token(access_token):
        return None
    token_type = body.get("token_type")
    if token_type is not None and not (isinstance(token_type, str) and token_type.lower() == "bearer"):
        return None
    refresh_token = body.get("refresh_token")
    expires_in = _usable_lifetime(body.get("expires_in"))
    return TokenSet(
        access_token=access_token,
        refresh_token=refresh_token if isinstance(refresh_token, str) and is_usable_token(refresh_token) else None,
        expires_in=expires_in,
        scope=_scope(body.get("scope")),
        expires_at=jwt_expiry(access_token) if expires_in is None else None,
    )


def _usable_lifetime(value: object) -> int | None:
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 1 <= value <= LONGEST_LIFETIME_SECONDS else None


def _scope(value: object) -> str:
    if isinstance(value, list) and all(isinstance(scope, str) for scope in value):
        value = " ".join(value)
    return value if isinstance(value, str) and _SCOPE.fullmatch(value) else ""


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
