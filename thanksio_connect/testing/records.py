"""What the server was asked, in the order in which the requests arrived."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from thanksio_connect.testing.grants import Pair

_SECRET_FIELDS = frozenset({"client_secret", "refresh_token", "code", "code_verifier", "access_token"})


@dataclass(eq=False)
class RequestRecord:
    """One request and what became of it.

    ``outcome``: at the token endpoint ``"ok"``, a code of :mod:`~thanksio_connect.testing.refusals`, or
    ``"not_processed"`` when a fault answered (or dropped the connection) before the provider did anything;
    elsewhere ``"ok"``, ``"unauthenticated"``, ``"not_owner"``, ``"denied"``, ``"rejected"`` and the like.
    ``reply``: ``"pending"``, ``"sent"``, ``"lost"`` or ``"aborted"`` (the client went away first). ``status``
    is the status that was sent, None if none was. ``repr`` shows no secret.
    """

    number: int
    method: str
    path: str
    target: str
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    form: Mapping[str, str] = field(default_factory=dict, repr=False)
    json: Any = field(default=None, repr=False)
    body: bytes = field(default=b"", repr=False)
    outcome: str = "pending"
    reply: str = "pending"
    status: int | None = None
    grant_id: str | None = None
    user_id: str | None = None
    fault: str | None = None
    pair: Pair | None = field(default=None, repr=False)

    @property
    def grant_type(self) -> str | None:
        """``grant_type`` of a token request, else None."""
        return self.form.get("grant_type") if self.target == "token" else None

    @property
    def access_token(self) -> str | None:
        """The bearer token of an API request, else None."""
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        return token.strip() if scheme.lower() == "bearer" else None

    def as_dict(self) -> dict[str, Any]:
        """Return the record as JSON-able data, secrets masked."""
        return {
            "number": self.number,
            "method": self.method,
            "path": self.path,
            "target": self.target,
            "grant_type": self.grant_type,
            "form": {name: "***" if name in _SECRET_FIELDS else value for name, value in self.form.items()},
            "json": self.json,
            "outcome": self.outcome,
            "reply": self.reply,
            "status": self.status,
            "grant": self.grant_id,
            "user_id": self.user_id,
            "fault": self.fault,
            "pair": self.pair.number if self.pair else None,
        }


class RequestLog:
    """Thread-safe list of :class:`RequestRecord`, with a way to wait for the next."""

    def __init__(self) -> None:
        self._records: list[RequestRecord] = []
        self._changed = threading.Condition()
        self.on_finish: Callable[[RequestRecord], object] | None = None

    def arrive(self, **facts: Any) -> RequestRecord:
        """Add a record; its number counts from 1."""
        with self._changed:
            record = RequestRecord(number=len(self._records) + 1, **facts)
            self._records.append(record)
            self._changed.notify_all()
            return record

    def finish(self, record: RequestRecord, reply: str, status: int | None) -> None:
        """Note what was sent, and wake whoever waits."""
        with self._changed:
            record.reply, record.status = reply, status
            self._changed.notify_all()
            if self.on_finish is not None:
                self.on_finish(record)

    def all(self) -> list[RequestRecord]:
        with self._changed:
            return list(self._records)

    def clear(self) -> None:
        with self._changed:
            self._records.clear()

    def wait(self, enough: Callable[[list[RequestRecord]], bool], *, timeout_seconds: float) -> list[RequestRecord]:
        """Return the records once ``enough(records)`` is true; raise ``TimeoutError`` after the timeout."""
        with self._changed:
            if not self._changed.wait_for(lambda: enough(self._records), timeout_seconds):
                raise TimeoutError(f"Not within {timeout_seconds} s. The server was asked: {self._records}")
            return list(self._records)
