"""The way to thanks.io and back: the page that connects, and the callback."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect, JsonResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods

from ..client.interruption import is_interruption
from ..client.tokens import Secret
from ..exceptions import ThanksIOConfigurationError
from ..flows.addresses import connected_url, login_url, own_url, requested_next, safe_next
from ..flows.authorize import check_ready, start_authorization
from ..flows.browser import remember_browser
from ..flows.callback import Answer, Outcome, Unfinished, find_open_request, finish_authorization
from ..flows.code_exchange import Interrupted
from ..flows.response import AuthorizationResponse, hide_query, take_response
from ..flows.status import connection_of, name_of
from .answers import outside_transactions, own_page, signed_in, tell, visitor, wants_json
from .problems import problem_response


@own_page
@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
@csrf_protect
def connect(request: HttpRequest) -> HttpResponse:
    """Ask (GET), then send the browser to thanks.io (POST).

    A client that prefers JSON gets ``{"authorize_url": …}`` to navigate to.
    """
    next_url = requested_next(request)
    try:
        if request.method == "POST":
            return _send_to_thanksio(request, next_url)
        check_ready(request)
    except ThanksIOConfigurationError as error:
        return problem_response(request, error, next_url=next_url)
    context = {
        "connection": connection_of(request.user),
        "signed_in_as": name_of(request.user),
        "next_url": next_url,
        "connect_url": own_url(request, "connect"),
        "connection_url": own_url(request, "connection"),
    }
    return render(request, "thanksio_connect/connect.html", context)


@sensitive_variables()
def _send_to_thanksio(request: HttpRequest, next_url: str) -> HttpResponse:
    begun = start_authorization(request, next_url=next_url)
    response: HttpResponse
    if wants_json(request):
        response = JsonResponse({"authorize_url": begun.url.reveal()})
    else:
        response = HttpResponseRedirect(begun.url.reveal())
    remember_browser(request, response, begun.nonce, begun.redirect_uri)
    return response


@outside_transactions
@login_not_required
@own_page
def callback(request: HttpRequest) -> HttpResponse:
    """Where thanks.io sends the browser back to (RFC 6749 3.1.2). Ends in no traceback, but for what interrupts it."""
    if request.method != "GET":
        hide_query(request)  # Django logs the refusal with the request
        return HttpResponseNotAllowed(["GET"])
    try:
        return _answer(request)
    except Interrupted as interrupted:
        raise interrupted.exception from None  # its owner waits for it; our frames show no code
    except Exception as error:
        if is_interruption(error):
            raise
        caught = error  # an error report would show the code
    # Outside the handler: an error in the error page's template must not chain to frames that hold the code.
    if isinstance(caught, Unfinished):
        return problem_response(request, caught.error, next_url=safe_next(request, caught.next_url))
    return problem_response(request, caught)


@sensitive_variables()
def _answer(request: HttpRequest) -> HttpResponse:
    response = take_response(request)
    if visitor(request).is_authenticated:
        outcome = finish_authorization(request, response)
        if outcome.answer is Answer.UNDER_WAY:
            return _come_again(request, response, seconds=1)
        return _finished(request, outcome)
    if not response.returns:  # under SESSION_COOKIE_SAMESITE="Strict", the cross-site redirect brought no session
        return _come_again(request, response)
    return _sign_in_first(request, response)


@sensitive_variables()
def _come_again(request: HttpRequest, response: AuthorizationResponse, *, seconds: int = 0) -> HttpResponse:
    """A page of our own that navigates here once more, which the browser sees as same-site. It needs no script.

    Its address is the URLconf's: the request's may be one that an unanchored pattern let in (``//evil.example/…``).
    """
    # A callable, which the template calls: who records the context, as tracers do, gets no address.
    continue_url = Secret(f"{own_url(request, 'callback')}?{response.query_again().reveal()}").reveal
    context = {"continue_url": continue_url, "seconds": seconds}
    page = render(request, "thanksio_connect/callback_bounce.html", context)
    page["Referrer-Policy"] = "no-referrer"  # the next page's scripts could read this address; no form needs it here
    return page


def _sign_in_first(request: HttpRequest, response: AuthorizationResponse) -> HttpResponse:
    """The user was signed out meanwhile. Nothing is consumed; no code or state goes to the login page."""
    opened = find_open_request(request, response)
    if response.error == "access_denied":
        _tell_denied(request)
        back_to = own_url(request, "connection")
    else:
        tell(
            request,
            messages.INFO,
            _("You were signed out meanwhile. Sign in, then continue to thanks.io once more."),
        )
        back_to = own_url(request, "connect", next_url=safe_next(request, opened.next_url))
    return HttpResponseRedirect(login_url(request, back_to))


def _tell_denied(request: HttpRequest) -> None:
    if connection_of(request.user):
        text = _("You did not allow a new connection to thanks.io. The earlier one is unchanged.")
    else:
        text = _("You did not allow the connection to thanks.io.")
    tell(request, messages.WARNING, text)


def _finished(request: HttpRequest, outcome: Outcome) -> HttpResponse:
    if outcome.answer is Answer.DENIED:
        _tell_denied(request)
        return HttpResponseRedirect(safe_next(request, outcome.next_url) or own_url(request, "connection"))
    target = connected_url(request, outcome.next_url)
    if target != own_url(request, "connection"):  # which says so by itself
        if outcome.answer is Answer.ALREADY_CONNECTED:
            tell(request, messages.INFO, _("Your thanks.io account is already connected."))
        else:
            tell(request, messages.SUCCESS, _("Your thanks.io account is connected."))
    if outcome.account_changed:
        tell(
            request,
            messages.WARNING,
            _("This is another thanks.io account than the one that was connected before."),
        )
    return HttpResponseRedirect(target)
