"""The invariants. Each raises :class:`Violation`; the explorer adds the schedule that led there."""

from __future__ import annotations

from thanksio_connect import exceptions
from thanksio_connect.refresh.protocol import Current
from thanksio_connect.refresh.token_row import LOST_REPLY, OTHER_CLIENT

from .provider import Provider, Token
from .rows import ModelRow
from .state import CALLERS, Scenario, State, Violation

DOCUMENTED: dict[type[Exception], frozenset[str]] = {
    # The error, and the faults of which at least one must have happened.
    exceptions.NotConnected: frozenset({"disconnect", "reconnect"}),
    exceptions.NotSent: frozenset({"not sent"}),
    exceptions.Throttled: frozenset({"throttled"}),
    exceptions.OutcomeUnknown: frozenset({"reply lost", "request lost"}),
    exceptions.InvalidTokenResponse: frozenset({"junk instead of the reply"}),
    exceptions.TokenUndecryptable: frozenset({"undecryptable"}),
    exceptions.ThanksIOConfigurationError: frozenset({"misconfigured"}),
}


def presents(state: State, row: ModelRow) -> None:
    """No spent token is presented but after an unknown outcome, a death, a slow holder's lease, a rollback."""
    if state.provider.is_spent(row.token) and row.token not in state.excused and not row.dead:
        raise Violation(f"A spent token was presented: {row.token}")


def posts(state: State) -> None:
    """One POST, if nothing goes wrong."""
    if state.posts > 1:
        raise Violation("More than one renewal although nothing went wrong")


def rows(before: ModelRow | None, after: ModelRow | None, provider: Provider) -> None:
    """Versions and grants never go back, and a row whose stored token lives is not called dead."""
    if after is None:
        return
    if before is not None and (after.token, after.version) < (before.token, before.version):
        raise Violation(f"The row went back from {before} to {after}")
    is_same_grant = before is not None and after.token.grant == before.token.grant
    if before is not None and is_same_grant and (after.token == before.token) != (after.version == before.version):
        raise Violation("The version does not tell whether the tokens changed")
    if after.dead and provider.is_live(after.token):
        raise Violation("The row is called dead while its stored token lives")


def concludes(state: State, scenario: Scenario, me: int, row: ModelRow | None, code: str) -> None:
    """A verdict: not while somebody else has the live pair, unless it is slow or nobody waits; the true reason."""
    assert row is not None
    has_holder = any(each.will_store and each.hand and each.hand.grant == row.token.grant for each in state.workers)
    if has_holder and "slow holder" not in state.faults and scenario.callers[me].place != CALLERS:
        raise Violation("The row is called dead while a living worker holds its live pair")
    if scenario.refusal.code == OTHER_CLIENT:
        if code != OTHER_CLIENT:
            raise Violation(f"Another client's grant was recorded as {code}")
        return
    if row.token in state.told and code != LOST_REPLY:
        raise Violation(f"A dead grant after an unknown outcome was recorded as {code}")
    if row.token not in state.doubted and code != exceptions.InvalidGrant.code:
        raise Violation(f"A revoked grant was recorded as {code}")


def outcome(state: State, scenario: Scenario, me: int, result: Current | Exception) -> None:
    """A worker ends with a usable token or a documented error."""
    caller = scenario.callers[me]
    if isinstance(result, Current):
        _current(state, scenario, me, result.row.values["model"])
    elif isinstance(result, exceptions.ReconnectRequired):
        drafted = state.draft is not None and state.draft.dead
        is_told = result.code == OTHER_CLIENT and scenario.refusal.code == OTHER_CLIENT
        if not (scenario.row.dead or state.was_dead or drafted or is_told):
            raise Violation("ReconnectRequired although the row is in order")
    elif isinstance(result, exceptions.RefreshInProgress):
        is_late = result.code == "claim_too_late" and "lease expires" in state.faults
        if caller.place != CALLERS and "impatience" not in state.faults and not is_late:
            raise Violation("RefreshInProgress although waiting was allowed and not exhausted")
    elif isinstance(result, exceptions.Unauthorized):
        if not caller.request.rejected or not scenario.row.recent:
            raise Violation("A storm was seen where there is none")
    else:
        needed = DOCUMENTED.get(type(result))
        if needed is None:
            raise Violation(f"Undocumented: {type(result).__name__}: {result}")
        if not needed & state.faults and not scenario.row.failures:
            raise Violation(f"{type(result).__name__} without a cause")


def _current(state: State, scenario: Scenario, me: int, row: ModelRow) -> None:
    caller = scenario.callers[me]
    if row.version <= caller.version and caller.request.is_needed:
        raise Violation("A worker ended with the version that it knew")
    known_to_others = any(other.version >= row.version for other in scenario.callers)
    may_be_dead = known_to_others or "revoke" in state.faults or scenario.detects_reuse
    if row.version > caller.version and not may_be_dead and not state.provider.is_live(row.token):
        raise Violation("A worker ended with a dead token")


def ending(state: State) -> None:
    """Everybody is done or dead: the row holds the live pair, unless its holder died, and no living worker's lease."""
    row = state.row
    if row is None:
        return
    grant = state.provider.grants[row.token.grant]
    newest = Token(row.token.grant, grant.last)
    if grant.lives and row.token != newest and newest not in state.lost:
        raise Violation(f"A live pair was dropped while its holder lives: {newest}")
    if row.lease is not None and row.lease_lives:
        worker = state.workers[row.lease]
        if worker.phase != "crashed" and not worker.left_lease:
            raise Violation("A lease was left behind by a living worker")
