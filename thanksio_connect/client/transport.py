"""The only place that sends HTTP: one request, one answer, within a total deadline and a size limit."""

from __future__ import annotations

import functools
import json as jsonlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.cookiejar import DefaultCookiePolicy
from importlib import metadata
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase
from requests.structures import CaseInsensitiveDict

from ..exceptions import OutcomeUnknown, ThanksIOConfigurationError
from . import kept
from .answer import Response, read_answer
from .auth import NoAuth
from .deadline import DeadlineAdapter, Exchange, current_exchange
from .deadline import holds as deadline_holds
from .interruption import Errand
from .kept import Reuse
from .outcome import failure_of, outcome_of
from .tokens import Secret
from .urls import is_loopback, is_secure_url

__all__ = ["MIB", "Response", "Reuse", "Transport", "TransportConfig", "load_json", "parse_retry_after"]

MIB = 1024 * 1024
LONGEST_RETRY_AFTER_SECONDS = 3600.0
_HEADER_ALLOWANCE_BYTES = MIB
_ASIDE_MARGIN_SECONDS = 0.2
_VERBS = frozenset({"delete", "get", "head", "options", "patch", "post", "put"})


def _version() -> str:
    try:
        return metadata.version("thanksio-connect")
    except metadata.PackageNotFoundError:
        return "0"


USER_AGENT = f"thanksio_connect/{_version()}"
_HEADERS = {
    "Accept": "application/json",
    "Accept-Encoding": "gzip, deflate",  # what the size limit was tried with
    "Connection": "keep-alive",
}


@dataclass(frozen=True)
class TransportConfig:
    """Limits of one exchange. The read timeout bounds one silence; the total deadline bounds everything.

    ``product_name`` is the site's, such as ``shop/2.1``: it stands first in the ``User-Agent`` (RFC 9110 10.1.5).
    """

    connect_timeout_seconds: float = 5
    read_timeout_seconds: float = 30
    max_body_bytes: int = MIB
    product_name: str = ""

    @property
    def total_deadline_seconds(self) -> float:
        """Wall-clock seconds after which an exchange is given up, whatever the server sends meanwhile."""
        return self.connect_timeout_seconds + self.read_timeout_seconds


def load_json(body: bytes, **options: Any) -> tuple[Any, bool]:
    """Decode without raising (JSONDecodeError carries the document): (value, True) or (None, False)."""
    try:
        return jsonlib.loads(body.decode("utf-8-sig"), **options), True
    except (ValueError, RecursionError):
        return None, False


class Transport:
    """Sends HTTP requests, one at a time over a connection, which is used again as far as the request allows.

    Each goes through a ``requests.Session`` by the way that everybody takes, so that whatever a test patches there
    takes effect. ``requests.post`` and its like are not on that way: while they are replaced, nothing is sent to
    thanks.io.
    """

    def __init__(self, config: TransportConfig | None = None) -> None:
        self.config = config or TransportConfig()

    def send(
        self,
        method: str,
        url: str,
        *,
        form: Mapping[str, str | Secret] | None = None,
        json: object = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        auth: AuthBase | None = None,
        max_body_bytes: int | None = None,
        reuse: Reuse = Reuse.NEVER,
    ) -> Response:
        """Send once, read the whole answer, whatever its status. Follows no redirect, reads no ``.netrc``.

        ``reuse``: whether a connection that was opened before will do. Only what is ``REPEATABLE`` is sent again, over
        a new one, if the old one turned out to be dead.

        Proxies and CA bundles are the environment's; plain http (to loopback hosts only) goes past proxies.
        Raises NotSent before a byte of the request was sent, OutcomeUnknown after (code ``too_large`` over
        the size limit, ``timeout`` after the deadline), ThanksIOConfigurationError if the URL, a proxy or the
        CA bundle is unusable, TypeError or ValueError if ``json`` is not JSON. None of them keeps the
        underlying exception, which would carry the request. What something else raises into this thread meanwhile
        comes out as it is.
        """
        _refuse(method, url)
        body = None if json is None else jsonlib.dumps(json, allow_nan=False).encode()
        request = _Request(method, url, form, body, params, self._headers(headers), auth or NoAuth(), reuse)
        limit = self.config.max_body_bytes if max_body_bytes is None else max_body_bytes
        exchange = self._new_exchange(limit)
        attempt = self._attempt
        if not deadline_holds():
            attempt, request = self._attempt_aside, replace(request, reuse=Reuse.NEVER)
        result = attempt(request, exchange, limit)
        if reuse is Reuse.REPEATABLE and exchange.met_a_dead_connection and _is_unknown(result):
            result = attempt(replace(request, reuse=Reuse.NEVER), self._new_exchange(limit), limit)
        if isinstance(result, Response):
            return result
        raise result  # outside every except block: no __context__

    def _new_exchange(self, limit: int) -> Exchange:
        return Exchange(
            total_seconds=self.config.total_deadline_seconds,
            read_timeout_seconds=self.config.read_timeout_seconds,
            max_bytes=limit + _HEADER_ALLOWANCE_BYTES,
        )

    def _headers(self, headers: Mapping[str, str] | None) -> dict[str, str]:
        product = self.config.product_name
        return {**({"User-Agent": f"{product} {USER_AGENT}"} if product else {}), **(headers or {})}

    def _attempt(self, request: _Request, exchange: Exchange, limit: int) -> Response | BaseException:
        token = current_exchange.set(exchange)
        try:
            return self._exchange(request, exchange, limit)
        except BaseException as error:  # noqa: BLE001 - whatever it is, its frames and its chain may carry the request
            return outcome_of(error, exchange)
        finally:
            current_exchange.reset(token)

    def _attempt_aside(self, request: _Request, exchange: Exchange, limit: int) -> Response | BaseException:
        """The same in another thread: the HTTP stack's own waiting has no end that could be relied on."""
        errand = Errand(lambda: self._attempt(request, exchange, limit))
        try:
            has_ended = errand.ends_within(exchange.remaining_seconds + _ASIDE_MARGIN_SECONDS)
        finally:
            if not errand.is_done:
                exchange.cut()
        return errand.wait() if has_ended else failure_of(TimeoutError(), exchange)

    def _exchange(self, request: _Request, exchange: Exchange, limit: int) -> Response:
        parts = urlsplit(request.url)
        origin = parts.scheme, parts.netloc
        idle, here = kept.take(origin, request.reuse)
        session = idle or _new_session(request.url, is_plain=parts.scheme == "http")
        is_kept = False
        try:
            response = request.send(
                session, timeout=(self.config.connect_timeout_seconds, self.config.read_timeout_seconds)
            )
            exchange.sent = True
            answer = read_answer(response, exchange, limit)
            is_kept = request.reuse is not Reuse.NEVER
        finally:
            if is_kept:
                kept.give_back(origin, session, here)
            else:
                session.close()
        return answer


