"""An HTTP answer, read whole: from the network, or from what a mock of requests gives in its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from requests.structures import CaseInsensitiveDict

from .deadline import Exchange

_CHUNK_BYTES = 16 * 1024


@dataclass(frozen=True, repr=False)
class Response:
    """An HTTP answer, whole. ``headers`` is case-insensitive, ``body`` is decompressed."""

    status: int
    headers: Mapping[str, str] = field(default_factory=CaseInsensitiveDict)
    body: bytes = b""

    def __repr__(self) -> str:
        return f"Response(status={self.status}, ***)"


def read_answer(response: Any, exchange: Exchange, max_bytes: int) -> Response:
    """Return requests' response, with its whole body. Raises TooLarge, and TypeError for a mock that is no response."""
    try:
        status, body = response.status_code, _body(response, exchange, max_bytes)
    finally:
        response.close()
    if not isinstance(status, int) or not isinstance(body, bytes):
        raise TypeError(
            "requests is mocked in this process, and the mock's answer is none: it needs status_code (int) and "
            "content (bytes). See docs/testing.md, Mocks and clocks."
        )
    headers = getattr(response, "headers", None)
    if not isinstance(headers, CaseInsensitiveDict):  # a mock's
        headers = CaseInsensitiveDict(headers if isinstance(headers, Mapping) else {})
    return Response(status, headers, body)


def _body(response: Any, exchange: Exchange, max_bytes: int) -> Any:
    stream = getattr(getattr(response, "raw", None), "stream", None)
    if not callable(stream) or getattr(response, "_content", False) is not False:  # made by hand
        body = response.content
        if isinstance(body, bytes) and len(body) > max_bytes:
            exchange.too_large()
        return body
    if exchange.has_begun:
        response.raw.enforce_content_length = True  # urllib3 1.26 takes a body that was cut short for whole
    chunks: list[bytes] = []
    size = 0
    for chunk in stream(_CHUNK_BYTES, decode_content=True):
        size += len(chunk)
        if size > max_bytes:
            exchange.too_large()
        chunks.append(chunk)
        exchange.after_chunk()
    return b"".join(chunks)
