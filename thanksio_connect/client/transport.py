"""The only place that sends HTTP: one request, one answer, within a total deadline and a size limit."""

from __future__ import annotations

import json as jsonlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib import metadata
from typing import Any

import requests
from requests.auth import AuthBase
from requests.structures import CaseInsensitiveDict

from ..exceptions import NotSent, OutcomeUnknown, ThanksIOConfigurationError
from .auth import NoAuth
from .deadline import DeadlineAdapter, Exchange, current_exchange
from .tokens import Secret
from .urls import is_secure_url

__all__ = ["Response", "Transport", "TransportConfig", "is_secure_url", "parse_retry_after"]

MIB = 1024 * 1024
LONGEST_RETRY_AFTER_SECONDS = 3600.0
_CHUNK_BYTES = 16 * 1024
_HEADER_ALLOWANCE_BYTES = MIB


def _version() -> str:
    try:
        return metadata.version("thanksio-connect")
    except metadata.PackageNotFoundError:
        return "0"


USER_AGENT = f"thanksio_connect/{_version()}"


@dataclass(frozen=True)
class TransportConfig:
    """Limits of one exchange. The read timeout bounds one silence; the total deadline bounds everything."""

    connect_timeout_seconds: float = 5
    read_timeout_seconds: float = 30
    max_body_bytes: int = MIB

    @property
    def total_deadline_seconds(self) -> float:
        """Wall-clock seconds after which an exchange is given up, whatever the server sends meanwhile."""
        return self.connect_timeout_seconds + self.read_timeout_seconds


@dataclass(frozen=True, repr=False)
class Response:
    """An HTTP answer, whole. ``headers`` is case-insensitive, ``body`` is decompressed."""

    status: int
    headers: Mapping[str, str] = field(default_factory=CaseInsensitiveDict)
    body: bytes = b""

    def __repr__(self) -> str:
        return f"Response(status={self.status}, ***)"

    def json(self) -> Any:
        """The body as JSON, in UTF-8; a byte order mark is passed over (RFC 8259 8.1). Raises ValueError."""
        value, is_json = load_json(self.body)
        if not is_json:
            raise ValueError("The body is not JSON.")
        return value


def load_json(body: bytes, **options: Any) -> tuple[Any, bool]:
    """Decode without raising (JSONDecodeError carries the document): (value, True) or (None, False)."""
    try:
        return jsonlib.loads(body.decode("utf-8-sig"), **options), True
    except (ValueError, RecursionError):
        return None, False


class Transport:
    """Sends HTTP requests, each over a new connection: a stale kept-alive one would leave outcomes open."""

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
    ) -> Response:
        """Send once, read the whole answer, whatever its status. Follows no redirect, reads no ``.netrc``.

        Proxies and CA bundles are the environment's; plain http (to loopback hosts only) goes past proxies.
        Raises NotSent before a byte of the request was sent, OutcomeUnknown after (code ``too_large`` over
        the size limit, ``timeout`` after the deadline), ThanksIOConfigurationError if the URL, a proxy or the
        CA bundle is unusable, TypeError or ValueError if ``json`` is not JSON. None of them keeps the
        underlying exception, which would carry the request.
        """
        if not is_secure_url(url):
            raise ThanksIOConfigurationError(
                "thanks.io is spoken to over https:// only (plain http only to localhost, 127.0.0.0/8 or "
                "[::1]). Check the THANKSIO_*_URL settings.",
                code="insecure_url",
            )
        body = None if json is None else jsonlib.dumps(json, allow_nan=False).encode()
        all_headers = {
            "Accept": "application/json",
            "Accept-Encoding": "gzip, deflate",  # what the size limit was tried with
            "Connection": "close",
            "User-Agent": USER_AGENT,
            **({} if body is None else {"Content-Type": "application/json"}),
            **(headers or {}),
        }
        limit = self.config.max_body_bytes if max_body_bytes is None else max_body_bytes
        exchange = Exchange(
            total_seconds=self.config.total_deadline_seconds,
            read_timeout_seconds=self.config.read_timeout_seconds,
            max_bytes=limit + _HEADER_ALLOWANCE_BYTES,
        )
        request = _Request(method, url, form, body, params, all_headers, auth or NoAuth())
        result = self._attempt(request, exchange, limit)
        if isinstance(result, Response):
            return result
        raise result  # outside every except block: no __context__

    def _attempt(self, request: _Request, exchange: Exchange, limit: int) -> Response | Exception:
        token = current_exchange.set(exchange)
        try:
            with requests.Session() as session:
                return self._exchange(session, request, exchange, limit)
        except Exception as error:  # noqa: BLE001 - whatever it is, it may carry the request
            return _failure(error, exchange)
        except BaseException as error:  # noqa: BLE001 - a worker is stopped: its report would show the frames below
            raise error.with_traceback(None) from None
        finally:
            current_exchange.reset(token)

    def _exchange(self, session: requests.Session, request: _Request, exchange: Exchange, limit: int) -> Response:
        adapter = DeadlineAdapter()
        session.mount("https://", adapter)
        session.mount("http://", adapter)
        prepared = session.prepare_request(request.build())
        url = prepared.url or ""
        settings: Any = session.merge_environment_settings(url, {}, True, None, None)
        if url.lower().startswith("http:"):
            settings["proxies"] = {}
        timeout = (self.config.connect_timeout_seconds, self.config.read_timeout_seconds)
        # Not session.send(), which reads the body of a redirect without a limit.
        response = adapter.send(prepared, timeout=timeout, **settings)
        response.raw.enforce_content_length = True  # urllib3 1.26 takes a body that was cut short for whole
        try:
            chunks: list[bytes] = []
            size = 0
            for chunk in response.raw.stream(_CHUNK_BYTES, decode_content=True):
                size += len(chunk)
                if size > limit:
                    exchange.too_large()
                chunks.append(chunk)
        finally:
            response.close()
        return Response(response.status_code, response.headers, b"".join(chunks))


@dataclass(frozen=True, repr=False)
class _Request:
    method: str
    url: str
    form: Mapping[str, str | Secret] | None
    body: bytes | None
    params: Mapping[str, Any] | None
    headers: Mapping[str, str]
    auth: AuthBase

    def build(self) -> requests.Request:
        data: Any = self.body
        if self.form is not None:
            data = {name: value.reveal() if isinstance(value, Secret) else value for name, value in self.form.items()}
        return requests.Request(
            self.method, self.url, data=data, params=self.params, headers=dict(self.headers), auth=self.auth
        )


def _failure(error: Exception, exchange: Exchange) -> Exception:
    failure: NotSent | OutcomeUnknown
    if exchange.sent:
        code = "too_large" if exchange.is_too_large else "timeout" if _is_timeout(error, exchange) else None
        failure = OutcomeUnknown(code=code)
    elif isinstance(error, requests.exceptions.InvalidProxyURL | requests.exceptions.InvalidSchema):
        return ThanksIOConfigurationError(
            "The proxy that the environment names (HTTPS_PROXY, ALL_PROXY) can't be used.", code="proxy"
        )
    elif isinstance(error, OSError) and not isinstance(error, requests.RequestException | TimeoutError):
        return ThanksIOConfigurationError(
            "The CA bundle that the environment names (REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE) can't be read.",
            code="ca_bundle",
        )
    else:
        failure = NotSent()
    failure.cause_name = type(error).__name__
    return failure


def _is_timeout(error: Exception, exchange: Exchange) -> bool:
    return exchange.is_over or isinstance(error, requests.Timeout | TimeoutError)


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
