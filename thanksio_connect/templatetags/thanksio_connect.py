"""Template tags: the button, the notice, the user's connection. They decrypt nothing; one query a request."""

from __future__ import annotations

from typing import Any

from django import template
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from django.template import Context
from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from ..flows.addresses import own_url
from ..flows.status import connection_of, state_of
from ..models import ThanksIOConnection

register = template.Library()


def _request(context: Context, tag: str) -> HttpRequest:
    request = context.get("request")
    if not isinstance(request, HttpRequest):
        raise ImproperlyConfigured(
            f"{{% {tag} %}} needs the request in the template's context: add the context processor "
            "'django.template.context_processors.request' and render with the request."
        )
    return request


def _button_context(context: Context, request: HttpRequest, next_url: str) -> dict[str, Any]:
    user = getattr(request, "user", None)
    connection = connection_of(user)
    return {
        "connection": connection,
        "state": state_of(connection),
        "is_signed_in": bool(getattr(user, "is_authenticated", False)),
        "next_url": next_url,
        "connect_url": own_url(request, "connect"),
        "connect_url_with_next": own_url(request, "connect", next_url=next_url),
        "connection_url": own_url(request, "connection"),
        "csrf_token": context.get("csrf_token"),
    }


@register.inclusion_tag("thanksio_connect/includes/connect_button.html", takes_context=True)
def thanksio_connect_button(context: Context, next: str = "") -> dict[str, Any]:
    """Connect, Connected or Reconnect, by the user's state; an anonymous visitor's leads over the login.

    ``next``: where to go afterwards, on this site; else ``THANKSIO_CONNECTED_URL``.
    """
    return _button_context(context, _request(context, "thanksio_connect_button"), next)


@register.simple_tag(takes_context=True)
def thanksio_reconnect_notice(context: Context, next: str = "") -> SafeString:
    """Nothing, or that the user's connection needs them, with the button."""
    request = _request(context, "thanksio_reconnect_notice")
    values = _button_context(context, request, next)
    connection = values["connection"]
    if connection is None or not connection.needs_reconnect:
        return SafeString("")
    return render_to_string("thanksio_connect/includes/reconnect_notice.html", values)


@register.simple_tag(takes_context=True)
def thanksio_connection(context: Context) -> ThanksIOConnection | None:
    """The user's connection, or None."""
    return connection_of(getattr(_request(context, "thanksio_connection"), "user", None))
