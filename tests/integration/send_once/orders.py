"""What a worker process can be told to do: send under a key, in a child that kills itself at a point of the send."""

from __future__ import annotations

import http.client
import json
import os
import signal
import time
from collections.abc import Callable
from typing import Any

from django.db import connections, transaction

from tests.integration.refresh import databases
from tests.integration.send_once.letters import FIELDS
from thanksio_connect.client.calls import Caller
from thanksio_connect.models import ThanksIOConnection
from thanksio_connect.models.order_book import OrderBook

# In the order in which a send comes by. "headers": after half of the request. "body": it is sent in full.
POINTS = [
    "begin",
    "before_row",
    "after_row",
    "before_request",
    "headers",
    "body",
    "answer",
    "before_mark",
    "after_mark",
]
_CLAIMS = ("claim", "take_over")


def rest() -> None:
    """Let go of this test's database."""
    databases.let_go(connections["default"])


def attempt(pk: int, key: str, point: str, in_transaction: bool, wait_seconds: float = 0.0) -> dict[str, Any]:
    """Send in a child process, which kills itself (SIGKILL) at the point. Returns what it said, or that it died.

    ``wait_seconds``: how long it lives on with the request under way.
    """
    connections.close_all()
    read_end, write_end = os.pipe()
    child = os.fork()
    if not child:
        os.close(read_end)
        _live(write_end, pk, key, point, in_transaction, wait_seconds)
    os.close(write_end)
    with os.fdopen(read_end) as pipe:
        said = pipe.read()
    _pid, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return {"killed": os.WTERMSIG(status) == signal.SIGKILL}
    return {"killed": False, **json.loads(said)}


def _live(write_end: int, pk: int, key: str, point: str, in_transaction: bool, wait_seconds: float) -> None:
    try:
        _arm(point, wait_seconds)
        connection = ThanksIOConnection.objects.select_related("tokens").get(pk=pk)
        said: dict[str, Any] = {"order": _send(connection, key, in_transaction)}
    except BaseException as error:
        said = {"error": type(error).__name__, "code": getattr(error, "code", ""), "text": str(error)}
    os.write(write_end, json.dumps(said).encode())
    connections.close_all()
    os._exit(0)


def _send(connection: ThanksIOConnection, key: str, in_transaction: bool) -> int:
    if not in_transaction:
        return connection.send_once(key).postcard(**FIELDS)["id"]
    with transaction.atomic():
        ThanksIOConnection.objects.update(thanksio_user_id=connection.thanksio_user_id)
        return connection.send_once(key).postcard(**FIELDS)["id"]


def _die(*_arguments: Any, after_seconds: float = 0.0) -> None:
    time.sleep(after_seconds)
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)


def _arm(point: str, wait_seconds: float) -> None:
    if point == "begin":
        _die()
    elif point in ("before_row", "after_row"):
        for name in _CLAIMS:
            _around(OrderBook, name, before=point == "before_row")
    elif point in ("before_mark", "after_mark"):
        _around(OrderBook, "mark_sent", before=point == "before_mark")
    elif point in ("before_request", "answer"):
        _around(Caller, "operation", before=point == "before_request", when=_is_send)
    elif point in ("headers", "body"):
        _around(Caller, "operation", before=None, when=lambda *called: _is_send(*called) and _cut(point, wait_seconds))


def _is_send(_caller: object, method: str, *_arguments: Any) -> bool:
    return method == "POST"


def _around(owner: Any, name: str, *, before: bool | None, when: Callable[..., bool] = lambda *_: True) -> None:
    """Die before or after the method (None: neither; ``when`` arms something else)."""
    real = getattr(owner, name)

    def dying(*arguments: Any, **options: Any) -> Any:
        is_the_one = when(*arguments)
        if is_the_one and before is True:
            _die()
        result = real(*arguments, **options)
        if is_the_one and before is False:
            _die()
        return result

    setattr(owner, name, dying)


def _cut(point: str, wait_seconds: float) -> bool:
    """Die after half of the next request's bytes, or when its answer is waited for."""
    if point == "headers":
        http.client.HTTPConnection.endheaders = _half
    else:
        http.client.HTTPConnection.getresponse = lambda *_: _die(after_seconds=wait_seconds)
    return True


def _half(connection: Any, *_arguments: Any, **_options: Any) -> None:
    """The headers go, and nothing more."""
    connection._buffer.extend((b"", b""))
    message = b"\r\n".join(connection._buffer)
    connection.send(message)
    _die()
