"""Read what thanks.io sent back with the browser (RFC 6749 4.1.2), and hide it from everybody else.

Nothing in here is believed: :mod:`.callback` asks for the state first.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlencode

from django.core.exceptions import SuspiciousOperation
from django.http import HttpRequest, QueryDict
from django.views.decorators.debug import sensitive_variables

from ..client.tokens import Secret
from ..exceptions import InvalidState
from .browser import digest
from .trackers import ADDRESS_HEADERS, scrub_trackers, without_query_text

RETURNED_FIELD = "returned"
_FIELDS = ("state", "code", "error", "error_description", "iss", RETURNED_FIELD)
_MAX_LENGTHS = {"state": 256, "code": 8192, "iss": 512, RETURNED_FIELD: 8}
# The servers' own copies of the address, and the headers.
_ADDRESSES = ("REQUEST_URI", "RAW_URI", *(f"HTTP_{name.upper().replace('-', '_')}" for name in ADDRESS_HEADERS))
_TRUNCATED_LENGTHS = {"error": 100, "error_description": 200}


@dataclass(frozen=True, slots=True, repr=False)
class AuthorizationResponse:
    """The callback's parameters. ``error`` and ``error_description`` are cut and safe to log, not to show.

    ``returns`` counts how often a page of ours has navigated here again, from our own site.
    """

    state: Secret
    code: Secret | None
    error: str
    error_description: str
    iss: str
    returns: int

    @property
    def state_digest(self) -> str:
        """What the database knows of the state."""
        return digest(self.state)

    def query_again(self) -> Secret:
        """The same parameters, to navigate here once more from our own site."""
        values = {
            "state": self.state.reveal(),
            "code": self.code.reveal() if self.code else "",
            "error": self.error,
            "error_description": self.error_description,
            "iss": self.iss,
            RETURNED_FIELD: str(self.returns + 1),
        }
        return Secret(urlencode({name: value for name, value in values.items() if value}))


@sensitive_variables()
def take_response(request: HttpRequest) -> AuthorizationResponse:
    """Read the parameters and remove them from the request.

    Without the removal every error report, request log and debug page of this request would show the code and
    the state. Raises :class:`InvalidState` (code ``malformed``) for a repeated (RFC 6749 3.1) or an oversized
    parameter, ``missing_state`` without a state, ``missing_code`` with neither a code nor an error.
    """
    try:
        query = request.GET
    except SuspiciousOperation:  # thousands of parameters
        query = None
    hide_query(request)
    if query is None or any(len(query.getlist(name)) > 1 for name in _FIELDS):
        raise InvalidState(code="malformed")
    values = {name: query.get(name, "") for name in _FIELDS}
    for name, length in _MAX_LENGTHS.items():
        if len(values[name]) > length or not values[name].isprintable():
            raise InvalidState(code="malformed")
    if not values["state"]:
        raise InvalidState(code="missing_state")
    if not values["code"] and not values["error"]:
        raise InvalidState(code="missing_code")
    return AuthorizationResponse(
        state=Secret(values["state"]),
        code=Secret(values["code"]) if values["code"] else None,
        error=_loggable(values, "error"),
        error_description=_loggable(values, "error_description"),
        iss=values["iss"],
        returns=_count(values[RETURNED_FIELD]),
    )


def _count(text: str) -> int:
    """Anything but nothing counts as once at least: nobody is sent in a circle."""
    return max(1, int(text)) if re.fullmatch(r"[0-9]+", text) else int(bool(text))


def _loggable(values: dict[str, str], name: str) -> str:
    text = values[name][: _TRUNCATED_LENGTHS[name]]
    return "".join(char if " " <= char <= "~" else "?" for char in text)


def hide_query(request: HttpRequest) -> None:
    """Remove the query from the request, wherever the server, a proxy or an error tracker has put a copy."""
    request.GET = QueryDict()
    request.META["QUERY_STRING"] = ""
    for name in _ADDRESSES:
        if name in request.META:
            request.META[name] = without_query_text(str(request.META[name]))
    request.__dict__.pop("headers", None)  # Django's own copy, where a middleware has looked into it
    scope = getattr(request, "scope", None)
    if isinstance(scope, dict):  # ASGI
        scope["query_string"] = b""
        scope["headers"] = [_without_query_header(name, value) for name, value in scope.get("headers", ())]
    scrub_trackers()


def _without_query_header(name: bytes, value: bytes) -> tuple[bytes, bytes]:
    is_address = name.decode("latin-1").title() in ADDRESS_HEADERS
    return name, value.partition(b"?")[0] if is_address else value
