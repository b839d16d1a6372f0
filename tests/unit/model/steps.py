"""The other steps of a conversation: the request and its answers, the store, the failure, the verdict."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from thanksio_connect.refresh.steps import Conclude, Fail, Post, Store

from thanksio_connect.exceptions import (
    InvalidGrant,
    InvalidTokenResponse,
    NotSent,
    OutcomeUnknown,
    ThanksIOConfigurationError,
    Throttled,
    TokenUndecryptable,
)

from . import checks
from .claims import Claims
from .conversation import token_of
from .moves import count
from .rows import ModelRow, Seen
from .state import CALLERS, Entry, Events, State, Worker

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


class Steps(Claims):
    """Each takes a state and gives another."""

    def _look_in_vain(self, state: State, me: int) -> State:
        return self._advance(self._excuse(state, me, state.workers[me], told=False), me, True)

    def _load(self, state: State, me: int) -> State:
        row = self._view(state, me)
        return self._advance(self._read(state, me, row), me, row)

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
            settled = self._forget(self._with(written, me, hand=None), me)
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

    def _keep(self, state: State, me: int, store: Store) -> State:
        state = self._with(state, me, kept=True)
        version = self.scenario.callers[me].version
        if not self.statements.keeps_pair or state.row is None or state.row.version != version:
            return state
        entry = state.entry or Entry(version, me, lives=False)
        if entry.token is None:
            entry = entry._replace(token=token_of(store.tokens), rejections=store.rejection_count)
        return self._news(state._replace(entry=entry), by=me)

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
        state = self._withdraw(self._write(state, me, row), me, worker)
        if not worker.has_sent:
            state = self._with(state, me, spending=None)
        return self._advance(state, me, None)

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
