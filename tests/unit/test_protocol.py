"""One worker alone: each path of the protocol as the exact list of its steps."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.unit.model.provider import Token
from tests.unit.model.rows import ModelRow
from thanksio_connect import exceptions
from thanksio_connect.client.tokens import TokenSet
from thanksio_connect.exceptions import (
    InvalidGrant,
    InvalidTokenResponse,
    NotConnected,
    NotSent,
    OutcomeUnknown,
    ReconnectRequired,
    RefreshInProgress,
    ThanksIOConfigurationError,
    Throttled,
    TokenUndecryptable,
)
from thanksio_connect.refresh.protocol import (
    LATE_CLAIMS,
    SECOND_LOOKS,
    UNDECRYPTABLE_SECONDS,
    Claim,
    Conclude,
    Fail,
    Load,
    Pause,
    Post,
    Release,
    Request,
    Store,
    last_step,
    renewal,
)
from thanksio_connect.refresh.statements import Claimed, Stored
from thanksio_connect.refresh.token_row import Failure, Row

ROW = ModelRow()
NEWER = ModelRow(version=2, token=Token(0, 2)).as_row()
LEASED = ModelRow(lease=1, lease_lives=True).as_row()
DEAD = ModelRow(dead=True, error="invalid_grant", failed=1).as_row()
PAIR = TokenSet("new-access", "new-refresh")
NEEDED = Request()
BULK = Request(is_needed=False)
IN_TRANSACTION = Request(may_wait=False)
TAKEN_BY_ANOTHER = (Claim, Claimed(False, LEASED))


def claimed(row: Row | ModelRow = ROW) -> tuple[type, Claimed]:
    return Claim, Claimed(True, row.as_row() if isinstance(row, ModelRow) else row)


def failed(code: str, **more: Any) -> ModelRow:
    """A failure whose backoff lasts."""
    return ModelRow(failures=1, backoff=True, error=code, failed=1, **more)


CLAIMED = claimed()
LOST = (Post, OutcomeUnknown())
STORED = (Store, Stored(True, NEWER))
LOOKS_AGAIN = [(Pause, True), (Load, ROW.as_row())] * SECOND_LOOKS


def play(request: Request, *script: tuple[type, Any]) -> tuple[Any, list[Any]]:
    """Answer the steps as the script says; returns the outcome (or the error) and the steps."""
    conversation = renewal(1, request)
    steps: list[Any] = []
    answers = list(script)
    result: Any = None
    try:
        while True:
            step = conversation.send(result)
            steps.append(step)
            assert answers, f"{step} was not expected"
            kind, result = answers.pop(0)
            assert type(step) is kind, f"{step}, not {kind.__name__}"
    except StopIteration as stop:
        outcome = stop.value
    except (exceptions.ThanksIOError, ThanksIOConfigurationError) as error:
        outcome = error
    assert not answers, f"{answers} did not happen"
    return outcome, steps


def test_a_renewal_is_claim_post_store() -> None:
    outcome, steps = play(NEEDED, CLAIMED, (Post, PAIR), STORED)
    assert (outcome.row, outcome.renewed) == (NEWER, True)
    assert steps[2] == Store(PAIR)


def test_a_pair_that_another_overtook_is_not_called_renewed() -> None:
    outcome, _steps = play(NEEDED, CLAIMED, (Post, PAIR), (Store, Stored(False, NEWER)))
    assert (outcome.row, outcome.renewed) == (NEWER, False)


def test_a_pair_for_a_grant_that_is_gone() -> None:
    assert isinstance(play(NEEDED, CLAIMED, (Post, PAIR), (Store, Stored(False, None)))[0], NotConnected)


def test_a_newer_version_is_used_without_a_request() -> None:
    assert play(NEEDED, (Claim, Claimed(False, NEWER)))[0].row is NEWER


def test_the_row_is_gone() -> None:
    assert isinstance(play(NEEDED, (Claim, Claimed(False, None)))[0], NotConnected)


# Another is at it.


def test_waiting_for_anothers_renewal() -> None:
    script = [TAKEN_BY_ANOTHER, (Pause, True), (Load, LEASED), (Pause, True), (Load, NEWER)]
    assert play(NEEDED, *script)[0].row is NEWER


def test_the_row_vanishes_while_waiting() -> None:
    assert isinstance(play(NEEDED, TAKEN_BY_ANOTHER, (Pause, True), (Load, None))[0], NotConnected)


def test_patience_ends() -> None:
    outcome, _steps = play(NEEDED, TAKEN_BY_ANOTHER, (Pause, False))
    assert isinstance(outcome, RefreshInProgress)
    assert outcome.retryable


def test_where_waiting_is_not_allowed_nobody_waits() -> None:
    assert isinstance(play(IN_TRANSACTION, TAKEN_BY_ANOTHER)[0], RefreshInProgress)


def test_a_living_token_is_used_while_another_renews() -> None:
    assert play(BULK, TAKEN_BY_ANOTHER)[0].row is LEASED


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("not_sent", NotSent),
        ("outcome_unknown", OutcomeUnknown),
        ("invalid_token_response", InvalidTokenResponse),
        ("throttled", Throttled),
        ("too_large", OutcomeUnknown),
        ("undecryptable", TokenUndecryptable),
        ("other_client", ReconnectRequired),
        ("no_refresh_token", ReconnectRequired),
    ],
)
def test_those_who_waited_share_the_failure(code: str, error: type[Exception]) -> None:
    outcome, _steps = play(NEEDED, TAKEN_BY_ANOTHER, (Pause, True), (Load, failed(code).as_row()))
    assert (type(outcome), outcome.code) == (error, code)


def test_a_lease_that_is_over_is_claimed() -> None:
    script = [TAKEN_BY_ANOTHER, (Pause, True), (Load, ROW.as_row()), CLAIMED, (Post, PAIR), STORED]
    assert play(NEEDED, *script)[0].renewed


@pytest.mark.parametrize("force", [False, True])
def test_the_verdict_is_heard_while_waiting(force: bool) -> None:
    outcome, _steps = play(Request(force=force), TAKEN_BY_ANOTHER, (Pause, True), (Load, DEAD))
    assert (type(outcome), outcome.code) == (ReconnectRequired, "invalid_grant")


def test_a_claim_that_came_too_late_sends_nothing_and_a_few_of_them_are_enough() -> None:
    late = [CLAIMED, (Post, None), (Release, None)]
    assert play(NEEDED, *late, CLAIMED, (Post, PAIR), STORED)[0].renewed
    outcome, _steps = play(NEEDED, *late * LATE_CLAIMS)
    assert (type(outcome), outcome.code) == (RefreshInProgress, "claim_too_late")


# What is known without asking.


def test_a_dead_row_is_not_tried_unless_forced() -> None:
    assert isinstance(play(NEEDED, claimed(DEAD), (Release, None))[0], ReconnectRequired)
    assert play(Request(force=True), claimed(DEAD), (Post, PAIR), STORED)[0].renewed


@pytest.mark.parametrize("just_failed", [False, True])
def test_while_a_backoff_lasts_nobody_asks_who_needs_no_token(just_failed: bool) -> None:
    row = claimed(failed("not_sent", just_failed=just_failed))
    assert not play(BULK, row, (Release, None))[0].renewed


def test_while_a_backoff_lasts_those_in_need_get_the_recorded_failure_but_for_one_try_every_few_seconds() -> None:
    just_now, long_ago = (claimed(failed("not_sent", just_failed=each)) for each in (True, False))
    assert isinstance(play(NEEDED, just_now, (Release, None))[0], NotSent)
    assert play(NEEDED, long_ago, (Post, PAIR), STORED)[0].renewed
    _outcome, steps = play(NEEDED, long_ago, (Post, NotSent()), (Fail, None))
    assert not steps[-1].failure.lengthens
    assert play(Request(force=True), just_now, (Post, PAIR), STORED)[0].renewed


def test_a_wait_that_thanksio_asked_for_is_kept_by_everybody() -> None:
    throttled = claimed(failed("throttled"))
    outcome, _steps = play(NEEDED, throttled, (Release, None))
    assert isinstance(outcome, Throttled)
    assert outcome.retry_after > 0
    assert play(Request(force=True), throttled, (Post, PAIR), STORED)[0].renewed
    assert play(NEEDED, claimed(failed("unavailable")), (Post, PAIR), STORED)[0].renewed


def test_refused_tokens_do_not_make_a_storm() -> None:
    rejected = Request(rejected=True)
    outcome, _steps = play(rejected, claimed(ModelRow(recent=True)), (Release, None))
    assert (type(outcome), outcome.code) == (exceptions.Unauthorized, "token_refused_repeatedly")
    assert play(rejected, CLAIMED, (Post, PAIR), STORED)[0].renewed
    assert play(NEEDED, claimed(ModelRow(recent=True)), (Post, PAIR), STORED)[0].renewed


# The connection broke.


def test_a_broken_connection_is_followed_by_one_more_try_under_a_renewed_lease() -> None:
    outcome, steps = play(NEEDED, CLAIMED, LOST, CLAIMED, (Post, PAIR), STORED)
    assert outcome.renewed
    assert [steps[0], steps[2]] == [Claim(), Claim(outcome_is_unknown=True)]
    outcome, steps = play(NEEDED, CLAIMED, LOST, CLAIMED, LOST, (Fail, None))
    assert isinstance(outcome, OutcomeUnknown)
    assert steps[-1].failure.outcome_unknown


def test_no_second_try_without_the_lease_or_against_a_newer_version() -> None:
    assert play(NEEDED, CLAIMED, LOST, (Claim, Claimed(False, NEWER)))[0].row is NEWER
    for other in (LEASED, None):
        outcome, steps = play(NEEDED, CLAIMED, LOST, (Claim, Claimed(False, other)), (Fail, None))
        assert isinstance(outcome, OutcomeUnknown)
        assert steps[-1].failure.outcome_unknown


def test_a_second_try_that_would_come_too_late_is_not_made() -> None:
    outcome, steps = play(NEEDED, CLAIMED, LOST, CLAIMED, (Post, None), (Fail, None))
    assert isinstance(outcome, OutcomeUnknown)
    assert steps[-1].failure.outcome_unknown


def test_only_a_broken_connection_is_tried_again() -> None:
    outcome, _steps = play(NEEDED, CLAIMED, (Post, OutcomeUnknown(code="too_large")), (Fail, None))
    assert outcome.code == "too_large"


def test_the_second_try_meets_a_wrong_client_secret() -> None:
    wrong = ThanksIOConfigurationError("wrong", code="invalid_client")
    assert play(NEEDED, CLAIMED, LOST, CLAIMED, (Post, wrong), (Release, None))[0] is wrong


# thanks.io refuses.


def test_a_dead_grant_is_believed_at_the_last_look_only() -> None:
    script = [CLAIMED, (Post, InvalidGrant()), *LOOKS_AGAIN, (Conclude, DEAD)]
    outcome, steps = play(Request(rejected=True), *script)
    assert (type(outcome), outcome.code) == (ReconnectRequired, "invalid_grant")
    assert steps[-1] == Conclude("invalid_grant", access_token_dead=True)


def test_the_row_tells_that_a_reply_was_lost() -> None:
    lost = ModelRow(dead=True, error="lost_reply", unknown=True).as_row()
    script = [CLAIMED, LOST, CLAIMED, (Post, InvalidGrant()), *LOOKS_AGAIN, (Conclude, lost)]
    assert play(NEEDED, *script)[0].code == "lost_reply"


@pytest.mark.parametrize("look", range(SECOND_LOOKS))
def test_a_newer_version_at_any_look_is_used(look: int) -> None:
    script = [CLAIMED, (Post, InvalidGrant()), *LOOKS_AGAIN[: 2 * look], (Pause, True)]
    assert play(NEEDED, *script, (Load, NEWER))[0].row is NEWER
    assert isinstance(play(NEEDED, *script, (Load, None))[0], NotConnected)


def test_a_newer_version_at_the_verdict_is_used() -> None:
    script = [CLAIMED, (Post, InvalidGrant()), *LOOKS_AGAIN]
    assert play(NEEDED, *script, (Conclude, NEWER))[0].row is NEWER
    assert isinstance(play(NEEDED, *script, (Conclude, None))[0], NotConnected)


def test_a_verdict_that_stood_already_leaves_no_lease() -> None:
    still_leased = replace(DEAD, lease_lives=True)
    script = [CLAIMED, (Post, InvalidGrant()), *LOOKS_AGAIN, (Conclude, still_leased), (Release, None)]
    assert isinstance(play(NEEDED, *script)[0], ReconnectRequired)


def test_in_the_callers_transaction_nobody_looks_twice() -> None:
    script = [CLAIMED, (Post, InvalidGrant()), (Conclude, DEAD)]
    assert isinstance(play(IN_TRANSACTION, *script)[0], ReconnectRequired)


def test_another_clients_grant_fails_first_and_is_concluded_when_it_is_confirmed() -> None:
    other = InvalidGrant(code="other_client")
    outcome, steps = play(NEEDED, CLAIMED, (Post, other), (Fail, None))
    assert (type(outcome), outcome.code) == (ReconnectRequired, "other_client")
    assert steps[-1].failure.code == "other_client"
    dead = ModelRow(dead=True, error="other_client").as_row()
    script = [claimed(failed("other_client")), (Post, other), *LOOKS_AGAIN, (Conclude, dead)]
    outcome, steps = play(NEEDED, *script)
    assert (type(outcome), outcome.code, steps[-1].code) == (ReconnectRequired, "other_client", "other_client")


# Other failures.


@pytest.mark.parametrize(
    ("error", "code", "is_unknown", "is_counted", "retry_after"),
    [
        (NotSent(), "not_sent", False, True, None),
        (OutcomeUnknown(code="too_large"), "too_large", True, True, None),
        (InvalidTokenResponse(), "invalid_token_response", True, True, None),
        (InvalidTokenResponse(code="not_found"), "not_found", False, True, None),
        (Throttled(retry_after=90), "throttled", False, True, 90),
        (Throttled(), "unavailable", False, True, None),
        (TokenUndecryptable(), "undecryptable", False, False, UNDECRYPTABLE_SECONDS),
    ],
)
def test_what_a_failure_records(
    error: Exception, code: str, is_unknown: bool, is_counted: bool, retry_after: float | None
) -> None:
    outcome, steps = play(NEEDED, CLAIMED, (Post, error), (Fail, None))
    assert outcome is error
    expected = Failure(code, outcome_unknown=is_unknown, is_counted=is_counted, retry_after_seconds=retry_after)
    assert steps[-1] == Fail(CLAIMED[1].row, expected)


def test_a_wait_that_thanksio_names_again_is_the_one_that_counts() -> None:
    row = claimed(failed("not_sent"))
    _outcome, steps = play(NEEDED, row, (Post, Throttled(retry_after=90)), (Fail, None))
    assert steps[-1].failure.lengthens
    _outcome, steps = play(NEEDED, row, (Post, Throttled()), (Fail, None))
    assert not steps[-1].failure.lengthens


def test_what_thanksio_can_not_decrypt_counts_as_a_failure() -> None:
    error = TokenUndecryptable()
    error.said_by_thanksio = True
    _outcome, steps = play(NEEDED, CLAIMED, (Post, error), (Fail, None))
    assert steps[-1].failure.is_counted


def test_our_own_misconfiguration_touches_no_row() -> None:
    error = ThanksIOConfigurationError("wrong", code="invalid_client")
    assert play(NEEDED, CLAIMED, (Post, error), (Release, None))[0] is error


NO_REFRESH_TOKEN = (Post, ReconnectRequired(code="no_refresh_token"))


@pytest.mark.parametrize("request_", [Request(has_expired=True), Request(rejected=True)])
def test_no_refresh_token_and_the_access_token_is_dead(request_: Request) -> None:
    dead = ModelRow(dead=True, error="no_refresh_token").as_row()
    outcome, steps = play(request_, CLAIMED, NO_REFRESH_TOKEN, (Conclude, dead))
    assert (type(outcome), outcome.code) == (ReconnectRequired, "no_refresh_token")
    assert steps[-1] == Conclude("no_refresh_token", access_token_dead=request_.rejected)


@pytest.mark.parametrize(("left", "wait"), [(3600, 3600), (None, 86400)])
def test_no_refresh_token_and_the_access_token_lives(left: int | None, wait: int) -> None:
    expires_at = None if left is None else datetime.now(UTC) + timedelta(seconds=left)
    row = Row({**ROW.as_row().values, "expires_at": expires_at})
    outcome, steps = play(BULK, claimed(row), NO_REFRESH_TOKEN, (Fail, None))
    assert outcome.row is row
    assert steps[-1].failure.retry_after_seconds == pytest.approx(wait, abs=5)
    outcome, _steps = play(NEEDED, claimed(row), NO_REFRESH_TOKEN, (Fail, None))
    assert isinstance(outcome, ReconnectRequired)


# The conversation was broken off.


def test_the_last_step_stores_a_pair_records_what_is_worth_it_and_gives_the_lease_back() -> None:
    row = ROW.as_row()
    assert last_step(row, PAIR) == Store(PAIR)
    assert last_step(row, OutcomeUnknown()) == Fail(row, Failure("outcome_unknown", outcome_unknown=True))
    assert last_step(row, InvalidGrant(code="other_client")) == Fail(row, Failure("other_client"))
    for says_nothing in (InvalidGrant(), ThanksIOConfigurationError("wrong", code="invalid_client")):
        assert last_step(row, says_nothing) == Release()
    assert last_step(None, None) == Release()
