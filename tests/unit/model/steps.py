"""The steps of a conversation on the model's row: what each may come to."""

from __future__ import annotations

from collections.abc import Callable

from thanksio_connect.exceptions import (
    InvalidTokenResponse,
    NotSent,
    OutcomeUnknown,
    ThanksIOConfigurationError,
    Throttled,
    TokenUndecryptable,
)
from thanksio_connect.refresh.protocol import Claim, Conclude, Fail, Post, Store

from . import checks
from .conversation import token_of
from .moves import LOST, Moves, count
from .rows import ModelRow
from .state import PARTED, Events, Exchange, State, Worker

# Answers of the token endpoint that a fault brings instead of the real one; whether the request was processed.
ANSWERS: dict[str, tuple[bool, Exception]] = {
    "request lost": (False, LOST),
    "not sent": (False, NotSent()),
    "throttled": (False, Throttled(retry_after=60)),
    "misconfigured": (False, ThanksIOConfigurationError("The client secret is wrong.", code="invalid_client")),
    "undecryptable": (False, TokenUndecryptable()),
    "junk instead of the reply": (True, InvalidTokenResponse()),
}


class Steps(Moves):
    """Each yields the events that the step may be."""

    def _claim(self, state: State, me: int, claim: Claim, is_free: bool) -> Events:
        worker = state.workers[me]
        if worker.adrift:
            yield "claim fails", lambda: self._break_off(state, me)
            return
        if not is_free:
            yield "claim, row locked", lambda: self._claim_in_vain(state, me)
            return
        if not self.in_transaction[me] and self._may(state, "database fails"):
            yield "claim fails", lambda: self._claim_in_vain(count(state), me)
            yield "claim, reply lost", lambda: self._claimed(count(state), me, claim)[0]
        yield "claim", lambda: self._after_claim(*self._claimed(state, me, claim), me)

    def _claim_in_vain(self, state: State, me: int) -> State:
        # An earlier try may have been committed, and its reply lost.
        is_leased = state.row is not None and state.row.lease == me and state.workers[me].exchange is None
        return self._break_off(self._with(state, me, left_lease=True) if is_leased else state, me)

    def _claimed(self, state: State, me: int, claim: Claim) -> tuple[State, bool]:
        if self.in_transaction[me] and state.lock is None:
            state = state._replace(lock=me, draft=state.row)
        before = self._view(state, me)
        row, taken = self.statements.claim(before, self.keys[me], me, outcome_is_unknown=claim.outcome_is_unknown)
        if taken and before is not None and before.lease not in (None, me):
            told = state.told if self.in_transaction[me] else state.told | {before.token}
            state = state._replace(doubted=state.doubted | {before.token}, told=told)
        return self._write(self._with(state, me, late=False, left_lease=False), me, row), taken

    def _after_claim(self, state: State, taken: bool, me: int) -> State:
        if self.scenario.callers[me].place == PARTED:
            return self._with(state, me, phase="claimed", note=taken)
        return self._read_after_claim(state, me, taken)

    def _read_after_claim(self, state: State, me: int, taken: bool) -> State:
        counts, row = self.statements.read_after_claim(self._view(state, me), taken, self.keys[me])
        return self._advance(self._read(state, me, row), me, (counts, row))

    def _read(self, state: State, me: int, row: ModelRow | None) -> State:
        # Where a lease lives the worker waits for news; otherwise it claims at the next opportunity.
        return self._with(state, me, news=row is not None and not row.lease_lives)

    def _load(self, state: State, me: int) -> State:
        """A pause, and the read after it."""
        state = self._advance(state, me, True)
        row = self.statements.find(self._view(state, me), self.keys[me])
        return self._advance(self._read(state, me, row), me, row)

    def _pause(self, state: State, me: int, *, is_second_look: bool) -> Events:
        worker = state.workers[me]
        if is_second_look:
            if not any(other.will_store for other in state.workers):
                yield "second look", lambda: self._load(state, me)
            elif "slow holder" in state.faults:
                yield "second look in vain", lambda: self._load(state, me)
            elif self._may(state, "slow holder"):
                yield "second look in vain", lambda: self._load(count(state, "slow holder"), me)
            return
        if worker.news:
            yield "wait", lambda: self._load(state, me)
        if self._may(state, "impatience"):
            yield "loses patience", lambda: self._advance(count(state, "impatience"), me, False)

    def _post(self, state: State, me: int, worker: Worker, post: Post) -> Events:
        if worker.late and self.statements.minds_lateness:
            yield "too late to post", lambda: self._advance(state, me, None)
            return
        yield "post", lambda: self._posted(state, me, post)
        for fault in sorted(ANSWERS.keys() & self.scenario.faults if state.faults_left else ()):
            yield fault, self._answered(state, me, post, fault)

    def _posted(self, state: State, me: int, post: Post) -> State:
        row: ModelRow = post.row.values["model"]
        if state.workers[me].adrift:
            state = state._replace(excused=state.excused | {row.token})  # its transaction is rolled back already
        checks.presents(state, row)
        provider, new = state.provider.refresh(row.token, detects_reuse=self.scenario.detects_reuse)
        if new is not None and state.faults_left == self.scenario.budget:
            state = state._replace(posts=state.posts + 1)
        checks.posts(state)
        reply = self.statements.classify(new or self.scenario.refusal)
        return self._with(state._replace(provider=provider), me, phase="sent", hand=new, exchange=Exchange(row, reply))

    def _answered(self, state: State, me: int, post: Post, fault: str) -> Callable[[], State]:
        was_processed, error = ANSWERS[fault]
        row: ModelRow = post.row.values["model"]

        def event() -> State:
            if was_processed:
                return self._lose_reply(self._posted(state, me, post), me, fault, error)
            exchange = Exchange(row, self.statements.classify(error))
            if isinstance(error, TokenUndecryptable):
                exchange = state.workers[me].exchange  # of an earlier request, if there was one
                return self._advance(self._with(count(state, fault), me, exchange=exchange), me, error)
            after = self._with(state, me, phase="sent", exchange=exchange)
            if isinstance(error, OutcomeUnknown):
                return self._lose_reply(after, me, fault, error)
            return count(after, fault)

        return event

    def _store(self, state: State, me: int, store: Store) -> Events:
        token = token_of(store.tokens)
        in_transaction = self.in_transaction[me]
        if state.workers[me].adrift:
            yield "store fails", lambda: self._store_in_vain(state, me, store)
            return
        row = self.statements.store(self._view(state, me), self.keys[me], me, token)
        written = self._write(state, me, row)
        found = self.statements.find(row, self.keys[me])
        stands = found is not None and found.token == token
        settled = self._with(written, me, exchange=None, **({} if in_transaction else {"hand": None}))
        yield "store", lambda: self._advance(settled, me, (stands, found))
        if not self._may(state, "store fails"):
            return
        if in_transaction:
            yield "store fails", lambda: self._store_in_vain(count(state), me, store)
            return
        yield "store, reply lost", lambda: count(written)
        if self.statements.retries_store:
            yield "store fails", lambda: count(state)
        else:
            yield "store fails", lambda: self._end(count(state), me)

    def _store_in_vain(self, state: State, me: int, store: Store) -> State:
        """In the caller's transaction: its end will write the pair."""
        new = ModelRow(version=self.keys[me].version + 1, token=token_of(store.tokens), recent=True)
        return self._advance(self._with(state, me, broken=True, exchange=None), me, (True, new))

    def _tidy(self, state: State, me: int, step: object, name: str) -> Events:
        """Fail and Release: what they come to is not waited for."""
        worker = state.workers[me]
        settled = self._with(state, me, exchange=None)
        if worker.adrift:
            yield f"{name} fails", lambda: self._advance(settled, me, None)
            return
        view, key = self._view(state, me), self.keys[me]
        if isinstance(step, Fail):
            row = self.statements.fail(view, key, me, step.row.values["model"], step.failure)
        else:
            row = self.statements.release(view, key, me)
        yield name, lambda: self._advance(self._write(settled, me, row), me, None)
        if not self.in_transaction[me] and self._may(state, "database fails"):
            yield f"{name} fails", lambda: self._advance(self._with(count(settled), me, left_lease=True), me, None)
            yield f"{name}, reply lost", lambda: self._write(count(state), me, row)

    def _conclude(self, state: State, me: int, conclude: Conclude) -> Events:
        if state.workers[me].adrift:
            yield "conclude fails", lambda: self._break_off(state, me)
            return
        if not self.in_transaction[me] and self._may(state, "database fails"):
            yield "conclude fails", lambda: self._break_off(count(state), me)
        yield f"conclude {conclude.code}", lambda: self._concluded(state, me, conclude)

    def _concluded(self, state: State, me: int, conclude: Conclude) -> State:
        before = self._view(state, me)
        row = self.statements.conclude(before, self.keys[me], conclude.code)
        if row != before:
            assert row is not None
            checks.concludes(state, self.scenario, me, before, row.error)
        return self._with(self._write(state, me, row), me, phase="concluded", exchange=None)
