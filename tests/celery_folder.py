"""Kombu's broker in a folder, without its race: it lets a worker read a message that is still being written."""

from __future__ import annotations

import fcntl
from collections.abc import Callable
from functools import wraps
from typing import Any

from kombu.transport import filesystem


def alone(method: Callable[..., Any]) -> Callable[..., Any]:
    """Nobody else reads or writes in the folder meanwhile."""

    @wraps(method)
    def locked(self: filesystem.Channel, *args: Any, **kwargs: Any) -> Any:
        with (self.control_folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            return method(self, *args, **kwargs)

    return locked


class Channel(filesystem.Channel):
    """Messages, and the tables of who gets which."""

    _put = alone(filesystem.Channel._put)
    _get = alone(filesystem.Channel._get)
    _queue_bind = alone(filesystem.Channel._queue_bind)
    get_table = alone(filesystem.Channel.get_table)


class Transport(filesystem.Transport):
    """``folder://``"""

    Channel = Channel
