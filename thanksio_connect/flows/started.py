"""Which authorizations this session has started, to tell a reloaded callback from a forged one.

Only a digest of the state and the time stand in the session: no secret, nothing that lets anybody exchange a
code. The marks are a courtesy for words on a page; every decision rests on :class:`AuthorizationRequest`.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from typing import Any

from django.contrib.sessions.backends.base import UpdateError
from django.http import HttpRequest
from django.utils.dateparse import parse_datetime

_SESSION_FIELD = "thanksio_connect_started"
_MARKS = 10
_MARK_LENGTH = 32


def _marks(request: HttpRequest) -> dict[str, str]:
    session: Any = getattr(request, "session", None)
    marks = session.get(_SESSION_FIELD) if session is not None else None
    return dict(marks) if isinstance(marks, dict) else {}


def _store(request: HttpRequest, marks: dict[str, str]) -> None:
    if hasattr(request, "session"):
        request.session[_SESSION_FIELD] = dict(list(marks.items())[-_MARKS:])


def remember(request: HttpRequest, state_digest: str, started_at: datetime) -> None:
    """Mark the authorization as started by this session; the newest ten are kept."""
    _store(request, _marks(request) | {state_digest[:_MARK_LENGTH]: started_at.isoformat()})


def started_at(request: HttpRequest, state_digest: str) -> datetime | None:
    """When this session started the authorization, or None if it did not or has forgotten it."""
    mark = _marks(request).get(state_digest[:_MARK_LENGTH])
    return parse_datetime(mark) if isinstance(mark, str) else None


def forget(request: HttpRequest, state_digest: str) -> None:
    """The authorization is over without a connection: a reload has nothing to wait for.

    Saves the session at once: Django's middleware does not with an answer of 500 or more.
    """
    marks = _marks(request)
    if marks.pop(state_digest[:_MARK_LENGTH], None) is not None:
        _store(request, marks)
        with suppress(UpdateError):  # signed out elsewhere meanwhile
            request.session.save()


def forget_all(request: HttpRequest) -> None:
    """The connection was removed on purpose: no old callback may speak of it."""
    if _marks(request):
        _store(request, {})
