"""The renewal as a conversation: what to do next, given what happened so far. No database, no HTTP, no clock.

:func:`renewal` is a generator. It yields one step at a time and is sent the step's result, so whoever drives it (the
engine, or a test that tries every interleaving of several workers) decides when each step happens, and a crash is a
generator that is never resumed.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
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
    ThanksIOError,
    Throttled,
    TokenUndecryptable,
)
from . import schedule
from .token_row import LOST_REPLY, NO_REFRESH_TOKEN, OTHER_CLIENT, Failure, Row, verdict_code

SECOND_LOOKS = 4  # reads before a dead grant is believed, each after a pause
LATE_CLAIMS = 3  # claims that came too late to send anything, before others are left to it
UNDECRYPTABLE_SECONDS = 3600.0
UNAVAILABLE = "unavailable"  # 429 or 503, and not a word of when to come again


@dataclass(frozen=True)
class Request:
    """Why the renewal is wanted, and what the place allows.

    ``is_needed``: nothing but a new token helps the caller. ``has_expired``, ``rejected``: the stored one is past its
    lifetime, was refused by thanks.io's API. ``force``: try although the verdict or a backoff stands. ``may_wait`` is
    False where the caller's transaction holds locks that others need.
    """

    is_needed: bool = True
    has_expired: bool = False
    rejected: bool = False
    force: bool = False
    may_wait: bool = True


@dataclass(frozen=True)
class Load:
    """Read the row. Result: ``Row | None``."""


@dataclass(frozen=True)
class Claim:
    """Take the lease. Result: :class:`~thanksio_connect.refresh.statements.Claimed`.

    ``outcome_is_unknown``: this worker's own request may have spent the token; the row is to remember it.
    """

    outcome_is_unknown: bool = False


@dataclass(frozen=True)
class Pause:
    """Wait for another worker, or before a second look. Result: False when the caller's patience is over."""

    second_look: bool = False


@dataclass(frozen=True)
class Post:
    """Spend the row's refresh token at the token endpoint. Result: ``TokenSet``, the exception, or None.

    None: the claim is too long ago, somebody else may have the lease by now; nothing was sent.
    """

    row: Row


@dataclass(frozen=True)
class Store:
    """Make the new pair durable. Result: :class:`~thanksio_connect.refresh.statements.Stored`."""

    tokens: TokenSet


@dataclass(frozen=True)
class Fail:
    """Give the lease back and record the failure. Result: None."""

    row: Row
    failure: Failure


@dataclass(frozen=True)
class Conclude:
    """Write the verdict "reconnect required" if the version is unchanged. Result: the ``Row | None`` that stands."""

    code: str
    access_token_dead: bool


@dataclass(frozen=True)
class Release:
    """Give the lease back. Result: None."""


Step = Load | Claim | Pause | Post | Store | Fail | Conclude | Release


@dataclass(frozen=True)
class Current:
    """The outcome: the row whose access token to use. ``renewed`` when this call stored it."""

    row: Row
    renewed: bool = False


Conversation = Generator[Step, Any, Current]


def renewal(version: int, request: Request) -> Conversation:
    """Renew the row that the caller knows as ``version``; take somebody else's newer token instead where there is one.

    Raises what :meth:`~thanksio_connect.models.ThanksIOConnection.get_access_token` documents.
    """
    for _claim in range(LATE_CLAIMS):
        row = yield from _claimed(version, request)
        if isinstance(row, Current):
            return row
        answer = _without_asking(row, request)
        if answer is None:
            reply = yield Post(row)
            if reply is not None:
                return (yield from _answered(version, row, reply, request))
        yield Release()
        if isinstance(answer, Current):
            return answer
        if answer is not None:
            raise answer
    raise RefreshInProgress(code="claim_too_late")


def _claimed(version: int, request: Request) -> Generator[Step, Any, Row | Current]:
    """Take the lease, or wait for whoever holds it. Returns the claimed row, or the newer one that came meanwhile."""
    while True:
        claimed = yield Claim()
        if claimed.row is None:
            raise NotConnected
        if claimed.taken:
            return claimed.row  # type: ignore[no-any-return]
        current = yield from _waited_for(claimed.row, version, request)
        if current is not None:
            return current


def _waited_for(row: Row, version: int, request: Request) -> Generator[Step, Any, Current | None]:
    """Wait for somebody else's renewal. Returns what it came to; None if its lease is over: it is ours to claim."""
    failed_at = row.failed_at
    while (current := _of_anothers_renewal(row, version, request, failed_at)) is None:
        if not request.may_wait or not (yield Pause()):
            raise RefreshInProgress
        now = yield Load()
        if now is None:
            raise NotConnected
        row = now
        if row.version == version and not row.lease_lives and row.failed_at == failed_at:
            return None
    return current


def _of_anothers_renewal(row: Row, version: int, request: Request, failed_at: Any) -> Current | None:
    """What somebody else's renewal has come to; None while it is under way."""
    if row.version != version:
        return Current(row)
    if row.failed_at != failed_at or (row.is_dead and not request.force):
        raise _error_of(row)  # the attempt that we waited for failed; ours would be one more straw
    return None if request.is_needed else Current(row)


def _without_asking(row: Row, request: Request) -> Current | Exception | None:
    """What is known without a request to thanks.io; None if it has to be asked."""
    if row.is_dead and not request.force:
        return _error_of(row)
    if request.rejected and row.was_renewed_lately:
        return exceptions.Unauthorized(status_code=401, code="token_refused_repeatedly")
    if not row.backoff_seconds or request.force:
        return None
    if not request.is_needed:
        return Current(row)
    asked_to_wait = row.error_code == Throttled.code
    failed_just_now = schedule.was_within(schedule.RETRY_SECONDS, row.failed_at)
    return _error_of(row) if asked_to_wait or failed_just_now else None


