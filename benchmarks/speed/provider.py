"""A provider that costs next to nothing but its time: ``python -m benchmarks.speed.provider SECONDS [FOLDER]``.

It keeps a connection open for whoever wants it, as servers do; over TLS with the certificate in FOLDER.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    is_kept = True
    while is_kept:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
        except (asyncio.IncompleteReadError, OSError):  # the client has closed
            break
        is_kept = b"\r\nconnection: close" not in head
        await _answer_one(head, reader, writer)
    writer.close()


async def _answer_one(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    body = b"{}"
    if head.startswith(b"post"):
        length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if b"content-length" in line)
        await reader.readexactly(length)
        await asyncio.sleep(float(sys.argv[1]))
        pair = {"access_token": secrets.token_urlsafe(700), "refresh_token": secrets.token_urlsafe(500)}
        body = json.dumps({"token_type": "Bearer", "expires_in": 3600, **pair}).encode()
    writer.write(
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    )
    await writer.drain()


async def _serve() -> None:
    tls = None
    if len(sys.argv) > 2:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(*(Path(sys.argv[2]) / name for name in ("certificate.pem", "key.pem")))
    server = await asyncio.start_server(_answer, "127.0.0.1", 0, ssl=tls)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextmanager
def slow_provider(seconds: float, folder: str | None = None) -> Iterator[str]:
    """Its address, while it runs: over TLS with the certificate in the folder."""
    command = [sys.executable, "-m", "benchmarks.speed.provider", str(seconds), *([folder] if folder else [])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        yield f"{'https' if folder else 'http'}://127.0.0.1:{process.stdout.readline().strip()}"
        process.terminate()


if __name__ == "__main__":
    asyncio.run(_serve())
