"""System checks: settings that are missing or malformed, and surroundings that would stop a user halfway.

====  ========================================================================================
E001  ``THANKSIO_CLIENT_ID`` is malformed
E002  ``THANKSIO_CLIENT_SECRET`` is malformed
E003  ``THANKSIO_REDIRECT_URI`` is malformed or plain http
E004  ``THANKSIO_AUTHORIZE_URL`` is malformed or plain http
E005  ``THANKSIO_TOKEN_URL`` is malformed or plain http
E006  ``THANKSIO_API_URL`` is malformed or plain http
E007  ``THANKSIO_SCOPES`` is malformed
E008  ``THANKSIO_PKCE`` is malformed
E009  ``THANKSIO_CONNECT_TIMEOUT_SECONDS`` is malformed or not positive
E010  ``THANKSIO_READ_TIMEOUT_SECONDS`` is malformed or not positive
E011  ``THANKSIO_REFRESH_LEEWAY_SECONDS`` is malformed or negative
E012  ``THANKSIO_STATE_TTL_SECONDS`` is malformed or not positive
E013  ``THANKSIO_RATE_LIMIT_PER_MINUTE`` is malformed or not positive
E014  ``THANKSIO_CONNECTED_URL`` is malformed
E015  ``THANKSIO_DISCONNECTED_URL`` is malformed
E016  ``FIELD_ENCRYPTION_KEY`` is missing or malformed
E017  ``THANKSIO_PREPARE_SESSION`` names no function
E020  ``LOGIN_URL`` names no URL of the project
E021  ``THANKSIO_STYLESHEET`` is malformed
E022  ``THANKSIO_REVOKE_URL`` is malformed or plain http
E023  ``THANKSIO_BEARER_TOKEN`` is malformed
E024  ``THANKSIO_PRODUCT_NAME`` is malformed
E025  ``THANKSIO_SENT_ORDERS_KEPT_DAYS`` is malformed or not positive
E026  ``THANKSIO_WEBHOOKS_URL`` is malformed or plain http
W001  ``THANKSIO_CLIENT_ID`` is not set
W002  ``THANKSIO_CLIENT_SECRET`` is not set
W003  ``thanksio_connect.urls`` is not included
W004  the Content-Security-Policy's ``form-action`` stops the way to thanks.io
W005  ``THANKSIO_READ_TIMEOUT_SECONDS`` is so short that renewals will lose tokens
W006  (``--deploy``) the callback's URL may become plain http behind a proxy
W007  ``THANKSIO_CONNECTED_URL`` or ``THANKSIO_DISCONNECTED_URL`` names no URL
W008  ``urllib3`` is another library (urllib3.future), below which requests are watched less closely
W010  ``LOGIN_URL`` leads nowhere in the project's URLs
W011  ``django.contrib.auth`` or its middleware is missing
W012  ``django.contrib.sessions`` or its middleware is missing
W013  the callback stands inside ``i18n_patterns()``, and ``THANKSIO_REDIRECT_URI`` is not set
W014  the callback's path has captured parts, and ``THANKSIO_REDIRECT_URI`` is not set
W015  (``--database``) the app's tables are missing
W016  a setting's name looks like a misspelt one of the app's
W017  ``THANKSIO_REDIRECT_URI`` is not the callback's address
W018  ``THANKSIO_WEBHOOKS_URL`` does not lead to ``thanksio_connect.webhook_urls``
====  ========================================================================================
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from django.core.checks import CheckMessage, Error, Warning
from django.shortcuts import resolve_url
from django.urls import NoReverseMatch

from .client.deadline import holds as deadline_holds
from .conf import app_settings, misspelt_names, project_setting
from .encryption_key import encryption_keys
from .exceptions import ThanksIOConfigurationError
from .flows.mount import mounts

TAG = "thanksio_connect"
_SHORT_READ_TIMEOUT_SECONDS = 10

_SETTINGS = (
    ("client_id", "E001"),
    ("client_secret", "E002"),
    ("redirect_uri", "E003"),
    ("authorize_url", "E004"),
    ("token_url", "E005"),
    ("api_url", "E006"),
    ("scopes", "E007"),
    ("pkce", "E008"),
    ("connect_timeout_seconds", "E009"),
    ("read_timeout_seconds", "E010"),
    ("refresh_leeway_seconds", "E011"),
    ("state_ttl_seconds", "E012"),
    ("rate_limit_per_minute", "E013"),
    ("connected_url", "E014"),
    ("disconnected_url", "E015"),
    ("prepare_session", "E017"),
    ("stylesheet", "E021"),
    ("revoke_url", "E022"),
    ("bearer_token", "E023"),
    ("product_name", "E024"),
    ("sent_orders_kept_days", "E025"),
    ("webhooks_url", "E026"),
)
_MISSING = {"client_id": "W001", "client_secret": "W002"}


def check_settings(**kwargs: Any) -> list[CheckMessage]:
    """Each ``THANKSIO_*`` setting. A missing credential is a warning: a fresh project can still migrate."""
    found: list[CheckMessage] = []
    for name, check_id in _SETTINGS:
        try:
            getattr(app_settings, name)
        except ThanksIOConfigurationError as error:
            if error.code == "not_configured":
                hint = "Until then the connect page answers 503."
                found.append(Warning(str(error), hint=hint, id=f"thanksio_connect.{_MISSING[name]}"))
            else:
                found.append(Error(str(error), id=f"thanksio_connect.{check_id}"))
    if not any(message.id == "thanksio_connect.E010" for message in found):
        found += _check_read_timeout()
    return found


def check_names(**kwargs: Any) -> list[CheckMessage]:
    """A misspelt setting is ignored, and the default used instead. The project's own names are its business."""
    return [
        Warning(
            f"{name} is no setting of thanksio_connect, and is ignored.",
            hint=f"{meant} is one, and is not set. Is that what you mean?",
            id="thanksio_connect.W016",
        )
        for name, meant in misspelt_names()
    ]


