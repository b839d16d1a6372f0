"""A dead grant that is met inside a caller's transaction: nobody can look twice there, so the next one believes it.

Broken on purpose, these fail: a verdict on first sight, a word left behind that the rollback takes back.
"""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from thanksio_connect.exceptions import ReconnectRequired, RefreshInProgress, ThanksIOError
from thanksio_connect.models import ThanksIOConnection


class HostError(Exception):
    """The host's view fails."""


def ask_in_a_transaction_that_fails():
    """Hold the row, want a token, roll back. Returns the error that the helper raised."""
    raised = []

    @transaction.atomic
    def view():
        connection = ThanksIOConnection.objects.select_for_update().get()
        ThanksIOConnection.objects.filter(pk=connection.pk).update(thanksio_user_id="1")  # locks on SQLite, too
        try:
            connection.get_access_token()
        except ThanksIOError as error:
            raised.append(error)
        raise HostError

    with pytest.raises(HostError):
        view()
    return raised[0]


def test_the_first_one_leaves_word_and_the_next_one_believes_it(connected, thanksio):
    connection = connected()
    thanksio.revoke(connection.refresh_token)

    first = ask_in_a_transaction_that_fails()
    connection.refresh_from_db()
    assert (type(first), first.code) == (RefreshInProgress, "verdict_pending")
    assert (connection.status, connection.last_error_code) == ("connected", "verdict_pending")

    too_early = ask_in_a_transaction_that_fails()
    assert too_early.code == "verdict_pending"
    assert thanksio.count("refresh_token") == 1

    ThanksIOConnection.objects.update(next_refresh_at=timezone.now() - timedelta(seconds=1))
    last = ask_in_a_transaction_that_fails()
    connection.refresh_from_db()
    assert type(last) is ReconnectRequired
    assert (connection.status, connection.last_error_code) == ("reconnect_required", "invalid_grant")
    assert connection.lease_id is None


def test_one_outside_transactions_decides_at_once(connected, thanksio):
    connection = connected()
    thanksio.revoke(connection.refresh_token)
    ask_in_a_transaction_that_fails()
    with pytest.raises(ReconnectRequired):
        ThanksIOConnection.objects.get().get_access_token()


def test_an_unknown_outcome_survives_the_rollback_and_names_the_later_verdict(connected, thanksio):
    connected()
    thanksio.next_token(lose_reply="after", times=1)
    thanksio.next_token(lose_reply="before", times=1)  # the one replay
    assert ask_in_a_transaction_that_fails().code == "outcome_unknown"
    assert ThanksIOConnection.objects.get().outcome_unknown
    with pytest.raises(ReconnectRequired):
        ThanksIOConnection.objects.get().get_access_token()
    assert ThanksIOConnection.objects.get().last_error_code == "lost_reply"
