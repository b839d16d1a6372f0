"""The moves that are not one step of a conversation: the caller's transaction, death, and the pieces of all moves."""

from __future__ import annotations

from typing import Any

from . import checks
from .conversation import Conversation
from .rows import ModelRow
from .state import Scenario, State, Worker


class Moves:
    """Each takes a state and gives another; a broken invariant raises."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.statements = scenario.statements
        self.conversations = [
            Conversation(scenario.protocol, caller.version, caller.at_its_place()) for caller in scenario.callers
        ]

    # The caller's transaction, and death.

    def _begin(self, state: State, me: int) -> State:
        return self._news(self._with(state._replace(lock=me, draft=state.row), me, phase="run"), by=me)

    def _unlock(self, state: State, me: int, **changes: Any) -> State:
        if state.lock == me:
            state = state._replace(lock=None, draft=None)
        return self._news(self._with(state, me, **{"phase": "done", **changes}), by=me)

    def _lose_session(self, state: State, me: int) -> State:
        worker = state.workers[me]
        return self._unlock(count(state, "session dies"), me, phase=worker.phase, broken=True, adrift=True)

    def _raise(self, state: State, me: int, **changes: Any) -> State:
        """The database's error ends the renewal; the transaction can only roll back."""
        return self._with(state, me, phase="open", conversation=0, note=None, news=False, **changes)

    def _roll_back(self, state: State, me: int, worker: Worker) -> State:
        if not worker.broken:
            state = count(state, "rollback")
        if not self.scenario.has_journal:
            state = self._excuse(state, me, worker, told=False)
        if worker.hand is None and worker.failed is None:
            return self._unlock(state, me)
        return self._unlock(state, me, phase="guard" if self.statements.guards_rollback else "done")

    def _guard(self, state: State, me: int, worker: Worker) -> State:
        version = self.scenario.callers[me].version
        if worker.hand is not None:
            row = self.statements.store(state.row, me, version, worker.hand, 0)
        elif isinstance(worker.failed, tuple):
            row = self.statements.fail(state.row, me, version, *worker.failed)
        else:
            row = self.statements.conclude(state.row, version, worker.failed)
            if row != state.row:
                assert row is not None
                checks.concludes(state, state.row, row.error)
        state = self._with(self._commit(state, row, by=me), me, phase="done", hand=None, failed=None)
        return self._forget(state, me)

    def _forget(self, state: State, me: int) -> State:
        entry = state.entry
        if entry is None or entry.worker != me:
            return state
        if entry.token is not None and state.row is not None and state.row.version == entry.version:
            return state  # another's pair, to which the row has not come
        return self._news(state._replace(entry=None), by=me)

    def _crash(self, state: State, me: int, worker: Worker) -> State:
        row = state.row
        leaves_trace = row is not None and row.lease == me and row.token == worker.spending
        entry = state.entry if state.entry is not None and state.entry.worker == me else None
        state = count(state, "crash")
        if not worker.kept and (entry is None or entry.token is None):
            state = self._excuse(state, me, worker, told=leaves_trace)
            state = state._replace(lost=state.lost | ({worker.hand} - {None}))
        if state.lock == me:
            state = self._unlock(state, me)
        end = Worker("crashed")
        return state._replace(workers=(*state.workers[:me], end, *state.workers[me + 1 :]))

    # The pieces.

    def _may(self, state: State, fault: str) -> bool:
        return state.faults_left > 0 and fault in self.scenario.faults

    def _view(self, state: State, me: int) -> ModelRow | None:
        return state.draft if state.lock == me else state.row

    def _write(self, state: State, me: int, row: ModelRow | None) -> State:
        return state._replace(draft=row) if state.lock == me else self._commit(state, row, by=me)

    def _commit(self, state: State, row: ModelRow | None, *, by: int | None) -> State:
        if row == state.row:
            return state
        checks.rows(state.row, row, state.provider)
        state = state._replace(row=row, was_dead=state.was_dead or (row is not None and row.dead))
        if state.entry is not None and (row is None or row.version > state.entry.version):
            state = state._replace(entry=None)  # it counts no more
        return self._news(state, by=by)

    def _news(self, state: State, *, by: int | None) -> State:
        waiting = ("run", "taken", "looked", "settling", "announcing", "confirming", "sent", "concluded")
        workers = tuple(
            worker._replace(news=True) if other != by and worker.phase in waiting else worker
            for other, worker in enumerate(state.workers)
        )
        return state._replace(workers=workers)

    def _excuse(self, state: State, me: int, worker: Worker, *, told: bool) -> State:
        tokens = {worker.spending} - {None}
        return state._replace(excused=state.excused | tokens, told=state.told | tokens if told else state.told)

    def _with(self, state: State, me: int, **changes: Any) -> State:
        workers = (*state.workers[:me], state.workers[me]._replace(**changes), *state.workers[me + 1 :])
        return state._replace(workers=workers)

    def _advance(self, state: State, me: int, result: Any) -> State:
        conversation = self.conversations[me]
        number = conversation.advance(state.workers[me].conversation, result)
        outcome = conversation.outcomes[number]
        if outcome is None:
            return self._with(state, me, phase="run", conversation=number, note=None)
        checks.outcome(state, self.scenario, me, outcome)
        in_transaction = state.lock == me or state.workers[me].adrift
        return self._with(state, me, phase="open" if in_transaction else "done", conversation=0, note=None, news=False)


def count(state: State, fault: str) -> State:
    return state._replace(faults_left=state.faults_left - 1, faults=state.faults | {fault}, posts=0)