def check_encryption_key(**kwargs: Any) -> list[CheckMessage]:
    """An error already in a fresh project: whatever is encrypted before the key is there would be lost."""
    try:
        encryption_keys()
    except ThanksIOConfigurationError as error:
        return [Error(str(error), hint="Until then nobody can connect.", id="thanksio_connect.E016")]
    return []


def _check_read_timeout() -> list[CheckMessage]:
    if app_settings.read_timeout_seconds >= _SHORT_READ_TIMEOUT_SECONDS:
        return []
    return [
        Warning(
            f"THANKSIO_READ_TIMEOUT_SECONDS is below {_SHORT_READ_TIMEOUT_SECONDS}: a renewal whose answer "
            "is not awaited has spent the refresh token, and the connection is lost.",
            hint="Leave it at 30.",
            id="thanksio_connect.W005",
        )
    ]


def check_urls(**kwargs: Any) -> list[CheckMessage]:
    """Whether the pages are reachable, and where they lead."""
    if not project_setting("ROOT_URLCONF"):
        return []
    if not mounts():
        return [
            Warning(
                "The pages of thanksio_connect are not in the project's URLs.",
                hint='Add path("thanksio/", include("thanksio_connect.urls")) to the root URLconf.',
                id="thanksio_connect.W003",
            )
        ]
    return [
        Warning(
            f"{setting} names no URL of the project: users land on the status page.",
            hint="Give the name of a URL without arguments, or a path that begins with a slash.",
            id="thanksio_connect.W007",
        )
        for setting in ("THANKSIO_CONNECTED_URL", "THANKSIO_DISCONNECTED_URL")
        if not _leads_somewhere(setting)
    ]


def _leads_somewhere(setting: str) -> bool:
    try:
        value = getattr(app_settings, setting.removeprefix("THANKSIO_").lower())
        return not value or bool(resolve_url(value))
    except ThanksIOConfigurationError:  # E014, E015
        return True
    except NoReverseMatch:
        return False


