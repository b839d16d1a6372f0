"""What can happen next: each worker's step, each fault, each act of the user."""

from __future__ import annotations

from thanksio_connect.refresh.steps import (
    Claim,
    Conclude,
    Fail,
    Load,
    Pause,
    Post,
    Release,
    Store,
)

from thanksio_connect.exceptions import OutcomeUnknown
from thanksio_connect.refresh.protocol import VERDICT_PENDING

from .moves import count
from .rows import ModelRow
from .state import CALLERS, Events, State, Worker
from .steps import ANSWERS, Steps

USER_ACTS = ("reconnect", "disconnect", "revoke")
FAULTS = frozenset(
    {*ANSWERS, *USER_ACTS, "crash", "reply lost", "lease expires", "impatience", "rollback", "store fails",
     "store's reply lost", "slow holder", "session dies", "commit's reply lost", "journal fails"}
)  # fmt: skip


class World(Steps):
    """The transition relation of a scenario. It keeps no state but the conversations' numbering."""

    def first(self) -> State:
        """Before anybody did anything."""
        phases = ["new" if caller.place == CALLERS else "run" for caller in self.scenario.callers]
        workers = tuple(Worker(phase) for phase in phases)
        row = self.scenario.row
        excused = frozenset({row.token} if row.unknown else ())
        return State(row, self.scenario.provider, workers, self.scenario.budget, excused=excused)

    def events(self, state: State) -> Events:
        """Every event that is possible now, and a function that gives the state after it."""
        for me, worker in enumerate(state.workers):
            for name, event in self._of_worker(state, me, worker):
                yield f"{'ABC'[me]}: {name}", event
        yield from self._of_world(state)

    # The world.

    def _of_world(self, state: State) -> Events:
        row = state.row
        if row is not None and row.lease is not None and row.lease_lives:
            died = state.workers[row.lease].phase == "crashed"
            if died or self._may(state, "lease expires"):
                yield "lease expires", lambda: self._expire(state, died=died)
        entry = state.entry
        if entry is not None and entry.lives and entry.token is None:
            died = state.workers[entry.worker].phase in ("crashed", "done")
            if died or self._may(state, "lease expires"):
                yield "the journal's lease expires", lambda: self._expire_entry(state, died=died)
        if row is None or state.lock is not None:
            return
        if row.error == VERDICT_PENDING and row.backoff and not any(worker.will_store for worker in state.workers):
            yield "the verdict's time comes", lambda: self._commit(state, row._replace(backoff=False), by=None)
        if self._may(state, "reconnect"):
            yield "user reconnects", lambda: self._reconnect(state)
        if self._may(state, "disconnect"):
            yield "user disconnects", lambda: self._commit(count(state, "disconnect"), None, by=None)
        if self._may(state, "revoke"):
            yield (
                "user revokes at thanks.io",
                lambda: count(state, "revoke")._replace(provider=state.provider.revoke(row.token.grant)),
            )

    def _expire(self, state: State, *, died: bool) -> State:
        assert state.row is not None
        row = state.row._replace(lease_lives=False)
        draft = state.draft
        if draft is not None and draft.lease == row.lease:
            draft = draft._replace(lease_lives=False)
        if not died:
            assert row.lease is not None
            state = self._overdue(state, row.lease)
        return self._commit(state._replace(draft=draft), row, by=None)

    def _expire_entry(self, state: State, *, died: bool) -> State:
        assert state.entry is not None
        if not died:
            state = self._overdue(state, state.entry.worker)
        return self._news(state._replace(entry=state.entry._replace(lives=False)), by=None)

    def _overdue(self, state: State, holder: int) -> State:
        assert state.row is not None
        state = count(state, "lease expires")._replace(doubted=state.doubted | {state.row.token})
        worker = state.workers[holder]
        step = self.conversations[holder].steps[worker.conversation]
        is_locked_out = state.lock not in (None, holder) and worker.phase == "run"
        if isinstance(step, Store) and is_locked_out and not worker.kept and self.scenario.has_journal:
            state = self._keep(state, holder, step)  # which comes much sooner
        return self._with(state, holder, late=True)

    def _reconnect(self, state: State) -> State:
        assert state.row is not None
        provider, token = state.provider.authorize()
        row = ModelRow(version=state.row.version + 1, token=token)
        return self._commit(count(state, "reconnect")._replace(provider=provider), row, by=None)

    # A worker.

    def _of_worker(self, state: State, me: int, worker: Worker) -> Events:
        if worker.phase in ("done", "crashed"):
            return
        is_free = state.lock in (None, me)
        if worker.phase == "new":
            if is_free:
                yield "begins its transaction", lambda: self._begin(state, me)
            return
        if self._may(state, "crash"):
            yield "crashes", lambda: self._crash(state, me, worker)
        if state.lock == me and self._may(state, "session dies") and self.scenario.has_journal:
            yield "session dies", lambda: self._lose_session(state, me)
        match worker.phase:
            case "guard":
                if is_free:
                    yield "the guard writes again", lambda: self._guard(state, me, worker)
            case "open":
                if not worker.broken:
                    nothing = {"hand": None, "failed": None}
                    yield "commits", lambda: self._unlock(self._committed(state, me), me, **nothing)
                    if self._may(state, "commit's reply lost"):
                        yield "commit's reply lost", lambda: self._lose_commit(state, me, worker)
                if worker.broken or self._may(state, "rollback"):
                    yield "rolls back", lambda: self._roll_back(state, me, worker)
            case "taken":
                yield "claim, look", lambda: self._claim_look(state, me, worker)
            case "looked":
                yield "claim, read", lambda: self._claim_read(state, me, worker)
            case "settling":
                if is_free:
                    yield "claim, settle", lambda: self._claim_settle(state, me, worker)
            case "announcing":
                yield "claim, announce", lambda: self._announce(state, me, worker)
                if self._may(state, "journal fails"):
                    yield "claim, journal fails", lambda: self._announce_in_vain(state, me, worker)
            case "confirming":
                yield "claim, confirm", lambda: self._confirm(state, me, worker)
            case "concluded" if worker.adrift:
                yield "conclude, read fails", lambda: self._raise(state, me)
            case "concluded":
                yield "conclude, read", lambda: self._advance(state, me, self._view(state, me))
            case "sent":
                yield "reply", lambda: self._advance(state, me, worker.note)
                if self._may(state, "reply lost"):
                    yield "reply lost", lambda: self._lose(state, me, worker, "reply lost", OutcomeUnknown())
            case _:
                yield from self._step(state, me, worker, is_free)

    def _lose_commit(self, state: State, me: int, worker: Worker) -> State:
        state = self._commit(count(state, "commit's reply lost"), state.draft, by=me)
        wrote = worker.hand is not None or worker.failed is not None
        return self._unlock(state, me, phase="guard" if wrote else "done", broken=True)

    def _step(self, state: State, me: int, worker: Worker, is_free: bool) -> Events:
        match self.conversations[me].steps[worker.conversation]:
            case Claim() | Load() | Conclude() as step if worker.adrift:
                failed = step.code if isinstance(step, Conclude) else worker.failed  # the guard was there before
                yield "step fails", lambda: self._raise(state, me, failed=failed)
            case Fail() as fail if worker.adrift:
                yield "fail fails", lambda: self._advance(self._guard_failure(state, me, fail), me, None)
            case Release() if worker.adrift:
                yield "release fails", lambda: self._advance(self._withdraw(state, me, worker), me, None)
            case Store() as store if worker.adrift:
                yield "store fails", lambda: self._store_in_vain(self._record(state, me, store), me, store)
            case Claim():
                yield "claim", lambda: self._claim(state, me, is_free)
            case Load():
                yield "load", lambda: self._load(state, me)
            case Pause(second_look=True):
                if not any(other.will_store for other in state.workers):
                    yield "second look", lambda: self._advance(state, me, True)
                elif "slow holder" in state.faults:
                    yield "second look in vain", lambda: self._look_in_vain(state, me)
                elif self._may(state, "slow holder"):
                    yield "second look in vain", lambda: self._look_in_vain(count(state, "slow holder"), me)
            case Pause():
                if worker.news:
                    yield "wait", lambda: self._advance(state, me, True)
                if self._may(state, "impatience"):
                    yield "loses patience", lambda: self._advance(count(state, "impatience"), me, False)
            case Post() if worker.late and self.statements.minds_lateness:
                yield "too late to post", lambda: self._advance(state, me, None)
            case Post() as post:
                yield "post", lambda: self._post(state, me, worker, post)
                for fault in ANSWERS.keys() & self.scenario.faults:
                    if state.faults_left:
                        yield fault, self._answer(state, me, worker, post, fault)
            case Store() as store:
                if is_free:
                    yield from self._store(state, me, worker, store)
                elif not worker.kept and self.scenario.has_journal:
                    yield "store waits", lambda: self._keep(state, me, store)
            case Fail() as fail:
                if is_free:
                    yield "fail", lambda: self._fail(state, me, fail)
            case Conclude() as conclude:
                if is_free:
                    yield f"conclude {conclude.code}", lambda: self._conclude(state, me, worker, conclude)
            case Release():
                if is_free:
                    yield "release", lambda: self._release(state, me, worker)

    def _committed(self, state: State, me: int) -> State:
        return self._forget(self._commit(state, state.draft, by=me), me)
