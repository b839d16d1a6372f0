"""The Content-Security-Policy, the same on Django 5.2 and 6 (which has ``SECURE_CSP`` for this)."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from django.http import HttpRequest, HttpResponse

from thanksio_connect.conf import app_settings
from thanksio_connect.exceptions import ThanksIOConfigurationError


def content_security_policy(get_response: Callable[[HttpRequest], HttpResponse]):
    """Allow this origin and nothing else, but for one thing: where the Connect form may end up.

    Browsers apply ``form-action`` to the redirect that answers a form too. The Connect button is a form whose
    answer is a redirect to thanks.io: without thanks.io's origin here the browser would drop it without a word.
    """

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        response.setdefault(
            "Content-Security-Policy",
            "default-src 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'; "
            f"form-action 'self' {thanksio_origin()}".rstrip(),
        )
        return response

    return middleware


def thanksio_origin() -> str:
    """Scheme, host and port of thanks.io's authorization page; empty when the setting is malformed."""
    try:
        url = urlsplit(app_settings.authorize_url)
    except ThanksIOConfigurationError:
        return ""
    return f"{url.scheme}://{url.netloc}"
