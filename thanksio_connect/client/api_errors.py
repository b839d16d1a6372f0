"""thanks.io's error bodies, of which there are nine shapes, as one tree of exceptions.

Seen in the vendor's specification and on the live API: ``{"message"}``; ``{"status", "message", "failure"}``;
the same with ``code`` (402, 409) and with ``error`` and a list of ``errors`` (402); Laravel's 422 with ``errors``
by field, with or without ``message``; ``{"status": "failed", "errors": [...]}``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ..exceptions import (
    APIError,
    Conflict,
    Forbidden,
    InvalidRequest,
    NotFound,
    PaymentRequired,
    RateLimited,
    ServerError,
    Unauthorized,
)
from .transport import Response, load_json, parse_retry_after

_CLASSES: dict[int, type[APIError]] = {
    400: InvalidRequest,
    401: Unauthorized,
    402: PaymentRequired,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    422: InvalidRequest,
    429: RateLimited,
}
_DEEPEST = 20  # a body may be nested deeper than Python can call
_CODE = re.compile(r"[a-z][a-z0-9_.-]{0,63}")
_REQUEST_ID = re.compile(r"[A-Za-z0-9_.:-]{1,128}")


def api_error(response: Response) -> APIError:
    """The exception for an answer outside 2xx."""
    body, _is_json = load_json(response.body)
    if not isinstance(body, dict):
        body = {}
    status = response.status
    if status >= 500:
        error_class: type[APIError] = ServerError
    else:
        error_class = _CLASSES.get(status, APIError)
    errors = _errors(body.get("errors"))
    return error_class(
        status_code=status,
        code=_code(body, response),
        message=_message(body, errors),
        errors=errors,
        request_id=_request_id(response),
        retry_after=parse_retry_after(response.headers.get("Retry-After")),
        details=_details(body),
    )


def invalid_response(response: Response) -> ServerError:
    """The exception for a 2xx that can't be read: thanks.io acted on the request, so look before a repeat."""
    return ServerError(
        "thanks.io accepted the request, but its answer can't be read; look before you send it again.",
        status_code=response.status,
        code="invalid_response",
        request_id=_request_id(response),
    )


def is_token_refused(response: Response) -> bool:
    """Whether a 401 is about the access token.

    ``{"message": "Unauthenticated."}``, or the challenge of RFC 6750 3.1. A 401 with any other body says that
    the object belongs to another account; a new token would change nothing about that.
    """
    if response.status != 401:
        return False
    body, _is_json = load_json(response.body)
    message = body.get("message") if isinstance(body, dict) else None
    if isinstance(message, str) and message.strip().rstrip(".").lower() == "unauthenticated":
        return True
    return 'error="invalid_token"' in response.headers.get("WWW-Authenticate", "")


def _details(body: dict[str, Any]) -> dict[str, int]:
    """A refused duplicate names what the first request made: ``mailing_list_id``, ``order_id``."""
    return {name: value for name, value in body.items() if name.endswith("_id") and type(value) is int}


def _code(body: dict[str, Any], response: Response) -> str | None:
    code = body.get("code")
    if isinstance(code, str) and _CODE.fullmatch(code):
        return code
    if is_token_refused(response):
        return "unauthenticated"
    return "redirect" if 300 <= response.status < 400 else None


def _message(body: dict[str, Any], errors: dict[str, list[str]]) -> str:
    for name in ("message", "error", "status"):
        text = body.get(name)
        if isinstance(text, str) and text.strip() and text not in ("failed", "success"):
            return text
    return " ".join(message for messages in errors.values() for message in messages)


def _errors(value: object) -> dict[str, list[str]]:
    by_field = value if isinstance(value, dict) else {"": value}
    flat = {str(name): list(texts(messages)) for name, messages in by_field.items()}
    return {name: messages for name, messages in flat.items() if messages}


def texts(value: object, depth: int = 0) -> Iterator[str]:
    """Yield the texts in a value, however deep thanks.io put them."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict) and depth < _DEEPEST:
        for item in value.values() if isinstance(value, dict) else value:
            yield from texts(item, depth + 1)


def _request_id(response: Response) -> str | None:
    for name in ("X-Request-Id", "CF-Ray"):
        value = response.headers.get(name, "").strip()
        if _REQUEST_ID.fullmatch(value):
            return value
    return None
