"""The webhooks that the fake sends, in the shapes of thanks.io's OpenAPI document."""

from __future__ import annotations

import json
import socket
import ssl
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import SplitResult, urlencode, urlsplit

_TIMEOUT_SECONDS: Final = 30.0
_PERSON: Final = {
    "name": "John Doe",
    "company": None,
    "address": "123 Fake St",
    "address2": None,
    "absentee_address": None,
    "city": "Any Town",
    "province": "NY",
    "postal_code": "12345",
    "country": "US",
    "email": None,
    "phone": None,
}
_ORDER: Final[dict[str, Any]] = {"order.id": 42399, "order.sub_account_id": None, "order.metadata": None}
_ITEM: Final[dict[str, Any]] = {
    "order_item.id": 2668662,
    "order_item.scans": None,
    "order_item.failure": None,
    **{f"recipient.{name}": value for name, value in _PERSON.items()},
    **{f"recipient.custom_{number}": f"Example Custom {number}" for number in range(1, 11)},
    **_ORDER,
    "order.status": "Printing",
    "order_item.delivery_date": "2025-07-05",
    "order_item.previous_status": None,
    "order_item.current_status": "Processing",
}
DATA: Final[dict[str, dict[str, Any]]] = {
    "order.status_update": {
        "order.id": 42399,
        "order.status": "Printing",
        "order.previous_status": "reviewing",
        "order.current_status": "processing",
        "order.metadata": None,
    },
    "order_item.status_update": _ITEM,
    "order_item.delivered": _ITEM | {"order_item.previous_status": "Shipped", "order_item.current_status": "Delivered"},
    "scans.scan_update": {name: value for name, value in _ITEM.items() if name != "order_item.previous_status"}
    | {"order_item.scans": 1, "qrcode.url": "https://www.google.com"},
}
"""What the four types carry."""


def envelope(event_type: str, data: Mapping[str, Any], event_id: str | None, now: float) -> dict[str, Any]:
    """An event; what ``data`` does not say is as in thanks.io's examples."""
    moment = datetime.fromtimestamp(now, UTC)
    return {
        "event_type": event_type,
        "event_id": event_id or str(uuid.uuid1()),
        "data": DATA.get(event_type, {}) | dict(data),
        "timestamp": int(now),
        "date_time": f"{moment:%Y-%m-%d %H:%M:%S}",
    }


def deliver(url: str, verb: str, event: Mapping[str, Any]) -> int:
    """Send one event and return the answer's status. No redirect is followed.

    Returns once the site has closed the connection: what it does after the answer is done then. Raises ``OSError`` if
    the site can't be reached.
    """
    parts = urlsplit(url)
    body, target = json.dumps(event).encode(), parts.path or "/"
    if verb.lower() == "get":
        target, body = f"{target}?{urlencode({'event': body})}", b""
    head = [
        f"{verb.upper()} {target} HTTP/1.1",
        f"Host: {parts.netloc}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "User-Agent: thanks.io",
        "Connection: close",
    ]
    with _connected(parts) as sock:
        sock.sendall("\r\n".join([*head, "", ""]).encode() + body)
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
    if not answer:
        raise ConnectionError(f"{parts.netloc} closed the connection without an answer")
    return int(answer.split(b" ", 2)[1])


@contextmanager
def _connected(parts: SplitResult) -> Iterator[socket.socket]:
    is_tls, host = parts.scheme == "https", parts.hostname or ""
    address = (host, parts.port or (443 if is_tls else 80))
    with socket.create_connection(address, timeout=_TIMEOUT_SECONDS) as sock:
        if is_tls:
            with ssl.create_default_context().wrap_socket(sock, server_hostname=host) as wrapped:
                yield wrapped
        else:
            yield sock
