"""The claim of each kind of place, in its steps: the row's lease, and the journal of callers' transactions."""

from __future__ import annotations

from typing import Any

from . import checks
from .moves import Moves, count
from .rows import ModelRow
from .state import AUTOCOMMIT, CALLERS, SQLITE, Entry, State, Worker


class Claims(Moves):
    """Each takes a state and gives another."""

    def _claim(self, state: State, me: int, is_free: bool) -> State:
        state = self._with(state, me, news=False, late=False)
        if not is_free:
            return self._advance(state, me, (False, None))
        before = self._view(state, me)
        version = self.scenario.callers[me].version
        place = self.scenario.callers[me].place
        entry = state.entry if self.statements.minds_journal and place == AUTOCOMMIT else None
        again = state.workers[me].spending is not None
        is_journals = False  # what is taken over
        row, taken, taken_over = self.statements.take(before, me, version)
        if taken and entry is not None and entry.version == version and entry.worker != me:
            if entry.token is not None:
                row = self.statements.store(before, me, version, entry.token, entry.rejections)
                return self._advance(self._write(state, me, row), me, (False, row))
            assert before is not None
            if entry.lives:
                return self._advance(state, me, (False, before._replace(lease_lives=True)))
            assert row is not None
            row = row._replace(unknown=True)
            is_journals = True
            state = state._replace(entry=None, doubted=state.doubted | {row.token}, told=state.told | {row.token})
        if taken:
            assert row is not None
            if taken_over:
                state = self._take_over(state, me, before)
            state = self._with(self._write(state, me, row), me, spending=row.token)
        taken_over = taken_over or is_journals
        if place == SQLITE:
            return self._with(state, me, phase="taken", note=(taken, again, taken_over))
        if place == CALLERS and taken and self.scenario.has_journal:
            return self._with(state, me, phase="announcing", note=(row, not again))
        return self._advance(state, me, (taken, _claimed(row, taken_over)))

    def _take_over(self, state: State, me: int, before: ModelRow | None) -> State:
        assert before is not None
        assert before.lease is not None
        token = before.token
        if self.scenario.callers[me].place == CALLERS and not state.workers[before.lease].kept:
            # It can't wait for the last holder, which has not waited for it.
            state = state._replace(excused=state.excused | {token})
        state = state._replace(doubted=state.doubted | {token})
        # The trace may be rolled back with the caller's transaction, or come from one who had spent nothing.
        spent_elsewhere = state.provider.is_spent(token) and not state.workers[before.lease].hand
        if state.lock == me or spent_elsewhere:
            return state
        return state._replace(told=state.told | {token})

    def _announce(self, state: State, me: int, worker: Worker) -> State:
        version = self.scenario.callers[me].version
        (claimed, is_first), row, entry = worker.note, state.row, state.entry
        announced: Any = None  # that version is not there for others to see
        if row is not None and row.version == version:
            announced = "new"
            if entry is not None and entry.token is not None and self.statements.minds_journal:
                announced = entry
            elif entry is not None and entry.worker == me:
                announced = "own"
            elif entry is not None and entry.lives and self.statements.minds_journal:
                announced = "another's"
            elif entry is not None:
                announced = "taken over"
                state = state._replace(excused=state.excused | {row.token}, told=state.told | {row.token})
            if announced in ("new", "own", "taken over"):
                excused = state.excused | {row.token} if worker.adrift else state.excused
                state = state._replace(entry=Entry(version, me), excused=excused)
        is_new = (announced == "new" and is_first) or not self.statements.remembers_first_sending
        return self._with(state, me, phase="confirming", note=(claimed, announced), is_new=is_new)

    def _announce_in_vain(self, state: State, me: int, worker: Worker) -> State:
        """Nobody else can know of this renewal; only the lock and the guard are left."""
        claimed, is_first = worker.note
        state = count(state, "journal fails")._replace(excused=state.excused | {claimed.token})
        return self._with(state, me, phase="confirming", note=(claimed, None), is_new=is_first and worker.is_new)

    def _confirm(self, state: State, me: int, worker: Worker) -> State:
        row, announced = worker.note
        if worker.adrift and self.statements.confirms_lock:
            return self._raise(self._withdraw(state, me, worker), me)
        if isinstance(announced, Entry):
            assert announced.token is not None
            version = self.scenario.callers[me].version
            row = self.statements.store(state.draft, me, version, announced.token, announced.rejections)
            return self._advance(self._write(state, me, row), me, (False, row))
        if announced == "another's":
            return self._advance(self._write(state, me, self.statements.release(state.draft, me)), me, (False, row))
        if announced == "taken over":
            row = row._replace(unknown=True)
            state = self._write(state, me, row)
        return self._advance(state, me, (True, row))

    def _withdraw(self, state: State, me: int, worker: Worker) -> State:
        if state.entry is None or state.entry.worker != me:
            return state
        if worker.is_new:
            checks.withdraws(state, worker)
            return self._forget(state, me)
        return self._news(state._replace(entry=state.entry._replace(lives=False)), by=me)

    def _claim_look(self, state: State, me: int, worker: Worker) -> State:
        taken, again, taken_over = worker.note
        entry = state.entry if taken and self.statements.minds_journal else None
        note = (taken, again, taken_over, entry)
        return self._with(state, me, phase="looked", note=note, news=worker.news and entry is None)

    def _claim_read(self, state: State, me: int, worker: Worker) -> State:
        version = self.scenario.callers[me].version
        taken, again, taken_over, entry = worker.note
        taken = self.statements.read_after_take(state.row, taken, version)
        if taken and entry is not None and entry.version == version:
            return self._with(state, me, phase="settling", note=(state.row, again, entry))
        return self._advance(self._read(state, me, state.row), me, (taken, _claimed(state.row, taken_over)))

    def _claim_settle(self, state: State, me: int, worker: Worker) -> State:
        """In the code some statements more; each has the version, or the lease, for its condition."""
        version = self.scenario.callers[me].version
        seen, again, entry = worker.note
        if entry.token is not None:
            row = self.statements.store(state.row, me, version, entry.token, entry.rejections)
            return self._advance(self._commit(state, row, by=me), me, (False, row))
        if entry.lives or state.entry is None or state.entry.worker != entry.worker or state.entry.token is not None:
            if not (again and self.statements.remembers_first_sending):
                released = self._commit(state, self.statements.release(state.row, me), by=me)
                state = self._with(released, me, spending=None)
            return self._advance(state, me, (False, seen._replace(lease_lives=True)))
        row, taken, _taken_over = self.statements.take(state.row, me, version)
        if taken:
            assert row is not None
            row = row._replace(unknown=True)
            state = state._replace(doubted=state.doubted | {row.token}, told=state.told | {row.token})
        state = self._news(self._commit(state._replace(entry=None), row, by=me), by=me)
        return self._advance(state, me, (taken, _claimed(row, taken)))

    def _read(self, state: State, me: int, row: ModelRow | None) -> State:
        # Where a lease lives the worker goes on waiting for news; otherwise it claims, and looks again.
        return self._with(state, me, news=False) if row is not None and row.lease_lives else state


def _claimed(row: ModelRow | None, taken_over: bool) -> ModelRow | None:
    return row and row._replace(taken_over=taken_over)
