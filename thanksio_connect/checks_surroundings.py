"""System checks of what is around the app: what would stop the first click. Their ids stand in :mod:`.checks`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from django.apps import apps
from django.core.checks import CheckMessage, Error, Warning
from django.db import connections, router
from django.shortcuts import resolve_url
from django.urls import NoReverseMatch, Resolver404, ResolverMatch, get_script_prefix, resolve
from django.utils.module_loading import import_string
from django.utils.translation import get_language

from .conf import app_settings, project_setting
from .exceptions import ThanksIOConfigurationError
from .flows.mount import APP_NAME, Mount, mounts, own_path

# By name: a check must not import what is perhaps not installed.
_AUTHENTICATION = "django.contrib.auth.middleware.AuthenticationMiddleware"
_SESSION = "django.contrib.sessions.middleware.SessionMiddleware"
_SESSION_TABLES = ("django.contrib.sessions.backends.db", "django.contrib.sessions.backends.cached_db")


def check_login(**kwargs: Any) -> list[CheckMessage]:
    """Anonymous visitors are sent to ``LOGIN_URL``. It may be served by something else than Django."""
    if not project_setting("ROOT_URLCONF"):
        return []
    try:
        parts = urlsplit(resolve_url(project_setting("LOGIN_URL")))
    except NoReverseMatch:
        return [
            Error(
                f"LOGIN_URL names no URL of the project ({project_setting('LOGIN_URL')!r}): visitors who are not "
                "signed in get an error.",
                hint=_LOGIN_HINT,
                id="thanksio_connect.E020",
            )
        ]
    if parts.netloc or _page_at(parts.path) is not None:
        return []
    return [
        Warning(
            f"LOGIN_URL leads nowhere in the project's URLs ({parts.path}): visitors who are not signed in get a 404.",
            hint=_LOGIN_HINT,
            id="thanksio_connect.W010",
        )
    ]


_LOGIN_HINT = (
    'Set LOGIN_URL to your login page: "admin:login" for the admin\'s, or "login" with '
    'path("accounts/", include("django.contrib.auth.urls")) in the root URLconf. If another server answers there, '
    'silence this with SILENCED_SYSTEM_CHECKS = ["thanksio_connect.W010"].'
)


def _page_at(path: str) -> ResolverMatch | None:
    """What Django answers with there, also with the slash or the language that its middleware adds."""
    path = "/" + path.removeprefix(get_script_prefix()).lstrip("/")
    localised = f"/{get_language() or ''}{path}"
    for each in (path, f"{path}/", localised, f"{localised}/"):
        with suppress(Resolver404):
            return resolve(each)
    return None


def check_users_and_sessions(**kwargs: Any) -> list[CheckMessage]:
    """The pages need ``request.user``, and the sign-in a session. A project may have middleware of its own for it."""
    found: list[CheckMessage] = []
    installed = _middleware()
    if not apps.is_installed("django.contrib.auth") or not _has(installed, _AUTHENTICATION):
        found.append(
            Warning(
                "Nothing in the project seems to set request.user: the pages answer 500 without it.",
                hint=f"Add django.contrib.auth to INSTALLED_APPS, and {_AUTHENTICATION} to MIDDLEWARE.",
                id="thanksio_connect.W011",
            )
        )
    has_table = apps.is_installed("django.contrib.sessions") or project_setting("SESSION_ENGINE") not in _SESSION_TABLES
    if not has_table or not _has(installed, _SESSION):
        found.append(
            Warning(
                "Nothing in the project seems to keep sessions: nobody can sign in without them.",
                hint=f"Add django.contrib.sessions to INSTALLED_APPS, and {_SESSION} to MIDDLEWARE.",
                id="thanksio_connect.W012",
            )
        )
    return found


def _middleware() -> list[object]:
    found = []
    for path in project_setting("MIDDLEWARE", ()):
        try:
            found.append(import_string(path))
        except ImportError:  # Django says so when it starts to serve
            continue
    return found


def _has(installed: Iterable[object], wanted: str) -> bool:
    """Whether the class of this name is there, or one of the project's that is built on it."""
    bases = (base for each in installed if isinstance(each, type) for base in each.__mro__)
    return any(f"{base.__module__}.{base.__qualname__}" == wanted for base in bases)


