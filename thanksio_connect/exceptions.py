"""Everything that this app raises.

::

    ThanksIOConfigurationError(ImproperlyConfigured)   the site's settings are wrong: not a ThanksIOError, on purpose
    ThanksIOError                        code, retryable
    ├─ OAuthError                        InvalidState · InvalidGrant · InvalidTokenResponse
    ├─ TransportError                    NotSent · OutcomeUnknown · Throttled (retry_after)
    ├─ UnsendableValue(TypeError)        field
    ├─ SendOnceRefused                   code
    ├─ APIError                          status_code, code, errors, request_id
    │     Unauthorized 401 · PaymentRequired 402 · Forbidden 403 · NotFound 404 · Conflict 409
    │     InvalidRequest 400/422 · RateLimited 429 · ServerError 5xx
    └─ ConnectionStateError              NotConnected · ReconnectRequired · RefreshInProgress · TokenUndecryptable

``str()`` of each is a fixed sentence that says what to do, plus safe codes: never a response body, a token or a URL's
query.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from django.core.exceptions import ImproperlyConfigured


class ThanksIOConfigurationError(ImproperlyConfigured):
    """A setting is missing or wrong, or thanks.io refuses this site's client id, secret or redirect URI.

    Nothing that a user does can heal it, so code that handles :class:`ThanksIOError` does not swallow it.
    """

    def __init__(self, message: str, *, code: str = "configuration") -> None:
        self.code = code
        super().__init__(message)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, self.__dict__)


class ThanksIOError(Exception):
    """Base of every runtime error. ``code`` is machine-readable; ``retryable`` says whether trying later can help."""

    sentence: ClassVar[str] = "The request to thanks.io failed."
    code: str = "error"
    retryable: bool = False

    def __init__(self, sentence: str | None = None, *, code: str | None = None) -> None:
        if code is not None:
            self.code = code
        text = sentence or self.sentence
        super().__init__(f"{text} [{self.code}]")

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, self.__dict__)


def _rebuild(cls: type[Exception], args: tuple[Any, ...], state: dict[str, Any]) -> Exception:
    """Unpickle without running ``__init__`` again (workers send exceptions between processes)."""
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(state)
    return error


class OAuthError(ThanksIOError):
    """The OAuth 2.0 conversation went wrong (RFC 6749 sections 4.1.2.1 and 5.2)."""

    code = "oauth_error"


class InvalidState(OAuthError):
    """The callback's ``state`` belongs to no open authorization request of this user and browser (RFC 6749 10.12)."""

    sentence = "This authorization was not started here, has expired or was already used. Start again."
    code = "invalid_state"


class InvalidGrant(OAuthError):
    """thanks.io says that the authorization code or the refresh token is dead (RFC 6749 5.2 ``invalid_grant``)."""

    sentence = "thanks.io no longer accepts this grant. Connect again."
    code = "invalid_grant"


class InvalidTokenResponse(OAuthError):
    """The token endpoint answered, but with no usable token set: a proxy's page, a redirect, a malformed body."""

    sentence = "thanks.io's token endpoint gave an answer that is no token response. Try again later."
    code = "invalid_token_response"
    retryable = True


class TransportError(ThanksIOError):
    """No usable HTTP answer."""

    code = "transport_error"
    retryable = True
    cause_name: str = ""
    """The class of the underlying exception, which itself is not kept: it would carry the request."""


class NotSent(TransportError):
    """Failed before a byte of the request was sent (DNS, connection refused, TLS): safe to send again.

    ``reason`` is ``certificate``, ``tls``, ``proxy``, ``dns``, ``refused``, ``timeout`` or empty; ``root_name`` the
    class of the exception at the bottom; ``detail`` what OpenSSL says of a certificate.
    """

    sentence = "thanks.io could not be reached; nothing was sent. Try again."
    code = "not_sent"

    reason: str = ""
    root_name: str = ""
    detail: str = ""


class OutcomeUnknown(TransportError):
    """The request was sent and no usable answer came: thanks.io may or may not have acted on it."""

    sentence = "thanks.io did not answer in full; it may or may not have acted on the request."
    code = "outcome_unknown"


class Throttled(TransportError):
    """The token endpoint answered 429 or 503. ``retry_after`` is in seconds, or None when it did not say."""

    sentence = "thanks.io asks to wait before the next request."
    code = "throttled"

    def __init__(self, sentence: str | None = None, *, code: str | None = None, retry_after: float | None = None):
        self.retry_after = retry_after
        super().__init__(sentence, code=code)


