"""From an error to a page: what happened, that nothing was lost, and one button that goes on.

The user reads fixed sentences of ours. The operator's cause goes to the log (``thanksio_connect``), and to
the page under ``DEBUG``. Neither shows anything that came with the request or from thanks.io, apart from safe
codes.
"""

from __future__ import annotations

import logging
import traceback
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from ..client.interruption import is_interruption
from ..conf import project_setting
from ..exceptions import (
    InvalidGrant,
    InvalidState,
    InvalidTokenResponse,
    OAuthError,
    ThanksIOConfigurationError,
    ThanksIOError,
    Throttled,
    TokenUndecryptable,
    TransportError,
)
from ..flows.addresses import own_url
from ..flows.status import connection_of, name_of
from ..records import record
from .answers import problem_json, wants_json


@dataclass(frozen=True)
class Problem:
    """An error page. ``start_again``: whether trying again at once can help."""

    status: int
    code: str
    title: str | Promise
    sentence: str | Promise
    start_again: bool = True


_NOT_FINISHED = _("The connection was not finished")
_UNKNOWN_STATE = _(
    "This answer from thanks.io can't be used. It was used before, it is too old, or the connection was started in "
    "another browser."
)
_BY_CODE: dict[str, tuple[int, str | Promise]] = {
    "expired_state": (400, _("It took too long to come back from thanks.io, so this attempt has expired.")),
    "other_user": (400, _("Somebody else was signed in on this site when this connection was started.")),
    "missing_code": (400, _("thanks.io sent you back without an answer.")),
    "other_issuer": (400, _("This answer did not come from thanks.io.")),
    "already_used": (
        409,
        _("This answer from thanks.io was used already, and your account is not connected. Start again."),
    ),
    "authorization_error": (400, _("thanks.io did not accept the request of this site.")),
}
_ANSWERED_WRONGLY = _("thanks.io did not answer as it should. Wait a moment, then start again.")
_PERMISSION_ENDED = _("thanks.io no longer accepts the permission that you gave. Start again to give it once more.")
_BY_KIND: list[tuple[tuple[type[ThanksIOError], ...], int, str | Promise]] = [
    ((Throttled,), 503, _("thanks.io is busy. Wait a moment, then start again.")),
    ((TransportError, InvalidTokenResponse), 502, _ANSWERED_WRONGLY),
    ((InvalidGrant,), 400, _PERMISSION_ENDED),
]
# What users do: a page that was left open, another browser, the Back button. Nothing is out of order.
_BY_CHANCE = {"unknown_state", "expired_state", "other_browser", "other_user", "already_used"}
_SITE_PROBLEM = _("This site can't connect to thanks.io at the moment. The cause is on our side, not on yours.")


def _configuration_problem(error: ThanksIOConfigurationError) -> Problem:
    if error.code == "not_configured":
        sentence = _("Connecting to thanks.io is not set up on this site yet.")
        return Problem(503, error.code, _("Not set up"), sentence, start_again=False)
    return Problem(503, "configuration", _("Not available"), _SITE_PROBLEM, start_again=False)


def problem_of(error: Exception) -> Problem:
    """The page for an error of the browser flow, any error."""
    if isinstance(error, ThanksIOConfigurationError):
        return _configuration_problem(error)
    if isinstance(error, TokenUndecryptable):
        return Problem(503, "configuration", _("Not available"), _SITE_PROBLEM)
    if isinstance(error, OAuthError) and error.code in _BY_CODE:
        status, words = _BY_CODE[error.code]
        return Problem(status, error.code, _NOT_FINISHED, words)
    if isinstance(error, InvalidState):  # a code that says more than the user need know
        return Problem(400, InvalidState.code, _NOT_FINISHED, _UNKNOWN_STATE)
    for kinds, status, words in _BY_KIND:
        if isinstance(error, kinds):
            return Problem(status, error.code, _NOT_FINISHED, words)
    return Problem(500, "error", _("Something went wrong"), _("The connection could not be finished."))


def problem_response(request: HttpRequest, error: Exception, *, next_url: str = "") -> HttpResponse:
    """Log the operator's cause and answer with a page, or with JSON for a client that prefers it."""
    problem = problem_of(error)
    cause = _log(problem, error, _user_id(request))
    if wants_json(request):
        response: HttpResponse = problem_json(problem.code, str(problem.sentence), status=problem.status)
    else:
        user = getattr(request, "user", None) if problem.status != 500 else None  # whatever failed may fail again
        context: dict[str, Any] = {
            "problem": problem,
            "connection": connection_of(user),
            "signed_in_as": name_of(user),
            "connect_url": own_url(request, "connect"),
            "connection_url": own_url(request, "connection"),
            "next_url": next_url,
            "operator_cause": cause if project_setting("DEBUG") else "",
        }
        response = render(request, "thanksio_connect/error.html", context, status=problem.status)
    if isinstance(error, Throttled) and error.retry_after is not None:
        response["Retry-After"] = str(int(error.retry_after))
    return response


def _user_id(request: HttpRequest) -> Any:
    """Whose attempt it was; None for a visitor, and where that can't be found out now."""
    try:
        return getattr(getattr(request, "user", None), "pk", None)
    except Exception as error:
        if is_interruption(error):
            raise
        return None


def _log(problem: Problem, error: Exception, user_id: Any) -> str:
    if problem.status == 500:
        # No traceback: its frames and the error's text may hold what must not be seen.
        frame = traceback.extract_tb(error.__traceback__)[-1] if error.__traceback__ else None
        where = f" at {frame.filename}:{frame.lineno} in {frame.name}" if frame else ""
        cause = f"{type(error).__name__}{where}"
        record("authorization.error", words={"cause": cause}, user_id=user_id, code=type(error).__name__)
        return cause
    cause = str(error)
    if problem.code in ("configuration", "not_configured"):
        code = str(getattr(error, "code", problem.code))
        record("authorization.impossible", words={"cause": cause}, user_id=user_id, code=code)
    elif isinstance(error, ThanksIOError) and error.code == "no_browser_cookie":
        hint = "If this happens to everybody, THANKSIO_REDIRECT_URI leads to another host than users visit."
        record("authorization.failed:no_cookie", words={"hint": hint}, user_id=user_id, code=error.code)
        return f"{cause} {hint}"
    elif isinstance(error, ThanksIOError):
        level = logging.INFO if error.code in _BY_CHANCE else None
        record("authorization.failed", level=level, words={"cause": cause}, user_id=user_id, code=error.code)
    return cause
