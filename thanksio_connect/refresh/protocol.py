"""The renewal as a conversation: what to do next, given what happened so far. No database, no HTTP, no clock.

:func:`renewal` is a generator. It yields one step at a time and is sent the step's result, so whoever drives it (the
engine, or a test that tries every interleaving of several workers) decides when each step happens, and a crash is a
generator that is never resumed.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from .. import exceptions
from ..client.tokens import TokenSet
from ..exceptions import (
    InvalidGrant,
    InvalidTokenResponse,
    NotConnected,
    OutcomeUnknown,
    ReconnectRequired,
    RefreshInProgress,
    ThanksIOConfigurationError,
    ThanksIOError,
    Throttled,
    TokenUndecryptable,
)
from .row import Failure, Row
from .steps import Claim, Conclude, Current, Fail, Load, Pause, Post, Release, Request, Step, Store

SECOND_LOOKS = 4  # reads before a dead grant is believed, each after a pause
TAKEOVER_LOOKS = 2  # reads before a token is spent whose last holder's lease is over
VERDICT_PENDING = "verdict_pending"  # a caller's transaction met a dead grant, and could not look twice
UNAVAILABLE = "unavailable"  # 429 or 503, and not a word of when to come again
VERDICT_SECONDS = 10.0  # how much later another caller's transaction may believe it
STORM_LIMIT = 3  # renewals a minute for refused tokens that had just been renewed


def renewal(version: int, request: Request) -> Generator[Step, Any, Current]:
    """Renew the row that the caller knows as ``version``; take somebody else's newer token instead where there is one.

    Raises what :meth:`~thanksio_connect.models.ThanksIOConnection.get_access_token` documents.
    """
    row = yield from _claimed(version, request)
    if isinstance(row, Current):
        return row
    if row.is_dead and not request.force:
        yield Release()
        raise ReconnectRequired()
    if row.backoff_seconds and not request.force:
        if not request.is_needed:
            yield Release()
            return Current(row)
        if row.error_code == Throttled.code:
            yield Release()
            raise Throttled(retry_after=row.backoff_seconds)
        if row.error_code == VERDICT_PENDING and not request.may_conclude:
            yield Release()
            raise RefreshInProgress(code=VERDICT_PENDING)
    rejections = row.recent_rejections + 1 if request.rejected else 0
    if rejections > STORM_LIMIT:
        yield Release()
        raise exceptions.Unauthorized(status_code=401, code="token_refused_repeatedly")
    if row.taken_over and request.may_wait:
        # The holder may live, slow, and be about to store the pair for which the stored token was spent.
        row = yield from _looked_again(row, TAKEOVER_LOOKS)
        if row.version != version:
            return Current(row)
        yield Release()  # and claim anew, which asks the journal, too
        return (yield from renewal(version, request))

    reply = yield Post(row)
    if reply is None:
        yield Release()
        return (yield from renewal(version, request))
    if isinstance(reply, OutcomeUnknown) and reply.code == OutcomeUnknown.code:
        # The connection broke: send the same refresh token once more, under a renewed lease.
        taken, again = yield Claim()
        if again is not None and again.version != version:
            return Current(again)
        if taken and not again.taken_over:
            row = _with_unknown_outcome(row)
            reply = (yield Post(row)) or reply
            if isinstance(reply, ThanksIOConfigurationError):
                # Says nothing of the first request, whose outcome the row must remember.
                yield Fail(row, Failure(OutcomeUnknown.code, outcome_unknown=True))
                raise reply
    if isinstance(reply, TokenSet):
        stored, standing = yield Store(reply, rejections)
        if standing is None:
            raise NotConnected
        return Current(standing, renewed=stored)
    if isinstance(reply, InvalidGrant):
        return (yield from _second_look(version, row, request))
    if isinstance(reply, ReconnectRequired):  # there is no refresh token to spend
        if request.has_expired or request.rejected:
            yield from _concluded(reply.code, request)
        else:
            yield Release()
            if not request.is_needed:
                return Current(row)
        raise reply
    raise (yield from _failed(row, reply))


def _claimed(version: int, request: Request) -> Generator[Step, Any, Row | Current]:
    """Take the lease, or wait for whoever holds it. Returns the claimed row, or the newer one that came meanwhile."""
    while True:
        taken, row = yield Claim()
        if taken:
            assert row is not None
            return row  # type: ignore[no-any-return]
        if row is None and (row := (yield Load())) is None:
            raise NotConnected
        failures = row.failure_count
        while row is not None:
            if row.version != version:
                return Current(row)
            if row.is_dead and not request.force:
                raise ReconnectRequired
            if _has_failed(row, failures):
                raise _error_of(row)  # the attempt that we waited for failed; ours would be one more straw
            if not request.is_needed:
                return Current(row)
            if not request.may_wait or not (yield Pause()):
                raise RefreshInProgress
            row = yield Load()
            if row is None or row.version != version or row.lease_lives or _has_failed(row, failures):
                continue
            if request.force or not row.is_dead:
                break  # released or expired: ours to claim


def _second_look(version: int, row: Row, request: Request) -> Generator[Step, Any, Current]:
    """A dead grant: perhaps another worker spent the token and its pair is on the way. Believe it after a while."""
    if not request.may_conclude and row.is_dead:
        yield Release()
        raise ReconnectRequired(code=row.error_code)
    if not request.may_conclude and row.error_code != VERDICT_PENDING:
        # Nobody can store while the caller's transaction holds the row. Leave word for the next one, some time later.
        yield Fail(row, Failure(VERDICT_PENDING, retry_after_seconds=VERDICT_SECONDS))
        raise RefreshInProgress(code=VERDICT_PENDING)
    row = yield from _looked_again(row, SECOND_LOOKS if request.may_conclude else 0)
    if row.version != version:
        return Current(row)
    is_unknown = row.outcome_unknown
    # Once more as at first, which asks the journal, too: for the pair, or for who else may have spent the token.
    taken, now = yield Claim()
    if now is not None:
        if now.version != version:
            return Current(now)
        is_unknown = is_unknown or now.outcome_unknown or not taken
    code = "lost_reply" if is_unknown else InvalidGrant.code
    now = yield from _concluded(code, request)
    if now is None:
        raise NotConnected
    if now.version != version:
        return Current(now)
    raise ReconnectRequired(code=code)


def _looked_again(row: Row, times: int) -> Generator[Step, Any, Row]:
    """Wait for the pair that another worker may be about to store. Returns the row that has it, or ``row``."""
    for _look in range(times):
        yield Pause(second_look=True)
        now = yield Load()
        if now is None:
            raise NotConnected
        if now.version != row.version:
            return now  # type: ignore[no-any-return]
        if now.outcome_unknown:  # another worker took the lease over, and may have spent the token
            row = _with_unknown_outcome(row)
    return row


def _concluded(code: str, request: Request) -> Generator[Step, Any, Row | None]:
    now = yield Conclude(code, access_token_dead=request.rejected)
    if now is not None and now.lease_lives:
        yield Release()  # the verdict stood already, so nothing was written and our lease is still there
    return now  # type: ignore[no-any-return]


def _failed(row: Row, error: Exception) -> Generator[Step, Any, Exception]:
    """Record what is worth recording. Returns the error to raise."""
    if isinstance(error, ThanksIOConfigurationError) or not isinstance(error, ThanksIOError):
        yield Release()
        return error
    if isinstance(error, TokenUndecryptable):
        # A wrong key of ours is put right at once; what thanks.io refuses is not asked at every call.
        failure = Failure(error.code, backs_off=error.said_by_thanksio)
    elif isinstance(error, Throttled):
        # Only a wait that thanks.io named is imposed on those who need a token.
        code = error.code if error.retry_after is not None else UNAVAILABLE
        failure = Failure(code, retry_after_seconds=error.retry_after)
    else:
        # A 2xx without usable tokens has most likely spent the refresh token, too.
        is_unknown = isinstance(error, OutcomeUnknown) or error.code == InvalidTokenResponse.code
        failure = Failure(error.code, outcome_unknown=is_unknown)
    yield Fail(row, failure)
    return error


def _has_failed(row: Row, failures: int) -> bool:
    """Whether an attempt failed since there were so many; one that left the verdict to others is for us to finish."""
    return row.failure_count > failures and row.error_code != VERDICT_PENDING


def _error_of(row: Row) -> ThanksIOError:
    """The failure that somebody else's attempt just recorded, for those who waited for it."""
    for kind in (exceptions.NotSent, exceptions.OutcomeUnknown, exceptions.InvalidTokenResponse):
        if row.error_code == kind.code:
            return kind()
    if row.error_code == TokenUndecryptable.code:
        return TokenUndecryptable()
    if row.error_code == Throttled.code:
        return Throttled(retry_after=row.backoff_seconds)
    if row.error_code == UNAVAILABLE:
        return Throttled()
    return OutcomeUnknown(code=row.error_code or None)


def _with_unknown_outcome(row: Row) -> Row:
    return Row(values={**row.values, "outcome_unknown": True})
