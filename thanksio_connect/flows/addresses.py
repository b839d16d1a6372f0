"""Where the browser goes: the app's own pages, and destinations that a request asks for.

A destination that came with a request is followed only on this site (RFC 9700 4.11.1, open redirectors).
"""

from __future__ import annotations

import unicodedata
from urllib.parse import urlencode, urlsplit

from django.contrib.auth import REDIRECT_FIELD_NAME
from django.http import HttpRequest, QueryDict
from django.shortcuts import resolve_url
from django.urls import NoReverseMatch, Resolver404, get_script_prefix, resolve
from django.utils.http import url_has_allowed_host_and_scheme

from ..client.urls import is_secure_url
from ..conf import app_settings, project_setting
from ..exceptions import ThanksIOConfigurationError
from ..records import record
from .mount import own_path

NEXT_FIELD = "next"
MAX_NEXT_LENGTH = 2000
ACCESS_PAGE = "/profile/api"


def own_url(request: HttpRequest, name: str, *, next_url: str = "") -> str:
    """The path of one of the app's pages, with the script prefix and under the namespace of this request.

    A destination whose encoded form is too long for a request line is left out.
    """
    path = own_path(name, request.resolver_match)
    query = urlencode({NEXT_FIELD: next_url}) if next_url else ""
    return f"{path}?{query}" if query and len(query) <= MAX_NEXT_LENGTH else path


def safe_next(request: HttpRequest, value: str | None) -> str:
    """``value`` if it is a path or URL of this host (and stays on https), else an empty string."""
    if not value or len(value) > MAX_NEXT_LENGTH or any(unicodedata.category(char)[0] == "C" for char in value):
        return ""
    if not value.startswith(("/", "http://", "https://")):  # a relative one would start at the callback
        return ""
    on_this_site = url_has_allowed_host_and_scheme(
        value, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return value if on_this_site else ""


def requested_next(request: HttpRequest) -> str:
    """The safe destination that the form or the query asks for, or an empty string."""
    return safe_next(request, request.POST.get(NEXT_FIELD) or request.GET.get(NEXT_FIELD))


def connected_url(request: HttpRequest, next_url: str = "") -> str:
    """Where to go after connecting: a safe ``next``, ``THANKSIO_CONNECTED_URL``, or the status page."""
    return safe_next(request, next_url) or _landing(request, "THANKSIO_CONNECTED_URL", app_settings.connected_url)


def disconnected_url(request: HttpRequest, next_url: str = "") -> str:
    """Where to go after disconnecting: as above, with ``THANKSIO_DISCONNECTED_URL``."""
    return safe_next(request, next_url) or _landing(request, "THANKSIO_DISCONNECTED_URL", app_settings.disconnected_url)


def _landing(request: HttpRequest, setting: str, value: str) -> str:
    """Where the setting leads; the status page if that is nowhere: what was done is done, and is told there."""
    if value:
        try:
            return resolve_url(value)
        except NoReverseMatch:
            record("pages.address_unknown", words={"setting": setting})
    return own_url(request, "connection")


def back_url(request: HttpRequest, next_url: str = "") -> str:
    """The way back from one of the app's pages: ``next_url``, ``THANKSIO_CONNECTED_URL``, or the site's home if any."""
    status_page = own_url(request, "connection")
    if next_url:
        return "" if next_url == status_page else next_url
    try:
        target = connected_url(request)
    except ThanksIOConfigurationError:
        target = status_page
    if target != status_page:
        return target
    home = get_script_prefix()
    try:
        resolve("/")
    except Resolver404:
        return ""
    return "" if home == status_page else home


def current_page(request: HttpRequest) -> str:
    """Where to come back to by default: the page that the browser shows, unless the project has set another place."""
    if request.method not in ("GET", "HEAD"):  # a form's answer can't be opened again
        return ""
    try:
        is_set = bool(app_settings.connected_url)
    except ThanksIOConfigurationError:
        is_set = False
    return "" if is_set else safe_next(request, request.get_full_path())


def access_page_url() -> str:
    """The page of thanks.io's dashboard where a user removes a site's access; empty where that is not known.

    On the origin of ``THANKSIO_AUTHORIZE_URL``, so that a sandbox's users come to the sandbox.
    """
    try:
        parts = urlsplit(app_settings.authorize_url)
    except ThanksIOConfigurationError:
        return ""
    return f"{parts.scheme}://{parts.netloc}{ACCESS_PAGE}"


def login_url(request: HttpRequest, back_to: str) -> str:
    """The project's login page, which leads back to ``back_to`` (a whole URL if it is elsewhere)."""
    target = urlsplit(resolve_url(str(project_setting("LOGIN_URL"))))
    elsewhere = (target.scheme and target.scheme != request.scheme) or (
        target.netloc and target.netloc != request.get_host()
    )
    query = QueryDict(target.query, mutable=True)
    query[REDIRECT_FIELD_NAME] = request.build_absolute_uri(back_to) if elsewhere else back_to
    return target._replace(query=query.urlencode(safe="/")).geturl()


def redirect_uri(request: HttpRequest) -> str:
    """The callback's absolute URL: ``THANKSIO_REDIRECT_URI``, else as this request sees it.

    Raises :class:`ThanksIOConfigurationError` for plain http on a host that is not this machine: a code must
    not travel in clear (RFC 9700 2.6), and in production it means that a proxy hides the https.
    """
    if configured := app_settings.redirect_uri:
        return configured
    uri = request.build_absolute_uri(own_url(request, "callback"))
    if is_secure_url(uri):
        return uri
    raise ThanksIOConfigurationError(
        "The callback's URL would be plain http, because Django sees this request as http. If a proxy ends "
        "TLS, set SECURE_PROXY_SSL_HEADER so that Django knows it, or set THANKSIO_REDIRECT_URI to the https "
        "URL that is registered at thanks.io.",
        code="insecure_redirect_uri",
    )
