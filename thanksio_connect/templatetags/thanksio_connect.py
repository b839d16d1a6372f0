"""Template tags: the button, the notice, the user's connection, the stylesheet. No decryption; one query a request."""

from __future__ import annotations

from typing import Any

from django import template
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from django.template import Context
from django.template.loader import render_to_string
from django.templatetags.static import static
from django.urls import NoReverseMatch
from django.utils.safestring import SafeString

from ..conf import app_settings, project_setting
from ..exceptions import ThanksIOConfigurationError
from ..flows.addresses import current_page, own_url
from ..flows.mount import NOT_INCLUDED
from ..flows.status import connection_of, state_of
from ..models import ThanksIOConnection
from ..records import record

register = template.Library()

STYLESHEET = "thanksio_connect/thanksio_connect.css"


def _request(context: Context, tag: str) -> HttpRequest:
    request = context.get("request")
    if not isinstance(request, HttpRequest):
        raise ImproperlyConfigured(
            f"{{% {tag} %}} needs the request in the template's context: add the context processor "
            "'django.template.context_processors.request' and render with the request."
        )
    return request


def _button_context(context: Context, request: HttpRequest, next_url: str | None) -> dict[str, Any]:
    user = getattr(request, "user", None)
    connection = connection_of(user)
    next_url = current_page(request) if next_url is None else next_url
    values = {
        "connection": connection,
        "state": state_of(connection),
        "is_signed_in": bool(getattr(user, "is_authenticated", False)),
        "next_url": next_url,
        "csrf_token": context.get("csrf_token"),
    }
    return values | _addresses(request, next_url)


def _addresses(request: HttpRequest, next_url: str) -> dict[str, str]:
    """The pages that the button leads to, or why there are none."""
    try:
        return {
            "connect_url": own_url(request, "connect"),
            "connect_url_with_next": own_url(request, "connect", next_url=next_url),
            "connection_url": own_url(request, "connection", next_url=next_url),
        }
    except NoReverseMatch:
        record("pages.urls_missing", words={"cause": NOT_INCLUDED})
        return {"connect_url": "", "operator_cause": NOT_INCLUDED if project_setting("DEBUG") else ""}


@register.inclusion_tag("thanksio_connect/includes/connect_button.html", takes_context=True)
def thanksio_connect_button(context: Context, next: str | None = None) -> dict[str, Any]:
    """Connect, Connected or Reconnect, by the user's state; an anonymous visitor's leads over the login.

    ``next``: where to go afterwards, on this site. By default back to this page, or to ``THANKSIO_CONNECTED_URL`` if
    that is set; with ``next=""`` to the status page.
    """
    return _button_context(context, _request(context, "thanksio_connect_button"), next)


@register.simple_tag(takes_context=True)
def thanksio_reconnect_notice(context: Context, next: str | None = None) -> SafeString:
    """Nothing, or that the user's connection needs them, with the button."""
    request = _request(context, "thanksio_reconnect_notice")
    values = _button_context(context, request, next)
    connection = values["connection"]
    if connection is None or not connection.needs_reconnect:
        return SafeString("")
    return render_to_string("thanksio_connect/includes/reconnect_notice.html", values)


@register.simple_tag
def thanksio_stylesheet() -> str:
    """The address of the app's stylesheet; empty with ``THANKSIO_STYLESHEET = False`` or without static files."""
    try:
        wanted = app_settings.stylesheet and bool(project_setting("STATIC_URL"))
        return static(STYLESHEET) if wanted else ""
    except (ThanksIOConfigurationError, ImproperlyConfigured, ValueError) as error:  # ValueError: not in the manifest
        record("pages.style_missing", words={"cause": error})
        return ""


@register.simple_tag(takes_context=True)
def thanksio_connection(context: Context) -> ThanksIOConnection | None:
    """The user's connection, or None."""
    return connection_of(getattr(_request(context, "thanksio_connection"), "user", None))
