"""What all pages have in common: headers, login, JSON for front ends that fetch."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib import messages
from django.db import connections, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.utils.cache import patch_cache_control, patch_vary_headers
from django.utils.functional import Promise
from django.utils.translation import gettext as _

from ..exceptions import ThanksIOConfigurationError
from ..flows.addresses import login_url, own_url, requested_next

View = Callable[..., HttpResponse]


def own_page(view: View) -> View:
    """Never stored, never framed, no address of ours to other sites.

    ``private`` is for Django's cache middleware, which does not heed ``no-store``. ``same-origin`` instead of
    ``no-referrer``: under that, browsers post ``Origin: null``, which Django's CSRF check refuses. Framing is
    forbidden by ``X-Frame-Options`` alone: a ``Content-Security-Policy`` of ours would replace the project's. Captured
    parts of the project's path (``<slug:tenant>/thanksio/``) are none of a view's business.
    """

    @wraps(view)
    def wrapper(request: HttpRequest, *captured: Any, **named: Any) -> HttpResponse:
        response = view(request)
        patch_cache_control(response, no_store=True, private=True)
        patch_vary_headers(response, ["Accept", "Cookie"])
        response.setdefault("Referrer-Policy", "same-origin")
        response["X-Frame-Options"] = "DENY"
        return response

    return wrapper


def signed_in(view: View) -> View:
    """Send anonymous visitors to the project's login, and from there back to this page (as a GET)."""

    @wraps(view)
    def wrapper(request: HttpRequest) -> HttpResponse:
        if visitor(request).is_authenticated:
            return view(request)
        name = request.resolver_match.url_name if request.resolver_match else None
        target = login_url(request, own_url(request, name or "connection", next_url=requested_next(request)))
        if wants_json(request):
            return problem_json("login_required", _("Sign in first."), status=401, login_url=target)
        return HttpResponseRedirect(target)

    return wrapper


def outside_transactions(view: View) -> View:
    """``ATOMIC_REQUESTS`` off on every database: what thanks.io has given must not vanish with a rollback."""
    for alias in connections:
        view = transaction.non_atomic_requests(using=alias)(view)
    return view


def visitor(request: HttpRequest) -> Any:
    """``request.user``. Raises :class:`ThanksIOConfigurationError` where no middleware sets it."""
    user = getattr(request, "user", None)
    if user is None:
        raise ThanksIOConfigurationError(
            "The request has no user: add django.contrib.auth.middleware.AuthenticationMiddleware to MIDDLEWARE, after "
            "django.contrib.sessions.middleware.SessionMiddleware. manage.py check tells what else is missing."
        )
    return user


def wants_json(request: HttpRequest) -> bool:
    """Whether the client prefers JSON; a browser's navigation does not."""
    return request.get_preferred_type(["text/html", "application/json"]) == "application/json"


def problem_json(error: str, message: str, *, status: int, **more: str) -> JsonResponse:
    """``{"error": machine-readable code, "message": a sentence for the user}``."""
    return JsonResponse({"error": error, "message": message, **more}, status=status)


def tell(request: HttpRequest, level: int, text: str | Promise) -> None:
    """A message on the next page, where ``django.contrib.messages`` is installed."""
    messages.add_message(request, level, str(text), fail_silently=True)
