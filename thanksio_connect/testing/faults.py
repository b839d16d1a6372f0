"""What goes wrong, on order: one :class:`Fault` a planned misfortune, and the plan that hands them out."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from thanksio_connect.testing.records import RequestRecord
from thanksio_connect.testing.refusals import REFUSALS

_HOLD_LIMIT_SECONDS: Final = 120.0
Target = Literal["token", "api", "authorize"]
FaultSource = Callable[[RequestRecord], "Fault | None"]


@dataclass(kw_only=True, eq=False)
class Fault:
    """One misfortune, for the next ``times`` matching requests (None: for all, until cleared).

    Which requests: ``grant`` (a grant's id), ``user_id``, ``grant_type``, ``method``, ``path`` (a prefix, for
    the API).

    When: ``delay`` seconds before and ``delay_reply`` seconds after the request is processed;
    ``hold="before"`` or ``"after"`` stops there until :meth:`release` (:meth:`wait_reached` returns when a
    request stands there), which needs no clock.

    What: ``lose_reply="before"`` closes the connection without processing the request, ``"after"`` processes
    it and closes the connection, ``"midway"`` does so after half of the reply; ``reset=True`` resets instead
    of closing. ``drip="body"`` or ``"all"`` sends a byte every ``drip_seconds``. ``refuse`` is a code of
    :data:`~thanksio_connect.testing.refusals.REFUSALS` (``"invalid_client"``, ``"invalid_grant"``,
    ``"undecryptable"`` …). ``status``, ``headers``, ``body`` (bytes, text, or data for JSON) and
    ``retry_after`` replace the reply; the request is then not processed, unless ``processed=True``.

    Token replies: ``reply`` overrides members (``{"expires_in": "3600"}``), ``omit`` leaves some out; without
    a ``refresh_token`` the old one stays good, as RFC 6749 section 6 says. ``token_length`` is in characters.
    """

    grant: str | None = None
    user_id: str | None = None
    grant_type: str | None = None
    method: str | None = None
    path: str | None = None
    times: int | None = 1

    delay: float = 0.0
    delay_reply: float = 0.0
    hold: Literal["before", "after"] | None = None

    lose_reply: Literal["before", "after", "midway"] | None = None
    reset: bool = False
    drip: Literal["body", "all"] | None = None
    drip_seconds: float = 0.05
    refuse: str | None = None
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | str | Mapping[str, Any] | Sequence[Any] | None = None
    retry_after: float | str | None = None
    processed: bool = False

    reply: Mapping[str, Any] = field(default_factory=dict, repr=False)
    omit: Sequence[str] = ()
    token_length: int | None = None

    used: int = field(default=0, init=False)
    _reached: threading.Event = field(default_factory=threading.Event, init=False, repr=False)
    _released: threading.Event = field(default_factory=threading.Event, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.refuse is not None and self.refuse not in REFUSALS:
            raise ValueError(f"refuse={self.refuse!r} is none of {', '.join(REFUSALS)}")
        if isinstance(self.omit, str):
            raise ValueError("omit is a list of names")
        for name, allowed in (
            ("hold", ("before", "after")),
            ("lose_reply", ("before", "after", "midway")),
            ("drip", ("body", "all")),
        ):
            if getattr(self, name) not in (None, *allowed):
                raise ValueError(f"{name} is one of {', '.join(allowed)}")

    @property
    def replaces_reply(self) -> bool:
        return self.status is not None or self.body is not None or self.retry_after is not None

    @property
    def is_spent(self) -> bool:
        return self.times is not None and self.used >= self.times

    @property
    def label(self) -> str:
        """Short description for the request's record."""
        parts = [
            f"{name}={value}"
            for name, value in (
                ("delay", self.delay),
                ("delay_reply", self.delay_reply),
                ("hold", self.hold),
                ("lose_reply", self.lose_reply),
                ("drip", self.drip),
                ("refuse", self.refuse),
                ("status", self.status),
                ("omit", ",".join(self.omit)),
                ("reply", ",".join(self.reply)),
            )
            if value
        ]
        return " ".join(parts) or ("body" if self.replaces_reply else "none")

    def matches(self, record: RequestRecord) -> bool:
        """Whether the fault is meant for this request."""
        return (
            self.grant in (None, record.grant_id)
            and self.user_id in (None, record.user_id)
            and self.grant_type in (None, record.grant_type)
            and self.method in (None, record.method)
            and (self.path is None or record.path.startswith(self.path))
        )

    def stand(self) -> None:
        """Stop here until :meth:`release` (at most two minutes, so that a failed test ends)."""
        self._reached.set()
        self._released.wait(_HOLD_LIMIT_SECONDS)

    def wait_reached(self, timeout_seconds: float = 10.0) -> None:
        """Return when a request stands at ``hold``; raise ``TimeoutError`` if none comes."""
        if not self._reached.wait(timeout_seconds):
            raise TimeoutError(f"No request reached hold={self.hold!r} within {timeout_seconds} s.")

    def release(self) -> None:
        """Let the held requests go on, and those that come later."""
        self._released.set()


class FaultPlan:
    """The queue of faults for each target, first match first. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queues: dict[str, list[Fault]] = {"token": [], "api": [], "authorize": []}
        self._sources: dict[str, list[FaultSource]] = {"token": [], "api": [], "authorize": []}
        self._taken: list[Fault] = []

    def add(self, target: Target, fault: Fault) -> Fault:
        with self._lock:
            self._queues[target].append(fault)
        return fault

    def add_source(self, target: Target, source: FaultSource) -> None:
        with self._lock:
            self._sources[target].append(source)

    def take(self, record: RequestRecord) -> Fault | None:
        """Return the fault for this request, if any. Callables are asked when the queue has none."""
        with self._lock:
            queue = self._queues.get(record.target, [])
            for fault in queue:
                if fault.matches(record):
                    fault.used += 1
                    if fault.is_spent:
                        queue.remove(fault)
                    self._taken.append(fault)
                    return fault
            sources = list(self._sources.get(record.target, []))
        for source in sources:
            made = source(record)
            if made is not None:
                with self._lock:
                    made.used += 1
                    self._taken.append(made)
                return made
        return None

    def clear(self) -> None:
        """Forget every fault and callable, and release what is held."""
        with self._lock:
            taken = [*self._taken, *(fault for queue in self._queues.values() for fault in queue)]
            for target in self._queues:
                self._queues[target].clear()
                self._sources[target].clear()
            self._taken.clear()
        for fault in taken:
            fault.release()
