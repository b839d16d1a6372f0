"""Why thanks.io could not be asked: the cause by its name, and the cure."""

from __future__ import annotations

from urllib.parse import urlsplit

from django.utils.translation import gettext as _

from ...exceptions import (
    InvalidTokenResponse,
    NotSent,
    OutcomeUnknown,
    ThanksIOConfigurationError,
    ThanksIOError,
    Throttled,
)
from .finding import Finding, problem, warning


def unreachable(code: str, error: ThanksIOError | ThanksIOConfigurationError, url: str, setting: str) -> Finding:
    """The finding for a request that brought no usable answer."""
    host = urlsplit(url).netloc
    if isinstance(error, ThanksIOConfigurationError):
        return problem(f"{code}.{error.code}", f"{host}: {error}")
    if isinstance(error, NotSent):
        name = f"{error.root_name}: {error.detail}" if error.detail else error.root_name or error.cause_name
        text = _("%(host)s could not be reached (%(name)s).") % {"host": host, "name": name}
        return problem(f"{code}.{error.reason or 'not_sent'}", text, _cure(error.reason, setting))
    if isinstance(error, Throttled):
        text = _("%(host)s asks to wait before the next request.") % {"host": host}
        return warning(f"{code}.throttled", text, _("Try again later."))
    if isinstance(error, OutcomeUnknown):
        name = error.cause_name or error.code
        text = _("%(host)s did not answer as it should (%(name)s).") % {"host": host, "name": name}
        return problem(f"{code}.{error.code}", text, _("Try again. If it stays, look at what stands in between."))
    text = _("%(host)s gave an answer that is no token endpoint's (%(code)s).") % {"host": host, "code": error.code}
    is_strange = isinstance(error, InvalidTokenResponse)
    return problem(f"{code}.{error.code}" if is_strange else code, text, _("Check %(name)s.") % {"name": setting})


def _cure(reason: str, setting: str) -> str:
    values = {"name": setting}
    if reason == "certificate":
        return _(
            "The certificate is not trusted here. Name the CA bundle that vouches for it in the environment variable "
            "REQUESTS_CA_BUNDLE, and look at this machine's clock."
        )
    if reason == "tls":
        return (
            _("No TLS connection came about. Check %(name)s, REQUESTS_CA_BUNDLE and what stands in between.") % values
        )
    if reason == "proxy":
        return _("The proxy that the environment names (HTTPS_PROXY, ALL_PROXY) did not let the request through.")
    if reason == "dns":
        return _("The host's name was not found. Check %(name)s and this machine's DNS.") % values
    if reason == "timeout":
        return _("The connection took too long: a firewall may swallow it. Let this machine reach the host.")
    return _("Check %(name)s, and whether a firewall lets this machine out.") % values
