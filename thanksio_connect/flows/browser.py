"""Binds an authorization to the browser that started it, beside the session (RFC 9700 4.7.1).

One cookie for a browser, holding a random nonce that all its tabs share, so several flows finish in any
order. It is ``SameSite=Lax``: it comes with the cross-site redirect back from thanks.io even where the session's
cookie is ``Strict``. The database knows the nonce's digest only. The name holds "key" so that Django's error
reports mask it.
"""

from __future__ import annotations

import hashlib
import math
import re
import secrets
from urllib.parse import urlsplit

from django.http import HttpRequest, HttpResponseBase
from django.utils.crypto import constant_time_compare

from ..client.tokens import Secret
from ..conf import app_settings, project_setting
from .addresses import own_url

COOKIE_NAME = "thanksio_browser_key"
_NONCE = re.compile(r"[A-Za-z0-9_-]{43}")


def new_nonce() -> Secret:
    """256 random bits, URL-safe."""
    return Secret(secrets.token_urlsafe(32))


def digest(secret: Secret) -> str:
    """SHA-256 as hex: enough for a random value, which needs no salt or stretching."""
    return hashlib.sha256(secret.reveal().encode("utf-8", "surrogatepass")).hexdigest()


def _cookies(request: HttpRequest) -> list[Secret]:
    """Every cookie of the name. A page on a sibling domain can set one more, which must not hide ours."""
    found = [request.COOKIES.get(COOKIE_NAME, "")]
    for pair in request.META.get("HTTP_COOKIE", "").split(";"):
        name, _, value = pair.partition("=")
        if name.strip() == COOKIE_NAME:
            found.append(value.strip())
    return [Secret(value) for value in dict.fromkeys(found) if value]


def browser_nonce(request: HttpRequest) -> Secret:
    """This browser's nonce: from its cookie, else a new one that :func:`remember_browser` has to set."""
    usable = (cookie for cookie in _cookies(request) if _NONCE.fullmatch(cookie.reveal()))
    return next(usable, None) or new_nonce()


def is_same_browser(request: HttpRequest, browser_digest: str) -> bool:
    """Whether the request carries the nonce with this digest."""
    return any(constant_time_compare(digest(cookie), browser_digest) for cookie in _cookies(request))


def remember_browser(request: HttpRequest, response: HttpResponseBase, nonce: Secret, redirect_uri: str) -> None:
    """Set the cookie for as long as the newest authorization may take, for the app's own paths only.

    Where ``THANKSIO_REDIRECT_URI`` leads to another path, or to a host that shares the session
    (``SESSION_COOKIE_DOMAIN``), the cookie reaches as far.
    """
    mount = own_url(request, "connection")
    response.set_cookie(
        COOKIE_NAME,
        nonce.reveal(),
        max_age=math.ceil(app_settings.state_ttl_seconds),
        path=mount if urlsplit(redirect_uri).path.startswith(mount) else "/",
        domain=project_setting("SESSION_COOKIE_DOMAIN") if app_settings.redirect_uri else None,
        secure=request.is_secure() or bool(project_setting("SESSION_COOKIE_SECURE")),
        httponly=True,
        samesite="Lax",
    )