def _new_session(url: str, *, is_plain: bool) -> requests.Session:
    session = requests.Session()
    session.headers = CaseInsensitiveDict({"User-Agent": USER_AGENT, **_HEADERS})
    session.mount("http://" if is_plain else "https://", DeadlineAdapter())
    if not is_plain:  # looked up once: a kept session is not used in another environment
        found = session.merge_environment_settings(url, {}, None, None, None)
        session.proxies, session.verify = found["proxies"], found["verify"]
    session.trust_env = False
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
    # Even if it is not to follow a redirect, requests looks where it leads, and reads its body without a limit.
    session.resolve_redirects = _no_redirects  # type: ignore[method-assign]
    return session


def _is_unknown(result: Response | BaseException) -> bool:
    """Whether the connection broke; a time-out is not waited for twice."""
    return isinstance(result, OutcomeUnknown) and result.code == OutcomeUnknown.code


def _refuse(method: str, url: str) -> None:
    """Raise if the URL is not to be spoken to, or not now."""
    if not is_secure_url(url):
        raise ThanksIOConfigurationError(
            "thanks.io is spoken to over https:// only (plain http only to localhost, 127.0.0.0/8 or "
            "[::1]). Check the THANKSIO_*_URL settings.",
            code="insecure_url",
        )
    names = {"request"} | ({method.lower()} & _VERBS)
    replaced = [
        name for name in names if any(map(_is_replaced, (getattr(requests, name), getattr(requests.api, name))))
    ]
    if replaced and not is_loopback(urlsplit(url).hostname or ""):
        raise ThanksIOConfigurationError(
            f"requests.{replaced[0]} is mocked in this process, and thanksio_connect does not send by it: the real "
            "request to thanks.io was stopped. See docs/testing.md, Mocks and clocks.",
            code="mocked",
        )


def _is_replaced(function: Any) -> bool:
    """Whether it is not requests' own, nor (as a tracer's is) a wrapper of it."""
    return getattr(function, "__globals__", None) is not vars(requests.api) and not hasattr(function, "__wrapped__")


def _no_redirects(*args: Any, **kwargs: Any) -> Iterator[Any]:
    return iter(())


@dataclass(slots=True, repr=False)
class _Request:
    method: str
    url: str
    form: Mapping[str, str | Secret] | None
    body: bytes | None
    params: Mapping[str, Any] | None
    headers: Mapping[str, str]
    auth: AuthBase
    reuse: Reuse

    def send(self, session: requests.Session, **options: Any) -> Any:
        """Send by the session's method for the verb. (``session.post`` calls ``request``, and that calls ``send``.)"""
        by_verb = getattr(session, self.method.lower()) if self.method.lower() in _VERBS else None
        send = by_verb or functools.partial(session.request, self.method)
        return send(
            self.url,
            data=self._data(),
            params=self.params,
            headers=self._headers(),
            auth=self.auth,
            allow_redirects=False,
            stream=True,
            **options,
        )

    def _data(self) -> Any:
        if self.form is None:
            return self.body
        return {name: value.reveal() if isinstance(value, Secret) else value for name, value in self.form.items()}

    def _headers(self) -> dict[str, str]:
        return {
            **({"Connection": "close"} if self.reuse is Reuse.NEVER else {}),
            **({} if self.body is None else {"Content-Type": "application/json"}),
            **self.headers,
        }


def parse_retry_after(value: str | None, *, now: datetime | None = None) -> float | None:
    """Seconds to wait by a ``Retry-After`` header, number or HTTP date (RFC 9110 10.2.3), at most an hour.

    None if there is none or it makes no sense. ``now`` is aware.
    """
    text = (value or "").strip()
    if re.fullmatch(r"[0-9]+", text):
        return min(float(text.lstrip("0")[:10] or 0), LONGEST_RETRY_AFTER_SECONDS)
    try:
        moment = parsedate_to_datetime(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        seconds = (moment - (now or datetime.now(UTC))).total_seconds()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER_SECONDS)
