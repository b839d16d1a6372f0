"""thanks.io over the network: the authorize page, the token endpoint with this site's client, the API, the clocks.

The probes run side by side, each within its own deadline. None carries a user's token.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from django.utils.translation import get_language, override
from django.utils.translation import gettext as _

from ...client.oauth import OAuthClient
from ...client.transport import Response, Transport, TransportConfig
from ...client.urls import join_api_url
from ...conf import app_settings, oauth_config
from ...exceptions import ThanksIOConfigurationError, ThanksIOError
from .configuration import redirect_uri_to_register
from .finding import Finding, ok, problem, warning
from .unreachable import unreachable

# Four seconds an exchange: all probes together are done within ten.
LIMITS = TransportConfig(connect_timeout_seconds=1.5, read_timeout_seconds=2.5)
SKEW_SECONDS = 30.0
API_PATH = "/mailing-lists/"


@dataclass(frozen=True)
class Probed:
    """What one probe found, and how far this machine's clock is ahead of the server's, if that was told."""

    finding: Finding | None
    skew_seconds: float | None = None


class NetworkProbes:
    """Starts all at once; :meth:`findings` awaits them."""

    def __init__(self) -> None:
        redirect_uri, is_certain = _redirect_uri()
        probes: list[Callable[[], Probed]] = [
            _authorize,
            lambda: Probed(_client(redirect_uri, is_certain)),
            _api,
        ]
        self._pool = ThreadPoolExecutor(len(probes), thread_name_prefix="thanksio-doctor")
        language = get_language()  # which is the thread's
        self._futures: list[Future[Probed]] = [self._pool.submit(_speaking, language, probe) for probe in probes]

    def findings(self) -> Iterator[Finding]:
        """One finding for each probe, and one for the clock."""
        with self._pool:
            probed = [future.result() for future in self._futures]
        yield from (each.finding for each in probed if each.finding is not None)
        skews = [each.skew_seconds for each in probed if each.skew_seconds is not None]
        if skews:
            yield _clock(min(skews, key=abs))


def _redirect_uri() -> tuple[str, bool]:
    try:
        return redirect_uri_to_register()
    except Exception:  # noqa: BLE001 - the project's URLs take part; another probe says what is wrong with them
        return "", False


def _speaking(language: str | None, probe: Callable[[], Probed]) -> Probed:
    with override(language):
        return probe()


def _authorize() -> Probed:
    code = "authorize"
    try:
        url = app_settings.authorize_url
    except ThanksIOConfigurationError:
        return Probed(None)  # the setting's own finding says it
    try:
        response = Transport(LIMITS).send("GET", url)
    except (ThanksIOError, ThanksIOConfigurationError) as error:
        return Probed(unreachable(code, error, url, "THANKSIO_AUTHORIZE_URL"))
    values = {"host": urlsplit(url).netloc, "status": response.status}
    if response.status in (404, 405) or response.status >= 500:
        text = _("The authorize page at %(host)s answers %(status)d.") % values
        return Probed(problem(code, text, _("Check %(name)s.") % {"name": "THANKSIO_AUTHORIZE_URL"}), _skew(response))
    return Probed(ok(code, _("The authorize page at %(host)s answers.") % values), _skew(response))


def _client(redirect_uri: str, is_certain: bool) -> Finding | None:
    """Whether thanks.io knows this site's client id and secret, by a code that nobody was given."""
    code = "client"
    try:
        client = OAuthClient(oauth_config(), Transport(LIMITS))
    except ThanksIOConfigurationError:
        return None  # the setting's own finding says it
    url = client.config.token_url
    try:
        client.prove_client(redirect_uri=redirect_uri)
    except ThanksIOConfigurationError as error:
        return _refused(client, redirect_uri, is_certain, error)
    except ThanksIOError as error:
        return unreachable(code, error, url, "THANKSIO_TOKEN_URL")
    return ok(
        code, _("The token URL at %(host)s accepts the client id and the secret.") % {"host": urlsplit(url).netloc}
    )


def _refused(client: OAuthClient, redirect_uri: str, is_certain: bool, error: ThanksIOConfigurationError) -> Finding:
    """Some servers say ``invalid_client`` of a redirect URI, too: without one the two can be told apart."""
    if error.code in ("proxy", "ca_bundle", "insecure_url", "mocked"):
        return unreachable("client", error, client.config.token_url, "THANKSIO_TOKEN_URL")
    try:
        if redirect_uri:
            client.prove_client()
            text = _("thanks.io accepts the client id and the secret, but not the redirect URI %(uri)s.")
            cure = _("Register exactly this address at thanks.io, or set THANKSIO_REDIRECT_URI to the registered one.")
            return (problem if is_certain else warning)("redirect_uri.refused", text % {"uri": redirect_uri}, cure)
    except (ThanksIOError, ThanksIOConfigurationError):
        pass
    return problem(
        "client",
        _("thanks.io refuses this site's OAuth client (%(code)s).") % {"code": error.code},
        _("Compare THANKSIO_CLIENT_ID and THANKSIO_CLIENT_SECRET with what thanks.io shows under OAuth Clients."),
    )


def _api() -> Probed:
    """The API without a token: whether it is there to refuse."""
    code = "api"
    try:
        url = app_settings.api_url
    except ThanksIOConfigurationError:
        return Probed(None)  # the setting's own finding says it
    try:
        response = Transport(LIMITS).send("GET", join_api_url(url, API_PATH))
    except (ThanksIOError, ThanksIOConfigurationError) as error:
        return Probed(unreachable(code, error, url, "THANKSIO_API_URL"))
    values = {"host": urlsplit(url).netloc, "status": response.status}
    if response.status == 401:
        return Probed(ok(code, _("The API at %(host)s answers.") % values), _skew(response))
    text = _("The API at %(host)s answers %(status)d to a request without a token, and not 401.") % values
    return Probed(warning(code, text, _("Check %(name)s.") % {"name": "THANKSIO_API_URL"}), _skew(response))


def _skew(response: Response) -> float | None:
    try:
        moment = parsedate_to_datetime(response.headers.get("Date", ""))
        return (datetime.now(UTC) - (moment if moment.tzinfo else moment.replace(tzinfo=UTC))).total_seconds()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def _clock(skew_seconds: float) -> Finding:
    if abs(skew_seconds) <= SKEW_SECONDS:
        return ok("clock", _("This machine's clock agrees with thanks.io's."))
    text = (
        _("This machine's clock is %(seconds)d seconds ahead of thanks.io's.")
        if skew_seconds > 0
        else _("This machine's clock is %(seconds)d seconds behind thanks.io's.")
    )
    cure = _("Let NTP set it: tokens are renewed too early or too late.")
    return warning("clock", text % {"seconds": abs(skew_seconds)}, cure)