def check_content_security_policy(**kwargs: Any) -> list[CheckMessage]:
    """A form's redirect falls under ``form-action``: the browser would stay on the form, and say nothing."""
    try:
        authorize_url = app_settings.authorize_url
    except ThanksIOConfigurationError:
        return []
    return [
        Warning(
            f"The form-action of {name} does not allow {_origin(authorize_url)}: browsers will not follow "
            "the Connect button to thanks.io.",
            hint=f"Add {_origin(authorize_url)!r} to form-action.",
            id="thanksio_connect.W004",
        )
        for name, sources in _form_actions()
        if not any(_source_allows(str(source), authorize_url) for source in sources)
    ]


def _form_actions() -> Iterable[tuple[str, Iterable[object]]]:
    """The enforced ``form-action`` of Django's ``SECURE_CSP`` and of django-csp, of any version."""
    middleware = project_setting("MIDDLEWARE", [])
    if "django.middleware.csp.ContentSecurityPolicyMiddleware" in middleware:
        yield from _directive("SECURE_CSP", project_setting("SECURE_CSP"))
    if "csp.middleware.CSPMiddleware" in middleware:
        policy = project_setting("CONTENT_SECURITY_POLICY")
        if isinstance(policy, Mapping):
            yield from _directive("CONTENT_SECURITY_POLICY", policy.get("DIRECTIVES"))
        yield from _directive("CSP_FORM_ACTION", {"form-action": project_setting("CSP_FORM_ACTION")})


def _directive(name: str, directives: object) -> Iterable[tuple[str, Iterable[object]]]:
    sources = directives.get("form-action") if isinstance(directives, Mapping) else None
    if isinstance(sources, str):
        yield name, sources.split()
    elif isinstance(sources, list | tuple | set | frozenset):
        yield name, sources


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _source_allows(source: str, url: str) -> bool:
    """Whether a CSP source expression covers the URL; in doubt yes, for this is only a warning."""
    parts = urlsplit(url)
    if source == "*" or source == f"{parts.scheme}:":
        return True
    scheme, separator, rest = source.rpartition("://")
    if separator and scheme != parts.scheme:
        return False
    host = rest.partition("/")[0]
    if host.startswith("*."):
        return parts.netloc.endswith(host[1:])
    return host.removesuffix(":*") in (parts.netloc, parts.hostname)


def check_deployment(**kwargs: Any) -> list[CheckMessage]:
    """Behind a proxy that ends TLS, Django has to be told, or the callback's URL begins with http."""
    try:
        is_settled = bool(app_settings.redirect_uri) or bool(project_setting("SECURE_PROXY_SSL_HEADER"))
    except ThanksIOConfigurationError:
        return []
    if is_settled:
        return []
    return [
        Warning(
            "The callback's URL is taken from the request. If a proxy ends TLS, Django sees plain http, and "
            "nobody can connect.",
            hint="Set SECURE_PROXY_SSL_HEADER, or THANKSIO_REDIRECT_URI to the URL registered at thanks.io.",
            id="thanksio_connect.W006",
        )
    ]


def check_http_stack(**kwargs: Any) -> list[CheckMessage]:
    """Whether requests stands on urllib3 itself. niquests installs urllib3.future in its place."""
    if deadline_holds():
        return []
    return [
        Warning(
            "The installed urllib3 is not urllib3 but another library of this name (urllib3.future, by niquests). "
            "Requests to thanks.io are cut at their deadline all the same, but each takes a thread more, and a request "
            "that failed early more often counts as one with an unknown outcome.",
            hint="Install urllib3.future beside urllib3: URLLIB3_NO_OVERRIDE=1 pip install niquests --no-binary "
            "urllib3-future; then reinstall urllib3.",
            id="thanksio_connect.W008",
        )
    ]
