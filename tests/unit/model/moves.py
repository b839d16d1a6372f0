"""The pieces of which steps and faults are made."""

from __future__ import annotations

from typing import Any

from thanksio_connect.exceptions import OutcomeUnknown
from thanksio_connect.refresh.protocol import Pause

from . import checks
from .conversation import Conversation, pair_of
from .provider import Token
from .rows import ModelRow
from .state import CALLERS, Exchange, Scenario, State, Worker

LOST = OutcomeUnknown()


class Moves:
    """Each takes a state and gives another; a broken invariant raises."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.statements = scenario.statements
        self.keys = [caller.key for caller in scenario.callers]
        self.in_transaction = [caller.place == CALLERS for caller in scenario.callers]
        self.conversations = [
            Conversation(scenario.protocol, caller.version, caller.at_its_place()) for caller in scenario.callers
        ]

    # The row.

    def _may(self, state: State, fault: str) -> bool:
        return state.faults_left > 0 and fault in self.scenario.faults

    def _view(self, state: State, me: int) -> ModelRow | None:
        return state.draft if state.lock == me else state.row

    def _write(self, state: State, me: int, row: ModelRow | None) -> State:
        return state._replace(draft=row) if state.lock == me else self._commit(state, row)

    def _commit(self, state: State, row: ModelRow | None) -> State:
        if row == state.row:
            return state
        checks.rows(state.row, row, state.provider)
        return self._news(state._replace(row=row, was_dead=state.was_dead or (row is not None and row.dead)))

    def _news(self, state: State) -> State:
        for other, worker in enumerate(state.workers):
            step = self.conversations[other].steps[worker.conversation] if worker.phase == "run" else None
            if isinstance(step, Pause) and not worker.news:
                state = self._with(state, other, news=True)
        return state

    def _unlock(self, state: State, me: int) -> State:
        return state._replace(lock=None, draft=None) if state.lock == me else state

    # A worker.

    def _with(self, state: State, me: int, **changes: Any) -> State:
        return self._become(state, me, state.workers[me]._replace(**changes))

    def _become(self, state: State, me: int, worker: Worker) -> State:
        return state._replace(workers=(*state.workers[:me], worker, *state.workers[me + 1 :]))

    def _step(self, worker: Worker, me: int) -> Any:
        """What it wants to do next."""
        if worker.phase != "broken off":
            return self.conversations[me].steps[worker.conversation]
        if worker.exchange is None:
            return self.scenario.last_step(None, None)
        row, reply = worker.exchange
        return self.scenario.last_step(row.as_row(), pair_of(reply) if isinstance(reply, Token) else reply)

    def _advance(self, state: State, me: int, result: Any) -> State:
        worker = state.workers[me]
        if worker.phase == "broken off":
            return self._end(state, me)
        conversation = self.conversations[me]
        number = conversation.advance(worker.conversation, result)
        outcome = conversation.outcomes[number]
        if outcome is None:
            return self._with(state, me, phase="run", conversation=number, note=None)
        checks.outcome(state, self.scenario, me, outcome)
        return self._end(state, me)

    def _end(self, state: State, me: int) -> State:
        worker = state.workers[me]
        is_open = state.lock == me or worker.adrift or (self.in_transaction[me] and worker.hand is not None)
        end = Worker(
            "open" if is_open else "done",
            hand=worker.hand,
            broken=worker.broken,
            adrift=worker.adrift,
            left_lease=worker.left_lease,
        )
        return self._become(state, me, end)

    def _break_off(self, state: State, me: int, *, is_interruption: bool = False) -> State:
        """Something is raised: the exchange is seen through, or the lease given back."""
        worker = state.workers[me]
        if worker.phase == "sent":
            return self._with(state, me, phase="awaiting", conversation=0, broken=self.in_transaction[me])
        if worker.exchange is None and not is_interruption:
            return self._end(self._with(state, me, broken=self.in_transaction[me]), me)
        return self._with(
            state, me, phase="broken off", conversation=0, note=None, news=False, broken=self.in_transaction[me]
        )

    def _spent(self, worker: Worker) -> frozenset[Token]:
        """The token that it may have spent without anybody knowing."""
        if worker.hand is not None:
            return frozenset({worker.hand._replace(number=worker.hand.number - 1)})
        return frozenset({worker.exchange.row.token} if worker.exchange else ())

    # What goes wrong.

    def _crash(self, state: State, me: int, worker: Worker) -> State:
        state = count(state)._replace(
            excused=state.excused | self._spent(worker), lost=state.lost | ({worker.hand} - {None})
        )
        return self._news(self._become(self._unlock(state, me), me, Worker("crashed")))

    def _lose_session(self, state: State, me: int, worker: Worker) -> State:
        state = count(state)._replace(excused=state.excused | self._spent(worker))
        return self._news(self._with(self._unlock(state, me), me, broken=True, adrift=True))

    def _lose_reply(self, state: State, me: int, fault: str, error: Exception) -> State:
        """Nobody will ever see what the request came to."""
        worker = state.workers[me]
        assert worker.exchange is not None
        token = worker.exchange.row.token
        told = state.told if self.in_transaction[me] else state.told | {token}
        state = count(state, fault)._replace(
            excused=state.excused | {token},
            doubted=state.doubted | {token},
            told=told,
            lost=state.lost | ({worker.hand} - {None}),
        )
        return self._hear(self._with(state, me, hand=None, exchange=Exchange(worker.exchange.row, error)), me)

    def _hear(self, state: State, me: int) -> State:
        """The answer comes."""
        worker = state.workers[me]
        assert worker.exchange is not None
        if worker.phase == "awaiting":
            return self._with(state, me, phase="broken off")
        return self._advance(state, me, worker.exchange.reply)

    # The end of the caller's transaction.

    def _committed(self, state: State, me: int, *, is_heard: bool = True) -> State:
        if state.draft is not None and state.draft.unknown:
            state = state._replace(told=state.told | {state.draft.token})
        state = self._commit(self._unlock(state, me), state.draft)
        guards = not is_heard and state.workers[me].hand is not None and self.statements.guards_rollback
        return self._news(self._with(state, me, phase="guard")) if guards else self._close(state, me)

    def _roll_back(self, state: State, me: int, worker: Worker) -> State:
        if not worker.broken:
            state = count(state)
        state = self._unlock(state._replace(excused=state.excused | self._spent(worker)), me)
        if worker.hand is None or not self.statements.guards_rollback:
            return self._close(state, me)
        return self._news(self._with(state, me, phase="guard"))

    def _guard(self, state: State, me: int, worker: Worker) -> State:
        assert worker.hand is not None
        return self._close(self._commit(state, self.statements.store(state.row, self.keys[me], me, worker.hand)), me)

    def _close(self, state: State, me: int) -> State:
        return self._news(self._become(state, me, Worker("done")))


def count(state: State, fault: str = "") -> State:
    """One fault less is left; its name is kept where an invariant asks for it."""
    faults = state.faults | {fault} if fault else state.faults
    return state._replace(faults_left=state.faults_left - 1, faults=faults, posts=0)
