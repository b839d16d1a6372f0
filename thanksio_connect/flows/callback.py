"""Finish an authorization: the callback, from the state to the stored connection.

The order is the point (RFC 9700 4.7): the state is checked against the database, the browser and the user
before ``error``, ``iss`` or ``code`` is believed; the request is consumed before the code is sent; the code
is sent once.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from django.db import router
from django.http import HttpRequest
from django.views.decorators.debug import sensitive_variables

from ..client.interruption import is_interruption
from ..client.oauth import OAuthClient
from ..client.tokens import Secret, TokenSet
from ..conf import app_settings, oauth_client
from ..exceptions import InvalidState, NotSent, OAuthError
from ..fields import as_the_project_has_it, utc_now
from ..models import AuthorizationRequest, ThanksIOConnection
from ..records import record
from . import started
from .authorize import open_requests
from .browser import COOKIE_NAME, is_same_browser
from .code_exchange import CodeExchange
from .response import AuthorizationResponse

LOOKS_AT_MOST = 4


class Answer(enum.Enum):
    """How an authorization ended, or that another callback may be ending it."""

    CONNECTED = "connected"
    ALREADY_CONNECTED = "already_connected"
    DENIED = "denied"
    UNDER_WAY = "under_way"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer, where the user wanted to go, and whether another thanks.io account is known to be used."""

    answer: Answer
    next_url: str = ""
    account_changed: bool = False


class Unfinished(Exception):
    """An authorization of the right user failed with ``error``; ``next_url`` is kept for the next attempt."""

    def __init__(self, error: Exception, next_url: str) -> None:
        self.error = error
        self.next_url = next_url
        super().__init__(type(error).__name__)


def find_open_request(request: HttpRequest, response: AuthorizationResponse) -> AuthorizationRequest:
    """The request that the state belongs to, if this browser started it and it lives. Consumes nothing.

    Raises :class:`InvalidState` with the code ``unknown_state``, ``no_browser_cookie``, ``other_browser`` or
    ``expired_state``.
    """
    opened = open_requests().filter(state_digest=response.state_digest).first()
    if opened is None:
        raise InvalidState(code="unknown_state")
    if COOKIE_NAME not in request.COOKIES:
        raise InvalidState(code="no_browser_cookie")
    if not is_same_browser(request, opened.browser_digest):
        raise InvalidState(code="other_browser")
    if opened.expires_at <= utc_now():
        raise InvalidState(code="expired_state")
    return opened


@sensitive_variables()
def finish_authorization(request: HttpRequest, response: AuthorizationResponse) -> Outcome:
    """Store the connection that the signed-in user has just allowed; exchanges the code exactly once.

    Raises :class:`InvalidState` where the state is not this user's, and else :class:`Unfinished` with an
    :class:`InvalidState`, another :class:`OAuthError`, a :class:`TransportError`,
    :class:`ThanksIOConfigurationError` or :class:`TokenUndecryptable`. An existing connection is touched by a
    success only. Whatever something raises into this thread meanwhile is raised once the tokens are stored, as
    :class:`~thanksio_connect.flows.code_exchange.Interrupted`.
    """
    since = started.started_at(request, response.state_digest)
    try:
        opened = find_open_request(request, response)
    except InvalidState as error:
        if error.code != "unknown_state" or since is None:
            raise
        return _finished_elsewhere(request, response, since)
    if opened.user_id != request.user.pk:
        raise InvalidState(code="other_user")
    try:
        return _finish(request, response, opened, since or opened.created_at)
    except Exception as error:
        if is_interruption(error):
            raise
        raise Unfinished(error, opened.next_url) from error


