"""Replies as values: what an endpoint answers, before any fault touches it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from thanksio_connect.testing.faults import Fault


@dataclass
class Reply:
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)

    def encode_head(self) -> bytes:
        """Return the status line and headers as they go over the wire."""
        try:
            phrase = HTTPStatus(self.status).phrase
        except ValueError:
            phrase = "Unknown"
        lines = [f"HTTP/1.1 {self.status} {phrase}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        if not any(name.lower() == "content-length" for name in self.headers):
            lines.append(f"Content-Length: {len(self.body)}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def json_reply(data: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    return Reply(status, json.dumps(data).encode("utf-8"), {"Content-Type": "application/json", **(headers or {})})


def redirect_reply(location: str) -> Reply:
    return Reply(302, b"", {"Location": location})


_MESSAGES = {429: "Too Many Attempts.", 503: "Service Unavailable"}


def ordered_reply(fault: Fault) -> Reply:
    """Return the reply that a fault orders; without a body, Laravel's JSON for that status."""
    if fault.retry_after is not None:
        status = 429 if fault.status is None else fault.status
        headers = {"Retry-After": str(fault.retry_after), **fault.headers}
    else:
        status = 200 if fault.status is None else fault.status
        headers = dict(fault.headers)
    body = fault.body
    if body is None:
        body = {"message": _MESSAGES.get(status, "Server Error")} if status >= 400 else ""
    if isinstance(body, str | bytes):
        headers.setdefault("Content-Type", "text/html; charset=UTF-8")
        return Reply(status, body.encode("utf-8") if isinstance(body, str) else body, headers)
    return json_reply(body, status, headers)
