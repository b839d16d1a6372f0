"""Kombu's broker in a folder, without its race: it lets a worker read a message that is still being written."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from typing import Any

from kombu.transport import filesystem


class Channel(filesystem.Channel):
    """Whoever reads or writes a message, or who gets which, is alone with the folder meanwhile."""

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        with (self.control_folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _put(self, *args: Any, **kwargs: Any) -> Any:
        with self._alone():
            return super()._put(*args, **kwargs)

    def _get(self, *args: Any, **kwargs: Any) -> Any:
        with self._alone():
            return super()._get(*args, **kwargs)

    def _queue_bind(self, *args: Any, **kwargs: Any) -> Any:
        with self._alone():
            return super()._queue_bind(*args, **kwargs)

    def get_table(self, *args: Any, **kwargs: Any) -> Any:
        with self._alone():
            return super().get_table(*args, **kwargs)


class Transport(filesystem.Transport):
    """``folder://``"""

    Channel = Channel
