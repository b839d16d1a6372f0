"""One worker alone: each path of the protocol as the exact list of its steps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from thanksio_connect.refresh.steps import (
    Claim,
    Conclude,
    Fail,
    Load,
    Pause,
    Post,
    Release,
    Request,
    Store,
)

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
from thanksio_connect.refresh.protocol import SECOND_LOOKS, renewal

ROW = ModelRow()
NEWER = ModelRow(version=2, token=Token(0, 2)).as_row()
LEASED = ModelRow(lease=1, lease_lives=True)
DEAD = ModelRow(dead=True, error="invalid_grant")
PAIR = TokenSet("new-access", "new-refresh")
NEEDED = Request()
IN_TRANSACTION = Request(may_wait=False, may_conclude=False)
CLAIMED = (Claim, (True, ROW.as_row()))
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
    outcome, steps = play(NEEDED, CLAIMED, (Post, PAIR), (Store, (True, NEWER)))
    assert (outcome.row, outcome.renewed) == (NEWER, True)
    assert steps[2] == Store(PAIR, 0)


def test_a_pair_that_a_reconnect_overtook_is_not_called_renewed() -> None:
    outcome, _steps = play(NEEDED, CLAIMED, (Post, PAIR), (Store, (False, NEWER)))
    assert (outcome.row, outcome.renewed) == (NEWER, False)


def test_a_pair_for_a_connection_that_is_gone() -> None:
    outcome, _steps = play(NEEDED, CLAIMED, (Post, PAIR), (Store, (False, None)))
    assert isinstance(outcome, NotConnected)


def test_a_newer_version_is_used_without_a_request() -> None:
    assert play(NEEDED, (Claim, (False, NEWER)))[0].row is NEWER
    assert play(NEEDED, (Claim, (False, None)), (Load, NEWER))[0].row is NEWER


def test_the_row_is_gone() -> None:
    assert isinstance(play(NEEDED, (Claim, (False, None)), (Load, None))[0], NotConnected)


def test_waiting_for_anothers_renewal() -> None:
    leased = LEASED.as_row()
    outcome, _steps = play(
        NEEDED, (Claim, (False, leased)), (Pause, True), (Load, leased), (Pause, True), (Load, NEWER)
    )
    assert outcome.row is NEWER


def test_the_row_vanishes_while_waiting() -> None:
    script = [(Claim, (False, LEASED.as_row())), (Pause, True), (Load, None), (Claim, (False, None)), (Load, None)]
    assert isinstance(play(NEEDED, *script)[0], NotConnected)


def test_patience_ends() -> None:
    outcome, _steps = play(NEEDED, (Claim, (False, LEASED.as_row())), (Pause, False))
    assert isinstance(outcome, RefreshInProgress)
    assert outcome.retryable


def test_where_waiting_is_not_allowed_nobody_waits() -> None:
    outcome, _steps = play(Request(may_wait=False), (Claim, (False, LEASED.as_row())))
    assert isinstance(outcome, RefreshInProgress)


def test_a_living_token_is_used_while_another_renews() -> None:
    leased = LEASED.as_row()
    assert play(Request(is_needed=False), (Claim, (False, leased)))[0].row is leased


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("not_sent", NotSent),
        ("outcome_unknown", OutcomeUnknown),
        ("invalid_token_response", InvalidTokenResponse),
        ("throttled", Throttled),
        ("too_large", OutcomeUnknown),
    ],
)
def test_those_who_waited_share_the_failure(code: str, error: type[Exception]) -> None:
    failed = ModelRow(failures=1, backoff=True, error=code).as_row()
    outcome, _steps = play(NEEDED, (Claim, (False, LEASED.as_row())), (Pause, True), (Load, failed))
    assert type(outcome) is error
    assert outcome.code == code


def test_a_released_lease_is_claimed() -> None:
    script = [(Claim, (False, LEASED.as_row())), (Pause, True), (Load, ROW.as_row()), CLAIMED, (Post, PAIR)]
    assert play(NEEDED, *script, (Store, (True, NEWER)))[0].renewed


def test_the_verdict_is_heard_while_waiting() -> None:
    script = [(Claim, (False, LEASED.as_row())), (Pause, True), (Load, DEAD.as_row())]
    assert isinstance(play(NEEDED, *script)[0], ReconnectRequired)


def test_a_dead_row_is_not_tried_unless_forced() -> None:
    claimed = (Claim, (True, DEAD.as_row()))
    assert isinstance(play(NEEDED, claimed, (Release, None))[0], ReconnectRequired)
    assert play(Request(force=True), claimed, (Post, PAIR), (Store, (True, NEWER)))[0].renewed


def test_a_backoff() -> None:
    failed = (Claim, (True, ModelRow(failures=1, backoff=True, error="not_sent").as_row()))
    throttled = (Claim, (True, ModelRow(failures=1, backoff=True, error="throttled").as_row()))
    assert not play(Request(is_needed=False), failed, (Release, None))[0].renewed
    assert play(NEEDED, failed, (Post, PAIR), (Store, (True, NEWER)))[0].renewed
    outcome, _steps = play(NEEDED, throttled, (Release, None))
    assert isinstance(outcome, Throttled)
    assert outcome.retry_after > 0
    assert play(Request(force=True), throttled, (Post, PAIR), (Store, (True, NEWER)))[0].renewed


def test_refused_tokens_do_not_make_a_storm() -> None:
    rejected = Request(rejected=True)
    third = (Claim, (True, ModelRow(rejections=2, recent=True).as_row()))
    fourth = (Claim, (True, ModelRow(rejections=3, recent=True).as_row()))
    _outcome, steps = play(rejected, third, (Post, PAIR), (Store, (True, NEWER)))
    assert steps[2].rejection_count == 3
    outcome, _steps = play(rejected, fourth, (Release, None))
    assert isinstance(outcome, exceptions.Unauthorized)
    long_ago = (Claim, (True, ModelRow(rejections=3).as_row()))
    assert play(rejected, long_ago, (Post, PAIR), (Store, (True, NEWER)))[0].renewed


def test_a_broken_connection_is_followed_by_one_more_try_under_a_renewed_lease() -> None:
    lost = (Post, OutcomeUnknown())
    assert play(NEEDED, CLAIMED, lost, CLAIMED, (Post, PAIR), (Store, (True, NEWER)))[0].renewed
    outcome, steps = play(NEEDED, CLAIMED, lost, CLAIMED, lost, (Fail, None))
    assert isinstance(outcome, OutcomeUnknown)
    assert steps[-1].failure.outcome_unknown
    assert steps[-1].row.outcome_unknown


def test_no_second_try_without_the_lease_or_against_a_newer_version() -> None:
    lost = (Post, OutcomeUnknown())
    assert play(NEEDED, CLAIMED, lost, (Claim, (False, NEWER)))[0].row is NEWER
    outcome, _steps = play(NEEDED, CLAIMED, lost, (Claim, (False, LEASED.as_row())), (Fail, None))
    assert isinstance(outcome, OutcomeUnknown)


def test_the_second_try_finds_the_grant_dead() -> None:
    script = [CLAIMED, (Post, OutcomeUnknown()), CLAIMED, (Post, InvalidGrant()), *LOOKS_AGAIN, CLAIMED]
    outcome, steps = play(NEEDED, *script, (Conclude, DEAD.as_row()))
    assert isinstance(outcome, ReconnectRequired)
    assert (outcome.code, steps[-1].code) == ("lost_reply", "lost_reply")


def test_the_second_try_meets_a_wrong_client_secret_and_the_first_is_remembered() -> None:
    wrong = ThanksIOConfigurationError("wrong", code="invalid_client")
    outcome, steps = play(NEEDED, CLAIMED, (Post, OutcomeUnknown()), CLAIMED, (Post, wrong), (Fail, None))
    assert outcome is wrong
    assert steps[-1].failure.outcome_unknown


def test_a_dead_grant_is_believed_at_the_last_look_only() -> None:
    script = [CLAIMED, (Post, InvalidGrant()), *LOOKS_AGAIN, CLAIMED, (Conclude, DEAD.as_row())]
    outcome, steps = play(Request(rejected=True), *script)
    assert isinstance(outcome, ReconnectRequired)
    assert steps[-1] == Conclude("invalid_grant", access_token_dead=True)


@pytest.mark.parametrize("look", range(SECOND_LOOKS))
def test_a_newer_version_at_any_look_is_used(look: int) -> None:
    script = [CLAIMED, (Post, InvalidGrant()), *LOOKS_AGAIN[: 2 * look], (Pause, True)]
    assert play(NEEDED, *script, (Load, NEWER))[0].row is NEWER
    assert isinstance(play(NEEDED, *script, (Load, None))[0], NotConnected)


def test_a_newer_version_at_the_verdict_is_used() -> None:
    script = [CLAIMED, (Post, InvalidGrant()), *LOOKS_AGAIN]
    assert play(NEEDED, *script, (Claim, (False, NEWER)))[0].row is NEWER
    script.append(CLAIMED)
    assert play(NEEDED, *script, (Conclude, NEWER))[0].row is NEWER
    assert isinstance(play(NEEDED, *script, (Conclude, None))[0], NotConnected)


def test_a_renewal_that_another_has_in_hand_at_the_verdict_makes_it_a_lost_reply() -> None:
    script = [CLAIMED, (Post, InvalidGrant()), *LOOKS_AGAIN]
    for claimed, code in [
        ((False, replace(ModelRow().as_row(), lease_lives=True)), "lost_reply"),
        ((True, ModelRow(lease=0, unknown=True).as_row()), "lost_reply"),
        ((False, None), "invalid_grant"),  # somebody has the row locked, which says nothing
    ]:
        outcome, steps = play(NEEDED, *script, (Claim, claimed), (Conclude, DEAD.as_row()))
        assert isinstance(outcome, ReconnectRequired)
        assert steps[-1].code == code


def test_a_verdict_that_stood_already_leaves_no_lease() -> None:
    still_leased = replace(DEAD.as_row(), lease_lives=True)
    script = [CLAIMED, (Post, InvalidGrant()), *LOOKS_AGAIN, CLAIMED, (Conclude, still_leased), (Release, None)]
    assert isinstance(play(NEEDED, *script)[0], ReconnectRequired)


def test_no_verdict_from_the_callers_transaction() -> None:
    outcome, steps = play(IN_TRANSACTION, CLAIMED, (Post, InvalidGrant()), (Fail, None))
    assert isinstance(outcome, RefreshInProgress)
    assert outcome.code == steps[-1].failure.code == "verdict_pending"


def test_the_next_callers_transaction_waits_for_the_verdicts_time_without_a_post() -> None:
    row = ModelRow(lease=0, failures=1, error="verdict_pending", backoff=True).as_row()
    outcome, _steps = play(IN_TRANSACTION, (Claim, (True, row)), (Release, None))
    assert isinstance(outcome, RefreshInProgress)
    assert outcome.code == "verdict_pending"


def test_a_grant_that_is_still_dead_at_the_verdicts_time_is_believed() -> None:
    row = ModelRow(lease=0, failures=1, error="verdict_pending").as_row()
    script = [(Claim, (True, row)), (Post, InvalidGrant()), (Claim, (True, row)), (Conclude, DEAD.as_row())]
    assert isinstance(play(IN_TRANSACTION, *script)[0], ReconnectRequired)


def test_a_forced_try_from_the_callers_transaction_leaves_the_verdict_as_it_is() -> None:
    forced = replace(IN_TRANSACTION, force=True)
    script = [(Claim, (True, DEAD.as_row())), (Post, InvalidGrant()), (Release, None)]
    assert isinstance(play(forced, *script)[0], ReconnectRequired)


@pytest.mark.parametrize(
    ("error", "unknown", "backs_off", "retry_after"),
    [
        (NotSent(), False, True, None),
        (OutcomeUnknown(code="too_large"), True, True, None),
        (InvalidTokenResponse(), True, True, None),
        (InvalidTokenResponse(code="not_found"), False, True, None),
        (Throttled(retry_after=90), False, True, 90),
        (TokenUndecryptable(), False, False, None),
    ],
)
def test_what_a_failure_records(error: Exception, unknown: bool, backs_off: bool, retry_after: float | None) -> None:
    outcome, steps = play(NEEDED, CLAIMED, (Post, error), (Fail, None))
    assert outcome is error
    failure = steps[-1].failure
    assert (failure.outcome_unknown, failure.backs_off, failure.retry_after_seconds) == (
        unknown,
        backs_off,
        retry_after,
    )


def test_our_own_misconfiguration_touches_no_row() -> None:
    error = ThanksIOConfigurationError("wrong", code="invalid_client")
    assert play(NEEDED, CLAIMED, (Post, error), (Release, None))[0] is error


def test_no_refresh_token() -> None:
    error = ReconnectRequired(code="no_refresh_token")
    assert play(Request(has_expired=True), CLAIMED, (Post, error), (Conclude, DEAD.as_row()))[0] is error
    assert play(NEEDED, CLAIMED, (Post, error), (Release, None))[0] is error
    assert not play(Request(is_needed=False), CLAIMED, (Post, error), (Release, None))[0].renewed