def check_one_callback(**kwargs: Any) -> list[CheckMessage]:
    """thanks.io sends the browser back to a registered address only, so there should be one."""
    if not project_setting("ROOT_URLCONF"):
        return []
    try:
        if app_settings.redirect_uri:
            return []
    except ThanksIOConfigurationError:  # E003
        return []
    found: list[CheckMessage] = []
    places = mounts()
    if any(place.is_localised for place in places):
        found.append(
            Warning(
                "The callback stands inside i18n_patterns(), so each language has a redirect URI of its own, and "
                "thanks.io refuses those that are not registered.",
                hint='Move path("thanksio/", include("thanksio_connect.urls")) out of i18n_patterns(), or set '
                "THANKSIO_REDIRECT_URI to the one that is registered.",
                id="thanksio_connect.W013",
            )
        )
    if captured := _captured(places):
        found.append(
            Warning(
                f"The callback's path has captured parts ({', '.join(captured)}), so each value makes a redirect URI "
                "of its own, and thanks.io refuses those that are not registered.",
                hint="Include thanksio_connect.urls once more under a plain path and set THANKSIO_REDIRECT_URI to the "
                "callback there, or register each of them at thanks.io.",
                id="thanksio_connect.W014",
            )
        )
    return found


def check_webhooks(**kwargs: Any) -> list[CheckMessage]:
    """thanks.io sends events to what was registered: it would get a 404 for each, and nobody would be told."""
    try:
        url = app_settings.webhooks_url
    except ThanksIOConfigurationError:  # E026
        return []
    if not url or not project_setting("ROOT_URLCONF") or _receives_webhooks(urlsplit(url).path):
        return []
    return [
        Warning(
            "THANKSIO_WEBHOOKS_URL does not lead to thanksio_connect.webhook_urls: thanks.io's events get a 404.",
            hint='Add path("thanksio/webhooks/", include("thanksio_connect.webhook_urls")) to the root URLconf, and '
            "set THANKSIO_WEBHOOKS_URL to the absolute URL of that place.",
            id="thanksio_connect.W018",
        )
    ]


def check_redirect_uri(**kwargs: Any) -> list[CheckMessage]:
    """thanks.io sends the browser to ``THANKSIO_REDIRECT_URI``, and the callback has to be there."""
    if not project_setting("ROOT_URLCONF") or not mounts():  # W003
        return []
    try:
        uri = app_settings.redirect_uri
    except ThanksIOConfigurationError:  # E003
        return []
    page = _page_at(urlsplit(uri).path) if uri else None
    if not uri or (page and page.app_names[-1:] == [APP_NAME] and page.url_name == "callback"):
        return []
    where = "is another page of the project" if page else "leads nowhere in the project's URLs"
    return [
        Warning(
            f"THANKSIO_REDIRECT_URI {where} ({urlsplit(uri).path}): users who come back from thanks.io are not "
            "connected.",
            hint=f"{_callback_words()}If a proxy changes paths on the way, silence this with "
            'SILENCED_SYSTEM_CHECKS = ["thanksio_connect.W017"].',
            id="thanksio_connect.W017",
        )
    ]


def _receives_webhooks(path: str) -> bool:
    path = "/" + path.removeprefix(get_script_prefix()).strip("/")
    try:
        return resolve(f"{path.rstrip('/')}/token/").app_names[-1:] == ["thanksio_webhooks"]
    except Resolver404:
        return False


def _callback_words() -> str:
    with suppress(NoReverseMatch):
        return f"The callback is at {own_path('callback')}. "
    return ""


def _captured(places: Iterable[Mount]) -> list[str]:
    return list(dict.fromkeys(part for place in places for part in place.captured))


def check_tables(databases: Sequence[str] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """Whether each database that is checked has the app's tables. A warning: ``migrate`` asks this before it acts."""
    found: list[CheckMessage] = []
    models = apps.get_app_config("thanksio_connect").get_models()
    wanted = [model for model in models if model._meta.managed and not model._meta.proxy]
    for alias in databases or ():
        here = [model for model in wanted if router.allow_migrate_model(alias, model)]
        present = set(connections[alias].introspection.table_names()) if here else set()
        missing = sorted(model._meta.db_table for model in here if model._meta.db_table not in present)
        if missing:
            found.append(
                Warning(
                    f"The database {alias!r} does not have the app's tables yet: {', '.join(missing)}.",
                    hint="Run: python manage.py migrate thanksio_connect",
                    id="thanksio_connect.W015",
                )
            )
    return found
