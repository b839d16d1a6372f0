"""The settings: what each is, where it came from, and what the project's system checks say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.checks import ERROR, CheckMessage, run_checks
from django.urls import NoReverseMatch
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from ...client.tokens import Secret
from ...conf import AppSettings, app_settings, project_setting, source_of
from ...exceptions import ThanksIOConfigurationError
from ..mount import own_path
from .finding import Finding, ok, problem, warning

CHECKS_TAG = "thanksio_connect"
_ALREADY_SAID = ("E00", "E01", "E021", "E022", "W001", "W002", "W003")  # by other probes


def probe_settings() -> Iterator[Finding]:
    """One finding for each setting."""
    for attribute, member in vars(AppSettings).items():
        if isinstance(member, property):
            yield _setting(f"THANKSIO_{attribute.upper()}", attribute)


def _setting(name: str, attribute: str) -> Finding:
    code = f"setting.{name}"
    try:
        value = getattr(app_settings, attribute)
    except ThanksIOConfigurationError as error:
        return problem(code, str(error), _("See docs/settings.md."))
    return ok(code, f"{name} = {_shown(value)} ({_source(name)})")


def _source(name: str) -> str:
    return {
        "setting": _("Django setting"),
        "environment": _("environment variable"),
        "default": pgettext("where a setting's value comes from", "default"),
    }[source_of(name)]


def _shown(value: Any) -> str:
    if isinstance(value, Secret):
        return "********"
    if callable(value):
        return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', type(value).__name__)}"
    if isinstance(value, tuple):
        return " ".join(value) or "-"
    if isinstance(value, float):
        return f"{value:g}"
    return "-" if value in ("", None) else str(value)


def redirect_uri_to_register() -> tuple[str, bool]:
    """The redirect URI, as well as it can be known without a request, and whether it is certain; empty: not at all.

    Raises ThanksIOConfigurationError, and NoReverseMatch where the app's URLs are not included.
    """
    if app_settings.redirect_uri:
        return app_settings.redirect_uri, True
    path = own_path("callback")
    hosts = [host for host in project_setting("ALLOWED_HOSTS", []) if not host.startswith(("*", "."))]
    return (f"https://{hosts[0]}{path}" if hosts else ""), False


def probe_redirect_uri() -> Iterator[Finding]:
    """What is to be registered at thanks.io."""
    code = "redirect_uri"
    try:
        uri, is_certain = redirect_uri_to_register()
    except ThanksIOConfigurationError:
        return  # the setting's own finding says it
    except NoReverseMatch:
        yield problem(
            code,
            _("The pages of thanksio_connect are not in the project's URLs."),
            _('Add path("thanksio/", include("thanksio_connect.urls")) to the root URLconf.'),
        )
        return
    if is_certain:
        yield ok(code, _("Register this redirect URI at thanks.io: %(uri)s") % {"uri": uri})
    elif uri:
        text = _("Register a redirect URI at thanks.io for each host that users visit, such as %(uri)s")
        yield ok(code, text % {"uri": uri})
    else:
        text = _("The redirect URI to register depends on the host that users visit: https://<host>%(path)s")
        cure = _("Set THANKSIO_REDIRECT_URI, or name the hosts in ALLOWED_HOSTS.")
        yield warning(code, text % {"path": own_path("callback")}, cure)


def probe_checks() -> Iterator[Finding]:
    """The app's system checks, with those of ``check --deploy``."""
    for message in run_checks(tags=[CHECKS_TAG], include_deployment_checks=True):
        if not _number(message).startswith(_ALREADY_SAID):
            found = problem if message.level >= ERROR else warning
            yield found(f"check.{_number(message)}", str(message.msg), str(message.hint or ""))


def _number(message: CheckMessage) -> str:
    return str(message.id).rpartition(".")[2]
