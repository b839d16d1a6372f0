"""The client of thanks.io's API v2. A POST may cost money: nothing is ever sent twice by itself.

The one exception is a request that was refused with 401 ``Unauthenticated``: thanks.io did nothing, so it is
sent once more with a renewed token.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from .api_errors import api_error, invalid_response, is_token_refused
from .auth import BearerAuth
from .mailers import Mailers
from .tokens import Secret
from .transport import MIB, Response, Transport, load_json
from .urls import join_api_url

MAX_BODY_BYTES = 32 * MIB
"""A page of 10,000 recipients is some megabytes."""

_BINARY_TYPES = ("image/", "application/pdf", "application/octet-stream")


class TokenSource(Protocol):
    """Where the client has its access token from: a connection, or whatever can do the same."""

    def get_access_token(self) -> str:
        """A usable access token."""

    def renew(self, rejected_access_token: Secret) -> None:
        """See to it that the next token is another than the rejected one, or raise."""


class ThanksIOClient:
    """Calls the API as one connected account.

    ``get``, ``post``, ``put``, ``patch`` and ``delete`` give back the decoded JSON, None for an empty answer,
    or bytes for an image. They raise the :class:`~thanksio_connect.exceptions.APIError` tree, ``NotSent`` and
    ``OutcomeUnknown``, whatever the token source raises, and ValueError for a path that leaves ``api_url``.
    """

    def __init__(self, *, api_url: str, transport: Transport, tokens: TokenSource) -> None:
        self.send = Mailers(self, "/send")
        self.estimate = Mailers(self, "/estimate")
        self._api_url = api_url
        self._transport = transport
        self._tokens = tokens

    def get(self, path: str, *, params: Mapping[str, Any] | None = None, json: object = None) -> Any:
        """Read. ``path`` is sent as given: ``/mailing-lists/`` ends with a slash, ``/webhooks`` does not."""
        return self._call("GET", path, params, json)

    def post(self, path: str, *, params: Mapping[str, Any] | None = None, json: object = None) -> Any:
        """Create. After ``OutcomeUnknown`` or ``ServerError`` look before you send it again."""
        return self._call("POST", path, params, json)

    def put(self, path: str, *, params: Mapping[str, Any] | None = None, json: object = None) -> Any:
        """Replace, or cancel an order."""
        return self._call("PUT", path, params, json)

    def patch(self, path: str, *, params: Mapping[str, Any] | None = None, json: object = None) -> Any:
        """Change."""
        return self._call("PATCH", path, params, json)

    def delete(self, path: str, *, params: Mapping[str, Any] | None = None, json: object = None) -> Any:
        """Delete."""
        return self._call("DELETE", path, params, json)

    def _call(self, method: str, path: str, params: Mapping[str, Any] | None, json: object) -> Any:
        url = join_api_url(self._api_url, path)
        access_token = Secret(self._tokens.get_access_token())
        response = self._send(method, url, params, json, access_token)
        if is_token_refused(response):
            self._tokens.renew(access_token)
            renewed_token = Secret(self._tokens.get_access_token())
            if renewed_token != access_token:
                response = self._send(method, url, params, json, renewed_token)
        if not 200 <= response.status < 300:
            raise api_error(response)
        return _decode(response)

    def _send(
        self, method: str, url: str, params: Mapping[str, Any] | None, json: object, access_token: Secret
    ) -> Response:
        return self._transport.send(
            method,
            url,
            params=params,
            json=json,
            auth=BearerAuth(access_token),
            max_body_bytes=MAX_BODY_BYTES,
        )


def _decode(response: Response) -> Any:
    if response.status == 204 or not response.body:
        return None
    if response.headers.get("Content-Type", "").lower().startswith(_BINARY_TYPES):
        return response.body
    value, is_json = load_json(response.body)
    if not is_json:
        raise invalid_response(response)
    return value
