"""What can happen next: each worker's step, each fault, each act of the user."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from thanksio_connect.exceptions import (
    InvalidGrant,
    InvalidTokenResponse,
    NotSent,
    OutcomeUnknown,
    ThanksIOConfigurationError,
    Throttled,
    TokenUndecryptable,
)
from thanksio_connect.refresh.protocol import (
    VERDICT_PENDING,
    Claim,
    Conclude,
    Fail,
    Load,
    Pause,
    Post,
    Release,
    Store,
)

from . import checks
from .conversation import token_of
from .moves import Moves, count
from .rows import ModelRow, Seen
from .state import AUTOCOMMIT, CALLERS, SQLITE, Entry, Events, State, Worker

# Answers of the token endpoint that a fault brings instead of the real one; whether the request was processed.
ANSWERS: dict[str, tuple[bool, Exception]] = {
    "request lost": (False, OutcomeUnknown()),
    "not sent": (False, NotSent()),
    "throttled": (False, Throttled(retry_after=60)),
    "misconfigured": (False, ThanksIOConfigurationError("The client secret is wrong.", code="invalid_client")),
    "undecryptable": (False, TokenUndecryptable()),
    "junk instead of the reply": (True, InvalidTokenResponse()),
    "reply too large": (True, OutcomeUnknown(code="too_large")),
}
USER_ACTS = ("reconnect", "disconnect", "revoke")
FAULTS = frozenset(
    {*ANSWERS, *USER_ACTS, "crash", "reply lost", "lease expires", "impatience", "rollback", "store fails",
     "store's reply lost", "slow holder", "session dies", "commit's reply lost", "journal fails"}
)  # fmt: skip


class World(Moves):
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
            state = count(state, "lease expires")._replace(excused=state.excused | {row.token})
        return self._commit(state._replace(draft=draft), row, by=None)

    def _expire_entry(self, state: State, *, died: bool) -> State:
        assert state.entry is not None
        assert state.row is not None
        if not died:
            state = count(state, "lease expires")._replace(excused=state.excused | {state.row.token})
        return self._news(state._replace(entry=state.entry._replace(lives=False)), by=None)

    def _reconnect(self, state: State) -> State:
        assert state.row is not None
        provider, token = state.provider.authorize()
        row = ModelRow(version=state.row.version + 1, token=token)
        return self._commit(count(state, "reconnect")._replace(provider=provider), row, by=None)

    def _may(self, state: State, fault: str) -> bool:
        return state.faults_left > 0 and fault in self.scenario.faults

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
                    yield "second look in vain", lambda: self._advance(state, me, True)
                elif self._may(state, "slow holder"):
                    yield "second look in vain", lambda: self._advance(count(state, "slow holder"), me, True)
            case Pause():
                if worker.news:
                    yield "wait", lambda: self._advance(state, me, True)
                if self._may(state, "impatience"):
                    yield "loses patience", lambda: self._advance(count(state, "impatience"), me, False)
            case Post() as post:
                yield "post", lambda: self._post(state, me, worker, post)
                for fault in ANSWERS.keys() & self.scenario.faults:
                    if state.faults_left:
                        yield fault, self._answer(state, me, worker, post, fault)
            case Store() as store:
                if is_free:
                    yield from self._store(state, me, worker, store)
            case Fail() as fail:
                if is_free:
                    yield "fail", lambda: self._fail(state, me, fail)
            case Conclude() as conclude:
                if is_free:
                    yield f"conclude {conclude.code}", lambda: self._conclude(state, me, worker, conclude)
            case Release():
                if is_free:
                    yield "release", lambda: self._release(state, me, worker)

    def _claim(self, state: State, me: int, is_free: bool) -> State:
        state = self._with(state, me, news=False)
        if not is_free:
            return self._advance(state, me, (False, None))
        before = self._view(state, me)
        version = self.scenario.callers[me].version
        place = self.scenario.callers[me].place
        entry = state.entry if self.statements.minds_journal and place == AUTOCOMMIT else None
        again = state.workers[me].spending is not None
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
            state = state._replace(excused=state.excused | {row.token}, told=state.told | {row.token})
        if taken:
            assert row is not None
            if taken_over:
                assert before is not None
                assert before.lease is not None
                state = state._replace(excused=state.excused | {row.token})
                # The trace may be rolled back with the caller's transaction, or come from one who had spent nothing.
                spent_elsewhere = state.provider.is_spent(row.token) and not state.workers[before.lease].hand
                if state.lock != me and not spent_elsewhere:
                    state = state._replace(told=state.told | {row.token})
            state = self._with(self._write(state, me, row), me, spending=row.token)
        if place == SQLITE:
            return self._with(state, me, phase="taken", note=(taken, again))
        if place == CALLERS and taken and self.scenario.has_journal:
            return self._with(state, me, phase="announcing", note=(row, not again))
        return self._advance(state, me, (taken, row))

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

    def _committed(self, state: State, me: int) -> State:
        return self._forget(self._commit(state, state.draft, by=me), me)

    def _claim_look(self, state: State, me: int, worker: Worker) -> State:
        taken, again = worker.note
        entry = state.entry if taken and self.statements.minds_journal else None
        return self._with(state, me, phase="looked", note=(taken, again, entry), news=worker.news and entry is None)

    def _claim_read(self, state: State, me: int, worker: Worker) -> State:
        version = self.scenario.callers[me].version
        taken, again, entry = worker.note
        taken = self.statements.read_after_take(state.row, taken, version)
        if taken and entry is not None and entry.version == version:
            return self._with(state, me, phase="settling", note=(state.row, again, entry))
        return self._advance(self._read(state, me, state.row), me, (taken, state.row))

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
            state = state._replace(excused=state.excused | {row.token}, told=state.told | {row.token})
        state = self._news(self._commit(state._replace(entry=None), row, by=me), by=me)
        return self._advance(state, me, (taken, row))

    def _load(self, state: State, me: int) -> State:
        row = self._view(state, me)
        return self._advance(self._read(state, me, row), me, row)

    def _read(self, state: State, me: int, row: ModelRow | None) -> State:
        # Where a lease lives the worker goes on waiting for news; otherwise it claims, and looks again.
        return self._with(state, me, news=False) if row is not None and row.lease_lives else state

    def _post(self, state: State, me: int, worker: Worker, post: Post) -> State:
        token = post.row.refresh_token
        checks.presents(state, token, was_dead=post.row.is_dead)
        provider, new = state.provider.refresh(token, detects_reuse=self.scenario.detects_reuse)
        if new is not None and not state.faults:
            state = state._replace(posts=state.posts + 1)
        state = state._replace(provider=provider)
        checks.posts(state)
        reply = self.statements.classify(new or InvalidGrant())
        return self._with(state, me, phase="sent", hand=new, note=reply, has_sent=True)

    def _answer(self, state: State, me: int, worker: Worker, post: Post, fault: str) -> Callable[[], State]:
        was_processed, error = ANSWERS[fault]

        def event() -> State:
            after = self._post(state, me, worker, post) if was_processed else state
            error_seen = self.statements.classify(error)
            if not was_processed and not isinstance(error, OutcomeUnknown):
                return self._advance(count(after, fault), me, error_seen)
            return self._lose(after, me, after.workers[me], fault, error_seen)

        return event

    def _lose(self, state: State, me: int, worker: Worker, fault: str, error: Any) -> State:
        """Nobody will ever see the reply."""
        state = self._excuse(state, me, worker, told=self.scenario.callers[me].place != CALLERS)
        lost = state.lost | ({worker.hand} - {None})
        return self._advance(self._with(count(state, fault)._replace(lost=lost), me, hand=None), me, error)

    def _store(self, state: State, me: int, worker: Worker, store: Store) -> Events:
        version = self.scenario.callers[me].version
        token = token_of(store.tokens)
        row = self.statements.store(self._view(state, me), me, version, token, store.rejection_count)
        if state.lock == me and self._may(state, "journal fails") and self.scenario.has_journal:
            unrecorded = self._write(count(state, "journal fails"), me, row)
            yield "store, journal fails", lambda: self._advance(unrecorded, me, (True, row))
        state = self._record(state, me, store)
        written = self._write(state, me, row)
        stored = row is not None and row.token == token and row.version == version + 1
        in_transaction = self.scenario.callers[me].place == CALLERS
        settled = written
        if not in_transaction and (stored or checks.is_superseded(row, version)):
            settled = self._with(written, me, hand=None)
        yield "store", lambda: self._advance(settled, me, (stored, row))
        if self._may(state, "store fails"):
            if in_transaction:
                yield "store fails", lambda: self._store_in_vain(count(state, "store fails"), me, store)
            elif self.statements.retries_store:
                yield "store fails", lambda: count(state, "store fails")
            else:
                yield "store fails", lambda: self._with(count(state, "store fails"), me, phase="done")
        if self._may(state, "store's reply lost") and not in_transaction:
            yield "store's reply lost", lambda: count(written, "store's reply lost")

    def _record(self, state: State, me: int, store: Store) -> State:
        if state.entry is None or state.entry.worker != me:
            return state
        entry = state.entry._replace(token=token_of(store.tokens), rejections=store.rejection_count)
        return self._news(state._replace(entry=entry), by=me)

    def _store_in_vain(self, state: State, me: int, store: Store) -> State:
        """In the caller's transaction: its end will write the pair."""
        version = self.scenario.callers[me].version
        new = ModelRow(version=version + 1, token=token_of(store.tokens), recent=True)
        return self._advance(self._with(state, me, broken=True), me, (True, new))

    def _guard_failure(self, state: State, me: int, fail: Fail) -> State:
        return self._with(state, me, failed=(Seen(fail.row.outcome_unknown, fail.row.failure_count), fail.failure))

    def _release(self, state: State, me: int, worker: Worker) -> State:
        row = self.statements.release(self._view(state, me), me)
        return self._advance(self._withdraw(self._write(state, me, row), me, worker), me, None)

    def _fail(self, state: State, me: int, fail: Fail) -> State:
        version = self.scenario.callers[me].version
        row = self.statements.fail(self._view(state, me), me, version, fail.row, fail.failure)
        if state.lock == me:
            state = self._guard_failure(state, me, fail)
        return self._advance(self._write(state, me, row), me, row)

    def _conclude(self, state: State, me: int, worker: Worker, conclude: Conclude) -> State:
        before = self._view(state, me)
        row = self.statements.conclude(before, self.scenario.callers[me].version, conclude.code)
        if row != before:
            assert row is not None
            checks.concludes(state, before, row.error)
        failed = conclude.code if state.lock == me else None
        return self._with(self._write(state, me, row), me, phase="concluded", failed=failed)
