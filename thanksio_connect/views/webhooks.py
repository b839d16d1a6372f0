"""Where thanks.io's webhooks come in. Answers first, and tells the project then."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.debug import sensitive_variables

from ..client.interruption import is_interruption
from ..flows.webhooks import connection_at, take
from ..models import ThanksIOConnection
from ..records import record
from ..webhooks import WebhookEvent
from ..webhooks.payload import KNOWN_TYPES, MalformedPayload, parse
from .answers import outside_transactions

# An event has two kilobytes, and up to eight more of metadata.
MAX_BYTES = 256 * 1024
_ADDRESSES = ("PATH_INFO", "REQUEST_URI", "RAW_URI")


class AnswerFirst(HttpResponse):
    """Does what it is told once it has been sent: servers close an answer then. thanks.io does not wait for it."""

    def __init__(self, status: int, **headers: str) -> None:
        super().__init__(status=status, content_type="text/plain", headers={"Cache-Control": "no-store", **headers})
        self._waiting: list[Callable[[], None]] = []

    def later(self, task: Callable[[], None]) -> None:
        """Do it when the answer is closed; at once if it is."""
        if self.closed:
            task()
        else:
            self._waiting.append(task)

    def close(self) -> None:
        """Called by the server, after it has sent the answer. Django then closes the database connections."""
        waiting, self._waiting = self._waiting, []
        try:
            for task in waiting:
                task()
        finally:
            super().close()


class _Refused(Exception):
    """The request is no event for anybody here."""

    def __init__(self, status: int, code: str, connection: ThanksIOConnection | None = None, **headers: str) -> None:
        self.status, self.code, self.connection, self.headers = status, code, connection, headers
        super().__init__(code)


@outside_transactions
@login_not_required
@csrf_exempt
@sensitive_variables()
def receive_webhook(request: HttpRequest, token: str = "", **captured: Any) -> HttpResponse:
    """Note one event, and answer. Without a session, a login or a cookie: the address is the secret."""
    hide_address(request, token)
    response = AnswerFirst(200)
    try:
        _receive(request, token, response)
    except _Refused as refused:
        _log_refusal(refused)
        return AnswerFirst(refused.status, **refused.headers)
    except Exception as error:  # a report of it would show the frames that hold the address
        if is_interruption(error):
            raise
        record("webhook.not_noted", code=type(error).__name__)
        return AnswerFirst(503)
    return response


@sensitive_variables()
def _receive(request: HttpRequest, token: str, response: AnswerFirst) -> None:
    if request.method != "POST":
        raise _Refused(405, "method", Allow="POST")
    connection = connection_at(token)
    if connection is None:
        raise _Refused(404, "unknown_address")
    event = _parsed(request, connection)
    is_first = take(connection, event, response.later)
    record(
        "webhook.received",
        connection_id=connection.pk,
        user_id=connection.user_id,
        type=event.event_type if event.event_type in KNOWN_TYPES else "other",
        is_first=is_first,
    )


@sensitive_variables()
def _parsed(request: HttpRequest, connection: ThanksIOConnection) -> WebhookEvent:
    """Read the body, within its limit, and make an event of it."""
    if request.content_type != "application/json":
        raise _Refused(415, "not_json", connection)
    try:
        body = request.read(MAX_BYTES + 1)
    except OSError:  # the client went away
        raise _Refused(400, "incomplete", connection) from None
    if len(body) > MAX_BYTES:
        raise _Refused(413, "too_large", connection)
    try:
        return parse(body, connection)
    except MalformedPayload:
        raise _Refused(400, "malformed", connection) from None


def _log_refusal(refused: _Refused) -> None:
    """What comes to an address that nobody has is no operator's business, unless it is asked for."""
    connection = refused.connection
    record(
        "webhook.refused",
        level=logging.INFO if connection is None else None,
        connection_id=connection.pk if connection else None,
        user_id=connection.user_id if connection else None,
        code=refused.code,
    )


def hide_address(request: HttpRequest, token: str) -> None:
    """Take the token out of the request: Django logs a refusal with its path, and error reports show it."""
    if not token:
        return
    part, mask = f"/{token}/", "/***/"
    request.path, request.path_info = request.path.replace(part, mask), request.path_info.replace(part, mask)
    for name in _ADDRESSES:
        if name in request.META:
            request.META[name] = str(request.META[name]).replace(part, mask)
    if request.resolver_match is not None:
        request.resolver_match.kwargs = {**request.resolver_match.kwargs, "token": "***"}
        request.resolver_match.captured_kwargs = request.resolver_match.kwargs  # type: ignore[attr-defined]
    scope = getattr(request, "scope", None)
    if isinstance(scope, dict):  # ASGI
        scope["path"] = str(scope.get("path", "")).replace(part, mask)
        scope["raw_path"] = bytes(scope.get("raw_path") or b"").replace(part.encode(), mask.encode())