def _answered(version: int, row: Row, reply: Any, request: Request) -> Conversation:
    """Go on with what the token endpoint answered."""
    if isinstance(reply, OutcomeUnknown) and reply.code == OutcomeUnknown.code:
        sent_again = yield from _sent_again(version, row, reply)
        if isinstance(sent_again, Current):
            return sent_again
        row, reply = sent_again
    if isinstance(reply, TokenSet):
        stored = yield Store(reply)
        if stored.row is None:
            raise NotConnected
        return Current(stored.row, renewed=stored.stands)
    if isinstance(reply, InvalidGrant):
        return (yield from _refused(version, row, reply, request))
    if isinstance(reply, ReconnectRequired):  # there is no refresh token to spend
        return (yield from _without_refresh_token(row, request))
    yield _recorded(row, reply)
    raise reply


def _sent_again(version: int, row: Row, reply: Any) -> Generator[Step, Any, tuple[Row, Any] | Current]:
    """The connection broke: send the same refresh token once more, under a renewed lease."""
    claimed = yield Claim(outcome_is_unknown=True)
    if claimed.row is not None and claimed.row.version != version:
        return Current(claimed.row)
    if not claimed.taken:
        return row, reply
    return claimed.row, (yield Post(claimed.row)) or reply


def _refused(version: int, row: Row, reply: InvalidGrant, request: Request) -> Conversation:
    """A dead grant: perhaps another worker spent the token and its pair is on the way. Believe it after a while."""
    if reply.code == OTHER_CLIENT and row.error_code != OTHER_CLIENT:
        yield _recorded(row, reply)
        raise ReconnectRequired(code=OTHER_CLIENT)
    for _look in range(SECOND_LOOKS if request.may_wait else 0):
        yield Pause(second_look=True)
        now = yield Load()
        if now is None:
            raise NotConnected
        if now.version != version:
            return Current(now)
    return (yield from _concluded(version, reply.code, request))


def _concluded(version: int, code: str, request: Request) -> Conversation:
    """Write the verdict; raise it, unless a newer pair came first."""
    now = yield Conclude(code, access_token_dead=request.rejected)
    if now is None:
        raise NotConnected
    if now.version != version:
        return Current(now)
    if now.lease_lives:
        yield Release()  # the verdict stood already, so nothing was written and our lease is still there
    raise ReconnectRequired(code=verdict_code(code, outcome_unknown=now.error_code == LOST_REPLY))


def _without_refresh_token(row: Row, request: Request) -> Conversation:
    """What lives is used until it dies; then only the owner can help."""
    if request.has_expired or request.rejected:
        return (yield from _concluded(row.version, NO_REFRESH_TOKEN, request))
    left = -schedule.seconds_since(row.values["expires_at"])
    lifetime = schedule.PROBING_LIFETIME.total_seconds()
    yield Fail(row, Failure(NO_REFRESH_TOKEN, retry_after_seconds=left if left > 0 else lifetime))
    if request.is_needed:
        raise ReconnectRequired(code=NO_REFRESH_TOKEN)
    return Current(row)


def last_step(row: Row | None, reply: Any) -> Store | Fail | Release:
    """The one step left of a renewal that was broken off: ``reply`` is what its exchange, which spent ``row``, brought.

    Nothing is sent again, and no verdict is written. Both are None if nothing was sent.
    """
    if isinstance(reply, TokenSet):
        return Store(reply)
    return Release() if row is None else _recorded(row, reply)


def _recorded(row: Row, error: Any) -> Fail | Release:
    """Give the lease back, and record what is worth it."""
    failure = _failure_of(row, error)
    return Release() if failure is None else Fail(row, failure)


def _failure_of(row: Row, error: Any) -> Failure | None:
    """What the row is to remember of an error; None for one that says nothing of the row, or nothing final."""
    is_refusal = isinstance(error, InvalidGrant) and error.code != OTHER_CLIENT  # a verdict takes second looks
    if is_refusal or not isinstance(error, ThanksIOError):
        return None
    lengthens = not row.backoff_seconds
    if isinstance(error, TokenUndecryptable):
        # A wrong key of ours is put right at once; what thanks.io refuses is not asked at every call.
        return Failure(error.code, retry_after_seconds=UNDECRYPTABLE_SECONDS, is_counted=error.said_by_thanksio)
    if isinstance(error, Throttled):
        # Only a wait that thanks.io named is imposed on those who need a token.
        code = error.code if error.retry_after is not None else UNAVAILABLE
        return Failure(
            code, retry_after_seconds=error.retry_after, lengthens=lengthens or error.retry_after is not None
        )
    # A 2xx without usable tokens has most likely spent the refresh token, too.
    is_unknown = isinstance(error, OutcomeUnknown) or error.code == InvalidTokenResponse.code
    return Failure(error.code, outcome_unknown=is_unknown, lengthens=lengthens)


def _error_of(row: Row) -> ThanksIOError:
    """The failure that was recorded last, for those who waited for it or come while its backoff lasts."""
    if row.is_dead or row.error_code in (OTHER_CLIENT, NO_REFRESH_TOKEN):
        return ReconnectRequired(code=row.error_code or None)
    for kind in (exceptions.NotSent, exceptions.InvalidTokenResponse, TokenUndecryptable):
        if row.error_code == kind.code:
            return kind()
    if row.error_code == Throttled.code:
        return Throttled(retry_after=row.backoff_seconds)
    if row.error_code == UNAVAILABLE:
        return Throttled()
    return OutcomeUnknown(code=row.error_code or None)
