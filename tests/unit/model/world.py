"""What can happen next: each worker's step, each fault, each act of the user."""

from __future__ import annotations

from thanksio_connect.exceptions import InvalidGrant
from thanksio_connect.refresh.protocol import Claim, Conclude, Fail, Pause, Post, Release, Store

from .moves import LOST, count
from .provider import Token
from .rows import ModelRow
from .state import Events, State, Worker
from .steps import ANSWERS, Steps

FAULTS = frozenset(
    {*ANSWERS, "reconnect", "disconnect", "revoke", "crash", "interruption", "reply lost", "lease expires",
     "impatience", "time passes", "rollback", "store fails", "slow holder", "session dies", "commit's reply lost",
     "database fails"}
)  # fmt: skip


def is_answer(worker: Worker) -> bool:
    """Whether what is on the way to it is the provider's own answer."""
    return worker.exchange is not None and isinstance(worker.exchange.reply, Token | InvalidGrant)


class World(Steps):
    """The transition relation of a scenario. It keeps no state but the conversations' numbering."""

    def first(self) -> State:
        """Before anybody did anything."""
        row = self.scenario.row
        known = frozenset({row.token} if row.unknown else ())
        workers = tuple(Worker() for _caller in self.scenario.callers)
        return State(
            row, self.scenario.provider, workers, self.scenario.budget, excused=known, doubted=known, told=known
        )

    def events(self, state: State) -> Events:
        """Every event that is possible now, and a function that gives the state after it."""
        for me, worker in enumerate(state.workers):
            if not worker.has_ended:
                for name, event in self._of_worker(state, me, worker):
                    yield f"{'ABC'[me]}: {name}", event
        yield from self._of_world(state)

    # The world.

    def _of_world(self, state: State) -> Events:
        row = state.row
        if row is None:
            return
        if row.lease is not None and row.lease_lives:
            holder = state.workers[row.lease]
            is_abandoned = holder.phase == "crashed" or holder.left_lease
            if is_abandoned or self._may(state, "lease expires"):
                yield "lease expires", lambda: self._expire(state, row, is_abandoned)
        if self._may(state, "revoke"):
            revoked = state.provider.revoke(row.token.grant)
            yield "user revokes at thanks.io", lambda: count(state, "revoke")._replace(provider=revoked)
        if state.lock is not None:
            return
        if row.just_failed and self._may(state, "time passes"):
            yield "time passes", lambda: self._commit(count(state), row._replace(just_failed=False))
        if self._may(state, "reconnect"):
            yield "user reconnects", lambda: self._reconnect(state)
        if self._may(state, "disconnect"):
            yield "user disconnects", lambda: self._commit(count(state, "disconnect"), None)

    def _expire(self, state: State, row: ModelRow, is_abandoned: bool) -> State:
        assert row.lease is not None
        if not is_abandoned:
            worker = state.workers[row.lease]
            # Who has sent already may be slow; who has not does not send any more.
            sent = {worker.exchange.row.token} if worker.exchange else set()
            state = count(state, "lease expires")._replace(excused=state.excused | sent)
            state = self._with(state, row.lease, late=worker.phase not in ("sent", "awaiting"))
        if state.draft is not None and state.draft.lease == row.lease:
            state = state._replace(draft=state.draft._replace(lease_lives=False))
        return self._commit(state, row._replace(lease_lives=False))

    def _reconnect(self, state: State) -> State:
        provider, token = state.provider.authorize()
        return self._commit(count(state, "reconnect")._replace(provider=provider), ModelRow(token=token))

    # A worker.

    def _of_worker(self, state: State, me: int, worker: Worker) -> Events:
        has_begun = worker != Worker()
        if has_begun and self._may(state, "crash"):
            yield "crashes", lambda: self._crash(state, me, worker)
        if state.lock == me and self._may(state, "session dies"):
            yield "session dies", lambda: self._lose_session(state, me, worker)
        is_under_way = has_begun and worker.phase in ("run", "claimed", "sent", "concluded")
        if is_under_way and self._may(state, "interruption"):
            yield "is interrupted", lambda: self._break_off(count(state), me, is_interruption=True)
        match worker.phase:
            case "guard":
                if state.lock is None:
                    yield "the guard writes again", lambda: self._guard(state, me, worker)
            case "open":
                yield from self._end_of_transaction(state, me, worker)
            case "claimed":
                yield "claim, read", lambda: self._read_after_claim(state, me, worker.note)
            case "concluded" if worker.adrift:
                yield "conclude, read fails", lambda: self._break_off(state, me)
            case "concluded":
                read = self.statements.find(self._view(state, me), self.keys[me])
                yield "conclude, read", lambda: self._advance(state, me, read)
            case "sent" | "awaiting":
                yield "reply", lambda: self._hear(state, me)
                if self._may(state, "reply lost") and is_answer(worker):
                    yield "reply lost", lambda: self._lose_reply(state, me, "reply lost", LOST)
            case _:
                yield from self._of_conversation(state, me, worker)

    def _end_of_transaction(self, state: State, me: int, worker: Worker) -> Events:
        if not worker.broken:
            yield "commits", lambda: self._committed(state, me)
            if self._may(state, "commit's reply lost"):
                yield "commit's reply lost", lambda: self._committed(count(state), me, is_heard=False)
        if worker.broken or self._may(state, "rollback"):
            yield "rolls back", lambda: self._roll_back(state, me, worker)

    def _of_conversation(self, state: State, me: int, worker: Worker) -> Events:
        is_free = state.lock in (None, me)
        match self._step(worker, me):
            case Claim() as claim:
                yield from self._claim(state, me, claim, is_free)
            case Pause() as pause:
                yield from self._pause(state, me, is_second_look=pause.second_look)
            case Post() as post:
                yield from self._post(state, me, worker, post)
            case Store() as store if is_free or worker.adrift:
                yield from self._store(state, me, store)
            case Fail() | Release() as tidying if is_free or worker.adrift:
                yield from self._tidy(state, me, tidying, type(tidying).__name__.lower())
            case Conclude() as conclude if is_free or worker.adrift:
                yield from self._conclude(state, me, conclude)
