"""One global state, and what a scenario is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from thanksio_connect.exceptions import InvalidGrant
from thanksio_connect.refresh.protocol import Request, Step, last_step, renewal

from .conversation import Protocol
from .provider import Provider, Token
from .rows import ModelKey, ModelRow, Statements

AUTOCOMMIT = "autocommit"  # or private sessions: each step commits itself
PARTED = "autocommit, no RETURNING"  # the same, but the claim's UPDATE and its read are two steps
CALLERS = "caller's transaction"  # the claim takes the database's write lock; what follows is a draft until the commit

REFUSED = InvalidGrant()


class Violation(AssertionError):
    """An invariant of the engine is broken. ``schedule`` leads there."""

    def __init__(self, text: str, schedule: tuple[str, ...] = ()) -> None:
        super().__init__(text + "".join(f"\n    {event}" for event in schedule))
        self.text = text
        self.schedule = schedule


class Exchange(NamedTuple):
    """A request that was sent: the row that it spent, and what came of it (a token, or an exception)."""

    row: ModelRow
    reply: Any


class Worker(NamedTuple):
    """A caller in the middle of its renewal."""

    phase: str = "run"  # run; claimed, sent, concluded (halfway through a step); awaiting, broken off (there is one
    # step left); open (its caller's transaction goes on); guard (that was rolled back); done, crashed
    conversation: int = 0
    news: bool = False  # the row changed since this worker last saw it
    exchange: Exchange | None = None  # until what came of it is recorded
    hand: Token | None = None  # the live pair that it holds, or that is on the way to it; not durable yet
    note: Any = None  # a result that waits for the second half of its step
    late: bool = False  # its lease was over before it sent anything
    broken: bool = False  # the caller's transaction can only roll back
    adrift: bool = False  # the session of the caller's transaction is gone, with its lock and draft
    left_lease: bool = False  # the database failed when it wanted to give the lease back

    @property
    def will_store(self) -> bool:
        """Whether it holds a live pair, or one is on the way to it, and it is not done."""
        return self.hand is not None and self.phase != "done"

    @property
    def has_ended(self) -> bool:
        """Whether it does nothing any more."""
        return self.phase in ("done", "crashed")


class State(NamedTuple):
    """Everything that a step can depend on, and what the invariants need to remember."""

    row: ModelRow | None  # as committed
    provider: Provider
    workers: tuple[Worker, ...]
    faults_left: int
    faults: frozenset[str] = frozenset()
    lock: int | None = None  # the worker whose caller's transaction has the write lock
    draft: ModelRow | None = None  # the row as that transaction sees it
    excused: frozenset[Token] = frozenset()  # spent tokens that may be presented again: nobody could know better
    doubted: frozenset[Token] = frozenset()  # those for which a verdict may say "lost_reply"
    told: frozenset[Token] = frozenset()  # ... and must: the row showed that the outcome is unknown
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
        return replace(self.request, may_wait=self.place != CALLERS)

    @property
    def key(self) -> ModelKey:
        """What its statements look for."""
        return ModelKey(0, self.version)


@dataclass(frozen=True)
class Scenario:
    """What to explore: the callers, the row as it is at first, the faults, and how many of them in one schedule."""

    callers: tuple[Caller, ...]
    faults: frozenset[str] = frozenset()
    budget: int = 0
    row: ModelRow = field(default_factory=ModelRow)
    provider: Provider = field(default_factory=Provider)
    refusal: InvalidGrant = REFUSED
    detects_reuse: bool = False
    statements: Statements = field(default_factory=Statements)
    protocol: Protocol = renewal
    last_step: Callable[[Any, Any], Step] = last_step


Events = Iterator[tuple[str, Callable[[], State]]]
