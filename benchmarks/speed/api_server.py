"""``python -m benchmarks.speed.api_server FOLDER``: answers each request with one page of orders, plain and over TLS.

A request with ``items_per_page`` gets its page of 10,000 orders. Prints its two ports. As little work as can be for
each request, so that the client's is what is measured.
"""

from __future__ import annotations

import json
import socket
import ssl
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from thanksio_connect.testing.api_shapes import listed, new_order

ORDERS = 10_000
NOW = datetime.now(UTC)


def _answer(body: dict[str, object]) -> bytes:
    page = json.dumps(body)
    head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nx-ratelimit-limit: 60\r\nx-ratelimit-remaining: 59\r\n"
    return f"{head}Content-Length: {len(page)}\r\n\r\n{page}".encode()


ANSWER = _answer({"data": [{"id": n, "status": "in review", "cost": 100, "note": "x" * 120} for n in range(10)]})


def _listed(head: bytes) -> bytes:
    query = dict(parse_qsl(urlsplit(head.split(b" ", 2)[1].decode()).query))
    size, number = int(query["items_per_page"]), int(query.get("page", 1))
    meta = {"current_page": number, "last_page": ORDERS // size, "total": ORDERS}
    fields = {
        "message": "Thank you! " * 20,
        "front_image_url": "https://product.example/front.png",
        "metadata": {"a": "b"},
    }
    rows = [listed(new_order(n, "7", "postcard", fields, NOW)) for n in range((number - 1) * size, number * size)]
    return _answer({"data": rows, "links": {}, "meta": meta})


def _serve(connection: socket.socket) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    waiting = b""
    while data := connection.recv(65536):
        waiting += data
        while b"\r\n\r\n" in waiting:
            head, _end, waiting = waiting.partition(b"\r\n\r\n")
            connection.sendall(_listed(head) if b"items_per_page" in head else ANSWER)
    connection.close()


def _accept(listener: socket.socket, tls: ssl.SSLContext | None) -> None:
    while True:
        connection, _address = listener.accept()
        threading.Thread(target=_handle, args=(connection, tls), daemon=True).start()


def _handle(connection: socket.socket, tls: ssl.SSLContext | None) -> None:
    try:
        _serve(connection if tls is None else tls.wrap_socket(connection, server_side=True))
    except OSError:
        connection.close()


def main() -> None:
    """Serve until the parent ends."""
    folder = Path(sys.argv[1])
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    listeners = [(socket.create_server(("127.0.0.1", 0)), each) for each in (None, tls)]
    for listener, context in listeners:
        threading.Thread(target=_accept, args=(listener, context), daemon=True).start()
    print(*(listener.getsockname()[1] for listener, _context in listeners), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
