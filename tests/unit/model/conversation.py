"""The real generator as a value: it can't be copied, so its state is rebuilt from what it was sent.

Two histories that lead to the same suspended frames (position and local variables) are one state.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from thanksio_connect.client.tokens import TokenSet
from thanksio_connect.refresh.protocol import Claim, Current, Request, Step, Store
from thanksio_connect.refresh.statements import Claimed, Stored
from thanksio_connect.refresh.token_row import Row

from .provider import Token
from .rows import ModelRow

Protocol = Callable[[int, Request], Generator[Any, Any, Current]]


class Conversation:
    """All states that a worker's generator was seen in, by number; 0 is the first."""

    def __init__(self, protocol: Protocol, version: int, request: Request) -> None:
        self._start = lambda: protocol(version, request)
        self._numbers: dict[Any, int] = {}
        self._histories: list[tuple[Any, ...]] = []
        self._next: dict[tuple[int, Any], int] = {}
        self.steps: list[Any] = []
        """The step that each state waits for; None once it has ended."""
        self.outcomes: list[Current | Exception | None] = []
        self._number(())

    def advance(self, number: int, result: Any) -> int:
        """The state after the step's result (in the model's terms)."""
        key = (number, result)
        if key not in self._next:
            self._next[key] = self._number((*self._histories[number], result))
        return self._next[key]

    def _number(self, history: tuple[Any, ...]) -> int:
        generator = self._start()
        outcome: Current | Exception | None = None
        step = None
        try:
            step = next(generator)
            for result in history:
                step = generator.send(_for_protocol(step, result))
        except StopIteration as stop:
            outcome, step = stop.value, None
        except Exception as error:
            outcome, step = error, None
        # Where it ended is told by its outcome, where it waits by its frames.
        place = _frames(generator) if outcome is None else ("ended", _plain(outcome))
        number = self._numbers.setdefault(place, len(self._histories))
        if number == len(self._histories):
            self._histories.append(history)
            self.steps.append(step)
            self.outcomes.append(outcome)
        generator.close()
        return number


def _for_protocol(step: Any, result: Any) -> Any:
    match result:
        case ModelRow():
            return result.as_row()
        case Token():
            return pair_of(result)
        case (bool() as flag, row):
            kind = {Claim: Claimed, Store: Stored}[type(step)]
            return kind(flag, _for_protocol(step, row))
        case _:
            return result


def pair_of(token: Token) -> TokenSet:
    """The protocol's tokens for the model's."""
    return TokenSet(access_token=f"access-{token.grant}-{token.number}", scope=f"{token.grant} {token.number}")


def token_of(tokens: TokenSet) -> Token:
    """The model's token behind the protocol's."""
    grant, number = tokens.scope.split()
    return Token(int(grant), int(number))


def _frames(generator: Any) -> tuple[Any, ...]:
    frames = []
    while generator is not None:
        frame = generator.gi_frame
        variables = tuple((name, _plain(value)) for name, value in sorted(frame.f_locals.items()))
        frames.append((generator.gi_code.co_name, frame.f_lasti, variables))
        generator = generator.gi_yieldfrom
    return tuple(frames)


def _plain(value: Any) -> Any:
    match value:
        case Row():
            return value.values["model"]
        case TokenSet():
            return value.access_token
        case BaseException():
            return type(value), str(value)
        case tuple():
            return tuple(_plain(part) for part in value)
        case Generator():  # a protocol that drives another
            return _frames(value)
        case _ if isinstance(value, Current | Claimed | Stored | Step):
            return type(value), tuple(_plain(part) for part in value.__dict__.values())
        case _:
            return value