@sensitive_variables()
def _finish(
    request: HttpRequest, response: AuthorizationResponse, opened: AuthorizationRequest, since: datetime
) -> Outcome:
    _check_issuer(response)
    if response.error:
        return _refused(request, response, opened)
    client = oauth_client()
    verifier = Secret(opened.code_verifier.reveal()) if opened.code_verifier else None
    before = _account_before(opened)  # now: nothing that may fail shall stand between the tokens and their row
    if not _consume(opened):
        return _finished_elsewhere(request, response, since)
    # From here on a second callback with this state looks for our connection, unless the mark is gone.
    connection = CodeExchange(request, response, lambda: _exchange(client, response, opened, verifier)).finish()
    changed = bool(before and before != connection.thanksio_user_id)
    return Outcome(Answer.CONNECTED, opened.next_url, account_changed=changed)


def _check_issuer(response: AuthorizationResponse) -> None:
    """RFC 9207 2.4, where the server sends ``iss``: a code of another server is not ours (RFC 9700 4.4)."""
    if not response.iss:
        return
    expected = urlsplit(app_settings.authorize_url)
    try:
        issuer = urlsplit(response.iss)
    except ValueError:
        issuer = urlsplit("")
    if (issuer.scheme, issuer.netloc.lower()) != (expected.scheme, expected.netloc.lower()):
        raise InvalidState(code="other_issuer")


def _refused(request: HttpRequest, response: AuthorizationResponse, opened: AuthorizationRequest) -> Outcome:
    """``error=…`` (RFC 6749 4.1.2.1): a denial is an answer, the rest is raised."""
    _consume(opened)
    started.forget(request, response.state_digest)
    if response.error == "access_denied":
        record("authorization.denied", user_id=opened.user_id, code=response.error)
        return Outcome(Answer.DENIED, opened.next_url)
    words = {"description": response.error_description, "redirect_uri": opened.redirect_uri}
    record("authorization.refused", words=words, user_id=opened.user_id, code=response.error)
    raise OAuthError("thanks.io refused the authorization request.", code="authorization_error")


def _consume(opened: AuthorizationRequest) -> bool:
    """Whoever deletes the row may exchange the code."""
    return bool(open_requests().filter(pk=opened.pk, expires_at__gt=utc_now()).delete()[0])


@sensitive_variables()
def _exchange(
    client: OAuthClient,
    response: AuthorizationResponse,
    opened: AuthorizationRequest,
    verifier: Secret | None,
) -> TokenSet:
    """Exchange the code; again only if not a byte was sent: a code used twice revokes what it gave."""
    assert response.code is not None
    try:
        return client.exchange_code(code=response.code, redirect_uri=opened.redirect_uri, code_verifier=verifier)
    except NotSent:
        return client.exchange_code(code=response.code, redirect_uri=opened.redirect_uri, code_verifier=verifier)


def _account_before(opened: AuthorizationRequest) -> str | None:
    """The account that was connected; reads each column, so that a missing one is found before the code is spent."""
    connections = ThanksIOConnection.objects.using(router.db_for_write(ThanksIOConnection)).select_related("tokens")
    before = connections.filter(user_id=opened.user_id).first()
    return None if before is None else before.thanksio_user_id


def _finished_elsewhere(request: HttpRequest, response: AuthorizationResponse, since: datetime) -> Outcome:
    """This user's request is consumed; another callback may be storing the connection now.

    Nobody waits here: a worker that waits could be made to wait again and again. The page comes back by itself
    (``UNDER_WAY``), a few times. Raises :class:`OAuthError` (code ``already_used``) at the last look, and
    :class:`InvalidState` at once for an old authorization that nobody can be finishing any more.
    """
    connections = ThanksIOConnection.objects.using(router.db_for_write(ThanksIOConnection))
    user_pk: Any = request.user.pk
    if connections.filter(user_id=user_pk, connected_at__gte=as_the_project_has_it(since)).exists():
        return Outcome(Answer.ALREADY_CONNECTED)
    if since + timedelta(seconds=app_settings.state_ttl_seconds) <= utc_now():
        raise InvalidState(code="expired_state")
    if response.returns >= LOOKS_AT_MOST:
        raise OAuthError("This authorization was used already.", code="already_used")
    return Outcome(Answer.UNDER_WAY)
