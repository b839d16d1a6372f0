"""``python -m benchmarks.speed.api_server FOLDER``: answers each request with one page of orders, plain and over TLS.

Prints its two ports. As little work as can be for each request, so that the client's is what is measured.
"""

from __future__ import annotations

import json
import socket
import ssl
import sys
import threading
from pathlib import Path

PAGE = json.dumps({"data": [{"id": n, "status": "in review", "cost": 100, "note": "x" * 120} for n in range(10)]})
ANSWER = (
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nx-ratelimit-limit: 60\r\nx-ratelimit-remaining: 59\r\n"
    f"Content-Length: {len(PAGE)}\r\n\r\n{PAGE}"
).encode()


def _serve(connection: socket.socket) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    waiting = b""
    while data := connection.recv(65536):
        waiting += data
        while b"\r\n\r\n" in waiting:
            waiting = waiting.partition(b"\r\n\r\n")[2]
            connection.sendall(ANSWER)
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
