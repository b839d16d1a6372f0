"""How a request is authorised. As auth objects, because requests replaces a bare header by ``.netrc``'s."""

from __future__ import annotations

import requests
from requests.auth import AuthBase

from .tokens import Secret, is_usable_token


class BearerAuth(AuthBase):
    """``Authorization: Bearer`` (RFC 6750 2.1). Raises ValueError for a token that no header can carry."""

    def __init__(self, access_token: Secret) -> None:
        if not is_usable_token(access_token.reveal()):
            raise ValueError("The access token must be non-empty ASCII without spaces and control characters.")
        self._access_token = access_token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._access_token.reveal()}"
        return request

    def __repr__(self) -> str:
        return "BearerAuth(***)"


class NoAuth(AuthBase):
    """Adds nothing, and keeps requests from looking into ``.netrc``."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request
