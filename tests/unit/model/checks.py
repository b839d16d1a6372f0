"""The invariants. Each raises :class:`Violation`; the explorer adds the schedule that led there."""

from __future__ import annotations

from thanksio_connect.refresh.steps import Current

from thanksio_connect import exceptions

from .provider import Provider, Token
from .rows import ModelRow
from .state import CALLERS, Scenario, State, Violation, Worker

DOCUMENTED: dict[type[Exception], frozenset[str]] = {
    # The error, and the faults of which at least one must have happened (none named: see below).
    exceptions.NotConnected: frozenset({"disconnect"}),
    exceptions.NotSent: frozenset({"not sent"}),
    exceptions.Throttled: frozenset({"throttled"}),
    exceptions.OutcomeUnknown: frozenset({"reply lost", "request lost", "reply too large", "undecryptable"}),
    exceptions.InvalidTokenResponse: frozenset({"junk instead of the reply"}),
    exceptions.TokenUndecryptable: frozenset({"undecryptable"}),
    exceptions.ThanksIOConfigurationError: frozenset({"misconfigured"}),
}


def is_superseded(row: ModelRow | None, version: int) -> bool:
    """Whether a reconnect or a disconnect came before the store."""
    return row is None or row.version != version


def presents(state: State, token: Token, *, was_dead: bool) -> None:
    """No spent token is presented without an unknown outcome or a rollback before it: an expired lease is no excuse.

    But for a caller's transaction, which can't wait for the last holder, and for a holder that dawdles.
    """
    if state.provider.is_spent(token) and token not in state.excused and not was_dead:
        raise Violation(f"A spent token was presented: {token}")


def posts(state: State) -> None:
    """One POST, if nothing goes wrong."""
    if state.posts > 1:
        raise Violation("More than one renewal although nothing went wrong")


def rows(before: ModelRow | None, after: ModelRow | None, provider: Provider) -> None:
    """Versions and grants never go back, and a row whose stored token lives is not called dead."""
    if after is None:
        return
    if before is not None and (after.version < before.version or after.token < before.token):
        raise Violation(f"The row went back from {before} to {after}")
    if before is not None and after.token != before.token and after.version == before.version:
        raise Violation("The tokens changed without a new version")
    if after.dead and provider.is_live(after.token):
        raise Violation("The row is called dead while its stored token lives")


def concludes(state: State, row: ModelRow | None, code: str) -> None:
    """A verdict: not while somebody holds the live pair (unless it dawdles), and with the true reason."""
    assert row is not None
    has_holder = any(w.will_store and w.hand and w.hand.grant == row.token.grant for w in state.workers)
    if has_holder and "slow holder" not in state.faults:
        raise Violation("The row is called dead while a living worker holds its live pair")
    if row.token in state.told and state.provider.is_spent(row.token) and code != "lost_reply":
        raise Violation(f"A dead grant after an unknown outcome was recorded as {code}")
    if row.token not in state.excused | state.doubted and code != exceptions.InvalidGrant.code:
        raise Violation(f"A revoked grant was recorded as {code}")


def withdraws(state: State, worker: Worker) -> None:
    """An entry in the journal is not removed while it alone tells of a request whose outcome is unknown."""
    token = worker.spending
    if worker.has_sent and token is not None and token._replace(number=token.number + 1) in state.lost:
        raise Violation("The journal forgets a request whose outcome is unknown")


def outcome(state: State, scenario: Scenario, me: int, result: Current | Exception) -> None:
    """A worker ends with a usable token or a documented error."""
    caller = scenario.callers[me]
    in_transaction = caller.place == CALLERS
    if isinstance(result, Current):
        row = result.row.values["model"]
        if row.version <= caller.version and caller.request.is_needed:
            raise Violation("A worker ended with the version that it knew")
        known_to_others = any(other.version >= row.version for other in scenario.callers)
        may_be_dead = known_to_others or "revoke" in state.faults or scenario.detects_reuse
        if row.version > caller.version and not may_be_dead and not state.provider.is_live(row.token):
            raise Violation("A worker ended with a dead token")
        return
    if isinstance(result, exceptions.ReconnectRequired):
        drafted = state.draft is not None and state.draft.dead
        if not (scenario.row.dead or state.was_dead or drafted):
            raise Violation("ReconnectRequired although the row is in order")
        return
    if isinstance(result, exceptions.RefreshInProgress):
        if not in_transaction and "impatience" not in state.faults:
            raise Violation("RefreshInProgress although waiting was allowed and not exhausted")
        return
    if isinstance(result, exceptions.Unauthorized):
        if not caller.request.rejected or not scenario.row.rejections:
            raise Violation("A storm was seen where there is none")
        return
    needed = DOCUMENTED.get(type(result))
    if needed is None:
        raise Violation(f"Undocumented: {type(result).__name__}: {result}")
    if not needed & state.faults and not scenario.row.failures:
        raise Violation(f"{type(result).__name__} without a cause")


def ending(state: State) -> None:
    """Everybody is done or dead: the row holds the live pair, unless its holder died, and no living worker's lease."""
    row = state.row
    if row is None:
        return
    grant = state.provider.grants[row.token.grant]
    newest = Token(row.token.grant, grant.last)
    is_in_journal = state.entry is not None and state.entry.version == row.version and state.entry.token == newest
    if grant.lives and row.token != newest and newest not in state.lost and not is_in_journal:
        raise Violation(f"A live pair was dropped while its holder lives: {newest}")
    if row.lease is not None and row.lease_lives and state.workers[row.lease].phase != "crashed":
        raise Violation("A lease was left behind by a living worker")
