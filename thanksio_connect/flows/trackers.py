"""What an error tracker has copied of the callback's request before the view runs: code and state leave it again.

sentry-sdk wraps the WSGI and the ASGI application, and copies the query when the request arrives.
"""

from __future__ import annotations

import re
import sys
from typing import Any

from .browser import COOKIE_NAME

FILTERED = "[Filtered]"
# Headers in which a proxy or a browser repeats the whole address.
ADDRESS_HEADERS = (
    "Referer",
    "X-Envoy-Original-Path",
    "X-Forwarded-Uri",
    "X-Original-Uri",
    "X-Original-Url",
    "X-Rewrite-Url",
)
_PARAMETERS = re.compile(r"\b(code|state)=[^&\s'\"<>]+")


def scrub_trackers() -> None:
    """Take the query out of whatever sentry-sdk, if it is loaded, reports of this request from now on."""
    sentry_sdk: Any = sys.modules.get("sentry_sdk")
    try:
        if sentry_sdk is not None:
            for scope in (sentry_sdk.get_isolation_scope(), sentry_sdk.get_current_scope()):
                scope.add_event_processor(without_query)  # after the tracker's own, which put the request in
    except Exception:  # noqa: BLE001, S110 - another version of the tracker; the user's connection comes first
        pass


def without_query(event: Any, hint: Any = None) -> Any:
    """Return sentry's event without the request's query, wherever it stands. Errors and transactions alike."""
    request = event.get("request")
    if isinstance(request, dict):
        if "query_string" in request:
            request["query_string"] = ""
        cookies = request.get("cookies")
        if isinstance(cookies, dict) and COOKIE_NAME in cookies:
            cookies[COOKIE_NAME] = FILTERED
    return _scrubbed(event)


def _scrubbed(value: Any) -> Any:
    """The same, with the values of code and state filtered out of each text: frames, spans, breadcrumbs, headers."""
    if isinstance(value, str):
        return _PARAMETERS.sub(rf"\1={FILTERED}", value)
    if isinstance(value, dict):
        for name, each in value.items():
            value[name] = _scrubbed(each)
    elif isinstance(value, list):
        value[:] = [_scrubbed(each) for each in value]
    return value


def without_query_text(address: str) -> str:
    """Return the address up to its query."""
    return address.partition("?")[0]
