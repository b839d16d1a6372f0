"""The status page, and the page that disconnects."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import render
from django.utils.translation import gettext_lazy as _
from django.views.decorators.csrf import csrf_protect, ensure_csrf_cookie
from django.views.decorators.http import require_http_methods

from ..flows import started
from ..flows.addresses import access_page_url, back_url, disconnected_url, own_url, requested_next
from ..flows.disconnect import disconnect_user, is_revoked_at_thanksio
from ..flows.status import connection_of, name_of, state_of
from ..models import ThanksIOConnection
from .answers import own_page, signed_in, tell, wants_json

_DISCONNECTED = _("Your thanks.io account is disconnected.")
_NOT_CONNECTED = _("No thanks.io account was connected.")


def state_as_json(request: HttpRequest, connection: ThanksIOConnection | None) -> dict[str, Any]:
    """The documented schema for front ends that fetch; times are ISO 8601 or null."""
    return {
        "state": state_of(connection),
        "needs_reconnect": connection is not None and connection.needs_reconnect,
        "connected_since": connection.connected_at.isoformat() if connection else None,
        "expires_at": connection.expires_at.isoformat() if connection and connection.expires_at else None,
        "connection_url": own_url(request, "connection"),
        "connect_url": own_url(request, "connect"),
        "disconnect_url": own_url(request, "disconnect"),
    }


@own_page
@require_http_methods(["GET", "HEAD"])
@signed_in
@ensure_csrf_cookie
def connection(request: HttpRequest) -> HttpResponse:
    """Whether the user is connected; as JSON for a client that prefers it."""
    mine = connection_of(request.user)
    if wants_json(request):
        return JsonResponse(state_as_json(request, mine))
    next_url = requested_next(request)
    context = {
        "connection": mine,
        "state": state_of(mine),
        "signed_in_as": name_of(request.user),
        "next_url": next_url,
        "back_url": back_url(request, next_url),
        "connect_url": own_url(request, "connect"),
        "disconnect_url": own_url(request, "disconnect", next_url=next_url),
    }
    return render(request, "thanksio_connect/connection.html", context)


@own_page
@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
@csrf_protect
def disconnect(request: HttpRequest) -> HttpResponse:
    """Ask (GET), then remove the connection (POST)."""
    next_url = requested_next(request)
    if request.method != "POST":
        mine = connection_of(request.user)
        if mine is None:
            return HttpResponseRedirect(own_url(request, "connection"))
        context = {
            "connection": mine,
            "signed_in_as": name_of(request.user),
            "is_revoked": is_revoked_at_thanksio(),
            "access_page_url": access_page_url(),
            "next_url": next_url,
            "connection_url": own_url(request, "connection"),
            "disconnect_url": own_url(request, "disconnect"),
        }
        return render(request, "thanksio_connect/disconnect.html", context)
    removed = disconnect_user(request.user)
    started.forget_all(request)
    if wants_json(request):
        return JsonResponse(state_as_json(request, None))
    target = disconnected_url(request, next_url)
    if target != own_url(request, "connection"):  # which says so by itself
        level, text = (messages.SUCCESS, _DISCONNECTED) if removed else (messages.INFO, _NOT_CONNECTED)
        tell(request, level, text)
    return HttpResponseRedirect(target)