class UnsendableValue(ThanksIOError, TypeError):
    """A value that can't be written as JSON. Nothing was sent. ``field`` says where it stands, never what it is."""

    sentence = "A value can't be sent to thanks.io."
    code = "unsendable_value"

    def __init__(self, field: str, problem: str) -> None:
        self.field = field
        super().__init__(f"The value of {field or 'the body'} can't be sent to thanks.io: it {problem}.")


class SendOnceRefused(ThanksIOError):
    """``send_once()`` sent nothing. ``code``: ``other_fields``, ``in_transaction`` or ``preview``."""

    sentence = "Under this key nothing was sent now."
    code = "send_once_refused"


class APIError(ThanksIOError):
    """thanks.io's API answered with an error status.

    ``code`` is thanks.io's machine-readable code where it gave one (else one of ours); ``errors`` maps a field name
    to messages, or ``""`` to general ones; both are data for the caller and stand in no log line and no ``str()``.
    ``message`` is thanks.io's own sentence, unescaped. ``request_id`` helps thanks.io's support. ``details`` holds
    what else the answer names by id: after a 409 the ``mailing_list_id`` or ``order_id`` of the first purchase.
    """

    sentence = "thanks.io's API refused the request."
    code = "api_error"

    def __init__(
        self,
        sentence: str | None = None,
        *,
        status_code: int,
        code: str | None = None,
        message: str = "",
        errors: Mapping[str, Sequence[str]] | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
        details: Mapping[str, int] | None = None,
    ) -> None:
        self.status_code = status_code
        self.message = message
        self.errors = {field: list(messages) for field, messages in (errors or {}).items()}
        self.request_id = request_id
        self.retry_after = retry_after
        self.details = dict(details or {})
        super().__init__(f"{sentence or self.sentence} (HTTP {status_code})", code=code)


class Unauthorized(APIError):
    """401: the token was refused even after a renewal, or the object belongs to another account."""

    sentence = "thanks.io did not accept the access token, or the object belongs to another account."
    code = "unauthorized"


class PaymentRequired(APIError):
    """402: the account has a payment problem or lacks a plan. The connection itself is fine."""

    sentence = "thanks.io asks the account's owner to settle a payment or to change the plan."
    code = "payment_required"


class Forbidden(APIError):
    """403."""

    sentence = "thanks.io does not allow this account to do that."
    code = "forbidden"


class NotFound(APIError):
    """404."""

    sentence = "thanks.io does not know the object."
    code = "not_found"


class Conflict(APIError):
    """409: the same purchase was made a moment ago."""

    sentence = "thanks.io refused a duplicate of an earlier request."
    code = "conflict"


class InvalidRequest(APIError):
    """400 or 422: see ``errors`` and ``message``."""

    sentence = "thanks.io refused the request's data; see .errors and .message."
    code = "invalid_request"


class RateLimited(APIError):
    """429. ``retry_after`` is in seconds, or None."""

    sentence = "thanks.io's rate limit is reached. Try again later."
    code = "rate_limited"
    retryable = True


class ServerError(APIError):
    """5xx: for a request that creates or pays for something, look before you send it again."""

    sentence = "thanks.io had an internal error."
    code = "server_error"
    retryable = True


class ConnectionStateError(ThanksIOError):
    """The user's connection can't be used as it is."""

    code = "connection_state"


class NotConnected(ConnectionStateError):
    """The user has no thanks.io connection (or it was disconnected meanwhile)."""

    sentence = "This user is not connected to thanks.io. Show the Connect button."
    code = "not_connected"


class ReconnectRequired(ConnectionStateError):
    """thanks.io no longer accepts the connection's grant: only its owner can connect it again."""

    sentence = "This thanks.io connection needs its owner to connect again. Show the Reconnect button."
    code = "reconnect_required"


class RefreshInProgress(ConnectionStateError):
    """Somebody else is renewing this connection and was not done in time. Nothing is lost: try again."""

    sentence = "The tokens are being renewed elsewhere. Try again in a moment."
    code = "refresh_in_progress"
    retryable = True


class TokenUndecryptable(ConnectionStateError):
    """A stored token can't be decrypted with ``FIELD_ENCRYPTION_KEY``; it is kept, and works again with that key.

    ``said_by_thanksio``: ours could be, and thanks.io can't read what was in it.
    """

    said_by_thanksio = False

    sentence = (
        "A stored thanks.io token can't be decrypted. Put the key that it was encrypted with "
        "(back) into the FIELD_ENCRYPTION_KEY setting; nothing was overwritten."
    )
    code = "undecryptable"
