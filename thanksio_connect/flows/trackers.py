"""What an error tracker has copied of the callback's request before the view runs: code and state leave it again.

sentry-sdk wraps the WSGI and the ASGI application, and copies the query when the request arrives.
"""

from __future__ import annotations

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
_ADDRESS_HEADERS = {name.lower() for name in ADDRESS_HEADERS}


def scrub_trackers() -> None:
    """Take the query out of whatever sentry-sdk, if it is loaded, reports of this request from now on."""
    sentry_sdk: Any = sys.modules.get("sentry_sdk")
    try:
        if sentry_sdk is not None:
            sentry_sdk.get_isolation_scope().add_event_processor(without_query)
    except Exception:  # noqa: BLE001, S110 - another version of the tracker; the user's connection comes first
        pass


def without_query(event: Any, hint: Any = None) -> Any:
    """Return sentry's event without the request's query, wherever it stands. Errors and transactions alike."""
    request = event.get("request")
    if isinstance(request, dict):
        if "query_string" in request:
            request["query_string"] = ""
        if isinstance(request.get("url"), str):
            request["url"] = without_query_text(request["url"])
        _scrub_headers(request.get("headers"))
        cookies = request.get("cookies")
        if isinstance(cookies, dict) and COOKIE_NAME in cookies:
            cookies[COOKIE_NAME] = FILTERED
    return event


def _scrub_headers(headers: Any) -> None:
    if isinstance(headers, dict):
        for name, value in headers.items():
            if str(name).lower() in _ADDRESS_HEADERS and isinstance(value, str):
                headers[name] = without_query_text(value)


def without_query_text(address: str) -> str:
    """Return the address up to its query."""
    return address.partition("?")[0]
