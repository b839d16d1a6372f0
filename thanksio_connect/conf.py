"""Settings: the Django setting, else the environment variable of the same name, else the default.

Nothing is cached, so ``override_settings`` and a changed environment take effect at once. Each accessor raises
:class:`~thanksio_connect.exceptions.ThanksIOConfigurationError` with a sentence that names the setting.
"""

from __future__ import annotations

import difflib
import math
import os
import re
from collections.abc import Callable
from typing import Any

import environ
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from .client import site
from .client.oauth import OAuthClient, OAuthConfig
from .client.tokens import Secret, is_usable_token
from .client.transport import Transport, TransportConfig
from .client.urls import is_base_url, is_secure_url
from .exceptions import ThanksIOConfigurationError

_UNSET: Any = object()
# A typing error must not switch PKCE off, as it would where all that is not true is false.
_SWITCH = dict.fromkeys(("true", "1", "yes", "on"), True) | dict.fromkeys(("false", "0", "no", "off"), False)
PLAIN = "text, or $NAME of a variable that holds it"
QUOTED = "is in quotes. Remove them: docker's --env-file, for one, keeps quotes as a part of the value."
_PRODUCT_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,60}(/[A-Za-z0-9!#$%&'*+.^_`|~-]{1,40})?")  # RFC 9110 10.1.5
_PREFIX = "THANKSIO_"
_ALMOST_PREFIX = re.compile(r"THANKS_?IO_")
_ALIKE = 0.86  # CLIENTID and REDIRECT_URL are, APP_URL and API_URL are not
DASHBOARD_URL = "https://dashboard.thanks.io/developer"


def _environment_text(name: str) -> str:
    """The variable's text. ``$NAME`` is NAME's, if there is a NAME: a secret may begin with a dollar sign."""
    value = os.environ[name]
    return str(environ.Env().str(name)) if value.startswith("$") and value.lstrip("$") in os.environ else value


def _is_quoted(text: str) -> bool:
    text = text.strip()
    return len(text) > 1 and text[0] == text[-1] and text[0] in "'\""


def _lookup(name: str, parse: Callable[[str], Any], default: Any, *, wanted: str = PLAIN) -> Any:
    value = getattr(settings, name, _UNSET)
    if value is not _UNSET and value is not None:
        return value
    if name in os.environ:
        try:
            return parse(_environment_text(name))
        except (ValueError, KeyError, ImproperlyConfigured, RecursionError):
            pass  # the error is raised outside, so that it carries no piece of the value
        if _is_quoted(os.environ[name]):
            raise ThanksIOConfigurationError(f"The environment variable {name} {QUOTED}")
        raise ThanksIOConfigurationError(f"The environment variable {name} must be {wanted}.")
    return default


def source_of(name: str) -> str:
    """Where the value comes from: ``setting``, ``environment`` or ``default``."""
    value = getattr(settings, name, _UNSET)
    if value is not _UNSET and value is not None:
        return "setting"
    return "environment" if name in os.environ else "default"


def _text(name: str, default: str = "") -> str:
    value = _lookup(name, str, default)
    if not isinstance(value, str):
        raise ThanksIOConfigurationError(f"{name} must be a string.")
    if _is_quoted(value):
        raise ThanksIOConfigurationError(f"{name} {QUOTED}")
    return value.strip()


def _flag(name: str, default: bool) -> bool:
    value = _lookup(name, lambda text: _SWITCH[text.strip().lower()], default, wanted="true or false")
    if not isinstance(value, bool):
        raise ThanksIOConfigurationError(f"{name} must be True or False.")
    return value


def _seconds(name: str, default: float, *, zero: bool = False) -> float:
    value = _lookup(name, float, default, wanted="a number")
    usable = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not usable or value < 0 or (value == 0 and not zero):
        raise ThanksIOConfigurationError(f"{name} must be a positive number.")
    return float(value)


def _url(name: str, default: str) -> str:
    value = _text(name, default)
    if not is_secure_url(value):
        raise ThanksIOConfigurationError(
            f"{name} must be an absolute https:// URL (plain http only to localhost, 127.0.0.0/8 or [::1])."
        )
    return value


def _base_url(name: str, default: str) -> str:
    value = _url(name, default)
    if not is_base_url(value):
        raise ThanksIOConfigurationError(f"{name} must have no query and no fragment: paths are put at its end.")
    return value


def _required(name: str) -> str:
    value = _text(name)
    if not value:
        raise ThanksIOConfigurationError(
            f"{name} is not set. thanks.io shows it at {DASHBOARD_URL} under OAuth Clients: put it into the "
            f"Django settings or into the environment variable {name}.",
            code="not_configured",
        )
    return value


class AppSettings:
    """The ``THANKSIO_*`` settings as typed properties, looked up at every access."""

    @property
    def client_id(self) -> str:
        """The OAuth client's id (RFC 6749 2.2)."""
        return _required("THANKSIO_CLIENT_ID")

    @property
    def client_secret(self) -> Secret:
        """The OAuth client's secret (RFC 6749 2.3.1)."""
        return Secret(_required("THANKSIO_CLIENT_SECRET"))

    @property
    def redirect_uri(self) -> str:
        """The callback's absolute URL as registered at thanks.io; empty: taken from the current request."""
        return _url("THANKSIO_REDIRECT_URI", "") if _text("THANKSIO_REDIRECT_URI") else ""

    @property
    def authorize_url(self) -> str:
        """The authorization endpoint."""
        return _url("THANKSIO_AUTHORIZE_URL", "https://dashboard.thanks.io/oauth/authorize")

    @property
    def token_url(self) -> str:
        """The token endpoint."""
        return _url("THANKSIO_TOKEN_URL", "https://dashboard.thanks.io/oauth/token")

    @property
    def revoke_url(self) -> str:
        """The revocation endpoint (RFC 7009), asked after a disconnect; empty: none, as thanks.io documents none."""
        return _url("THANKSIO_REVOKE_URL", "") if _text("THANKSIO_REVOKE_URL") else ""

    @property
    def api_url(self) -> str:
        """The base URL of API v2, without a slash at its end."""
        return _base_url("THANKSIO_API_URL", "https://api.thanks.io/api/v2").rstrip("/")

    @property
    def bearer_token(self) -> Secret:
        """A personal token of the site's own account, for a client without a connection; empty: none."""
        token = _text("THANKSIO_BEARER_TOKEN")
        is_malformed = bool(token) and not is_usable_token(token)
        secret = Secret(token)
        del token  # the traceback keeps this frame's locals
        if is_malformed:
            raise ThanksIOConfigurationError(
                "THANKSIO_BEARER_TOKEN must be ASCII text without spaces and control characters."
            )
        return secret

    @property
    def product_name(self) -> str:
        """The project's name for the ``User-Agent``, such as ``shop/2.1``; empty: none."""
        name = _text("THANKSIO_PRODUCT_NAME")
        if name and not _PRODUCT_NAME.fullmatch(name):
            raise ThanksIOConfigurationError(
                "THANKSIO_PRODUCT_NAME must be a name without spaces, perhaps with a version after a slash: shop/2.1."
            )
        return name

    @property
    def webhooks_url(self) -> str:
        """The absolute URL at which ``thanksio_connect.webhook_urls`` is included; empty: none."""
        return _base_url("THANKSIO_WEBHOOKS_URL", "") if _text("THANKSIO_WEBHOOKS_URL") else ""

    @property
    def scopes(self) -> tuple[str, ...]:
        """Scopes to ask for; thanks.io documents none."""
        value = _lookup("THANKSIO_SCOPES", lambda text: [item.strip() for item in text.split(",") if item.strip()], ())
        if not isinstance(value, list | tuple) or not all(isinstance(scope, str) for scope in value):
            raise ThanksIOConfigurationError("THANKSIO_SCOPES must be a list of strings.")
        return tuple(value)

    @property
    def pkce(self) -> bool:
        """Whether to send a code challenge (RFC 7636, S256)."""
        return _flag("THANKSIO_PKCE", True)

    @property
    def connect_timeout_seconds(self) -> float:
        """How long a connection to thanks.io may take to open."""
        return _seconds("THANKSIO_CONNECT_TIMEOUT_SECONDS", 5)

    @property
    def read_timeout_seconds(self) -> float:
        """How long an answer may take. A short one on a rotating refresh loses tokens."""
        return _seconds("THANKSIO_READ_TIMEOUT_SECONDS", 30)

    @property
    def refresh_leeway_seconds(self) -> float:
        """The helper renews a token with less left than this."""
        return _seconds("THANKSIO_REFRESH_LEEWAY_SECONDS", 300, zero=True)

    @property
    def state_ttl_seconds(self) -> float:
        """How long a started authorization may take."""
        return _seconds("THANKSIO_STATE_TTL_SECONDS", 3600)

    @property
    def connected_url(self) -> str:
        """Where the user lands after connecting, a URL or URL name; empty: the status page."""
        return _text("THANKSIO_CONNECTED_URL")

    @property
    def disconnected_url(self) -> str:
        """Where the user lands after disconnecting, a URL or URL name; empty: the status page."""
        return _text("THANKSIO_DISCONNECTED_URL")

    @property
    def stylesheet(self) -> bool:
        """Whether the app's own pages link the app's stylesheet."""
        return _flag("THANKSIO_STYLESHEET", True)

    @property
    def rate_limit_per_minute(self) -> float:
        """Token requests a minute for the bulk refresh."""
        return _seconds("THANKSIO_RATE_LIMIT_PER_MINUTE", 60)

    @property
    def sent_orders_kept_days(self) -> float:
        """How long a key of ``send_once()`` is remembered after its order was sent."""
        return _seconds("THANKSIO_SENT_ORDERS_KEPT_DAYS", 365)

    @property
    def prepare_session(self) -> Callable[[Any], object] | None:
        """What gives a private database session the state that the project's rows need; None without one.

        A dotted path, called with the Django connection in the caller's thread.
        """
        path = _lookup("THANKSIO_PREPARE_SESSION", str, "")
        if not path or callable(path):
            return path or None
        cause: Exception | None = None
        try:
            prepare = import_string(path)
        except (ImportError, TypeError, AttributeError, ValueError) as error:
            prepare, cause = None, error
        if callable(prepare):
            return prepare  # type: ignore[no-any-return]
        raise ThanksIOConfigurationError(
            "THANKSIO_PREPARE_SESSION must be the dotted path of a function that takes a Django database connection."
        ) from cause


app_settings = AppSettings()


def setting_names() -> list[str]:
    """The settings, in the order in which they are defined."""
    members = vars(AppSettings).items()
    return [f"{_PREFIX}{name.upper()}" for name, member in members if isinstance(member, property)]


def misspelt_names() -> list[tuple[str, str]]:
    """Names in settings and environment that look like a setting of ours that is not set, each with that one."""
    known = setting_names()
    unset = [name.removeprefix(_PREFIX) for name in known if source_of(name) == "default"]
    found = []
    for name in sorted({*dir(settings), *os.environ}):
        start = _ALMOST_PREFIX.match(name)
        if start is None or name in known:
            continue
        if close := _close_to(name[start.end() :], unset):
            found.append((name, _PREFIX + close))
    return found


def _close_to(name: str, names: list[str]) -> str:
    """The name that is meant, perhaps without its unit (``READ_TIMEOUT``); empty if it is none."""
    if cut := [each for each in names if "_" in name and each.startswith(f"{name}_")]:
        return cut[0]
    return next(iter(difflib.get_close_matches(name, names, n=1, cutoff=_ALIKE)), "")


def transport_config() -> TransportConfig:
    """The time limits of one exchange with thanks.io, and who asks."""
    return TransportConfig(
        connect_timeout_seconds=app_settings.connect_timeout_seconds,
        read_timeout_seconds=app_settings.read_timeout_seconds,
        product_name=app_settings.product_name,
    )


class _Site:
    """For clients without a connection (see :class:`thanksio_connect.client.site.Site`)."""

    @property
    def api_url(self) -> str:
        return app_settings.api_url

    @property
    def bearer_token(self) -> Secret:
        return app_settings.bearer_token

    @property
    def transport(self) -> TransportConfig:
        return transport_config()


site.provide(_Site())


def oauth_config() -> OAuthConfig:
    """The OAuth client's registration and the token endpoint."""
    return OAuthConfig(app_settings.client_id, app_settings.client_secret, app_settings.token_url)


def oauth_client(limits: TransportConfig | None = None) -> OAuthClient:
    """A client for thanks.io's token endpoint. ``limits`` are the settings' unless given."""
    return OAuthClient(oauth_config(), Transport(limits or transport_config()))


def project_setting(name: str, default: Any = None) -> Any:
    """A setting of Django or of another package, that a page or a check has to know (``DEBUG``, ``LOGIN_URL`` …)."""
    return getattr(settings, name, default)
