"""The real generator as a value: it can't be copied, so its state is rebuilt from what it was sent.

Two histories that lead to the same suspended frames (position and local variables) are one state.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from thanksio_connect.refresh.row import Row
from thanksio_connect.refresh.steps import Current, Request, Step

from thanksio_connect.client.tokens import TokenSet

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
        key = (number, result if not isinstance(result, Exception) else (type(result), str(result)))
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
                step = generator.send(_for_protocol(result))
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


def _for_protocol(result: Any) -> Any:
    match result:
        case ModelRow():
            return result.as_row()
        case Token():
            return TokenSet(
                access_token=f"access-{result.grant}-{result.number}", scope=f"{result.grant} {result.number}"
            )
        case (bool() as flag, row):
            return flag, _for_protocol(row)
        case _:
            return result


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
            return value.values["model"], value.outcome_unknown, value.taken_over
        case TokenSet():
            return value.access_token
        case Current():
            return _plain(value.row), value.renewed
        case BaseException():
            return type(value), str(value)
        case Generator():  # a protocol that drives another
            return _frames(value)
        case (bool(), _):  # a step's result
            return tuple(_plain(part) for part in value)
        case _ if isinstance(value, Step):
            return type(value), tuple(_plain(part) for part in value.__dict__.values())
        case _:
            return value
