"""One global state, and what a scenario is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from thanksio_connect.refresh.steps import Request

from thanksio_connect.refresh import protocol

from .conversation import Protocol
from .provider import Provider, Token
from .rows import ModelRow, Statements

AUTOCOMMIT = "autocommit"  # or private connections: each step commits itself
SQLITE = "sqlite"  # the same, but the claim's UPDATE, its look into the journal, its read and what follows are steps
CALLERS = "caller's transaction"  # holds the row from before the first step; guarded against rollback; the claim,
# its announcement in the journal and the question whether the lock was held until then are steps


class Violation(AssertionError):
    """An invariant of the engine is broken. ``schedule`` leads there."""

    def __init__(self, text: str, schedule: tuple[str, ...] = ()) -> None:
        super().__init__(text + "".join(f"\n    {event}" for event in schedule))
        self.text = text
        self.schedule = schedule


class Worker(NamedTuple):
    """A caller in the middle of its renewal."""

    phase: str = "run"  # new, run, taken, looked, settling, announcing, confirming, sent, concluded, open, guard, done,
    # crashed
    conversation: int = 0
    news: bool = False  # the row changed since this worker last saw it
    spending: Token | None = None  # the refresh token of its claim
    hand: Token | None = None  # the live pair that it holds, or that is on the way to it; not durable yet
    note: Any = None  # a result that waits for the second half of its step
    failed: Any = None  # the failure (as seen, and why) or the verdict's code that it wrote in the caller's transaction
    broken: bool = False  # the caller's transaction can only roll back
    has_sent: bool = False  # a request that was processed
    is_new: bool = False  # no request of its version can have been processed before its entry in the journal
    kept: bool = False  # it waited for the row's lock for some seconds, and put its pair into the journal
    late: bool = False  # its lease was over before it sent anything
    adrift: bool = False  # its session is gone, and with it the lock and all that it wrote; the caller has not seen it

    @property
    def will_store(self) -> bool:
        """Whether it holds a live pair, or one is on the way to it, and it is not done."""
        return self.hand is not None and self.phase != "done"


class Entry(NamedTuple):
    """The journal: a renewal inside a caller's transaction, seen by others. It counts for its version alone."""

    version: int
    worker: int
    lives: bool = True
    token: Token | None = None  # the pair that the row is to have
    rejections: int = 0


class State(NamedTuple):
    """Everything that a step can depend on, and what the invariants need to remember."""

    row: ModelRow | None  # as committed
    provider: Provider
    workers: tuple[Worker, ...]
    faults_left: int
    faults: frozenset[str] = frozenset()
    lock: int | None = None  # the worker whose caller's transaction holds the row
    draft: ModelRow | None = None  # the row as that transaction sees it
    entry: Entry | None = None
    excused: frozenset[Token] = frozenset()  # spent tokens that may be presented again: nobody could know better
    doubted: frozenset[Token] = frozenset()  # those whose lease was over: a verdict may say "lost_reply"
    told: frozenset[Token] = frozenset()  # ... and the row shows why, so the verdict must be "lost_reply"
    lost: frozenset[Token] = frozenset()  # pairs whose reply was lost or whose holder died
    was_dead: bool = False  # the verdict stood at some time
    posts: int = 0  # counted while nothing went wrong


@dataclass(frozen=True)
class Caller:
    """One worker's part: why it wants the renewal, where it stands, the version that it loaded."""

    request: Request = field(default_factory=Request)
    place: str = AUTOCOMMIT
    version: int = 1

    def at_its_place(self) -> Request:
        """The request as the engine completes it."""
        waits = self.place != CALLERS
        values = {**self.request.__dict__, "may_wait": waits, "may_conclude": waits}
        return Request(**values)


@dataclass(frozen=True)
class Scenario:
    """What to explore: the callers, the row as it is at first, the faults, and how many of them in one schedule."""

    callers: tuple[Caller, ...]
    faults: frozenset[str] = frozenset()
    budget: int = 0
    row: ModelRow = field(default_factory=ModelRow)
    provider: Provider = field(default_factory=Provider)
    detects_reuse: bool = False
    statements: Statements = field(default_factory=Statements)
    protocol: Protocol = protocol.renewal
    has_journal: bool = True  # none for SQLite in memory, and none where it can't be written


Events = Iterator[tuple[str, Callable[[], State]]]
