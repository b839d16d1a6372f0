"""One call of the API: its token, its pace, its attempts, its answer or error, and its one log record.

What may charge or change is sent once. The one exception is a request that was refused with 401
``Unauthenticated``: thanks.io did nothing, so it is sent once more with a renewed token.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..exceptions import NotSent, ThanksIOError
from ..records import record
from .api_errors import api_error, invalid_response, is_token_refused
from .auth import BearerAuth
from .encoding import plain, plain_query
from .paths import fill, loggable
from .rate_limit import Pacer, RateLimit, read_rate_limit
from .retries import RetryPolicy
from .tokens import Secret
from .transport import MIB, Response, Reuse, Transport, load_json, parse_retry_after
from .urls import join_api_url

logger = logging.getLogger("thanksio_connect.api")

MAX_BODY_BYTES = 32 * MIB
"""A page of 10,000 recipients is some megabytes."""

_BINARY_TYPES = ("image/", "application/pdf", "application/octet-stream")


class TokenSource(Protocol):
    """Where the client has its access token from: a connection, or whatever can do the same."""

    def get_access_token(self) -> str:
        """A usable access token."""

    def renew(self, rejected_access_token: Secret) -> None:
        """See to it that the next token is another than the rejected one, or raise."""


@dataclass(slots=True, repr=False)
class Request:
    """What to send. ``is_read``: it changes and costs nothing, so it may be sent again.

    ``template``: the path before the ids came in; None for a path that was given as it is.
    """

    method: str
    url: str
    template: str | None
    params: Mapping[str, Any] | None
    json: Any
    is_read: bool


@dataclass(repr=False)
class _Progress:
    """What the log record tells of a call."""

    started: float = field(default_factory=time.monotonic)
    attempts: int = 0
    status: int | None = None


class Caller:
    """Makes calls as one account."""

    def __init__(
        self,
        *,
        api_url: str,
        transport: Transport,
        tokens: TokenSource,
        connection_id: object = None,
        retries: RetryPolicy | None = None,
        pacer: Pacer | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.rate_limit: RateLimit | None = None
        self._api_url = api_url
        self._transport = transport
        self._tokens = tokens
        self._connection_id = connection_id
        self._retries = retries or RetryPolicy()
        self._pacer = pacer
        self._sleep = sleep

    def paced(self, pacer: Pacer, retries: RetryPolicy) -> Caller:
        """The same caller, with a pace."""
        return Caller(
            api_url=self._api_url,
            transport=self._transport,
            tokens=self._tokens,
            connection_id=self._connection_id,
            retries=retries,
            pacer=pacer,
            sleep=self._sleep,
        )

    def operation(
        self,
        method: str,
        template: str,
        ids: Mapping[str, int | str] | None = None,
        *,
        params: Mapping[str, Any] | None = None,
        json: object = None,
        is_read: bool | None = None,
    ) -> Any:
        """Call a path such as ``/orders/{order_id}/track``. A GET is a read, unless ``is_read`` says otherwise."""
        url = join_api_url(self._api_url, fill(template, ids or {}))
        return self._call(method, url, template, params, json, is_read)

    def raw(
        self,
        method: str,
        path: str,
        ids: Mapping[str, int | str] | None,
        params: Mapping[str, Any] | None,
        json: object,
    ) -> Any:
        """Call a path as given; see :func:`~thanksio_connect.client.urls.join_api_url` for what is refused."""
        if ids is not None:
            return self.operation(method, path, ids, params=params, json=json)
        return self._call(method, join_api_url(self._api_url, path), None, params, json, None)

    def _call(
        self,
        method: str,
        url: str,
        template: str | None,
        params: Mapping[str, Any] | None,
        json: object,
        is_read: bool | None,
    ) -> Any:
        request = Request(
            method=method,
            url=url,
            template=template,
            params=None if params is None else plain_query(params),
            json=plain(json),
            is_read=method == "GET" if is_read is None else is_read,
        )
        access_token = Secret(self._tokens.get_access_token())
        progress = _Progress()
        outcome = "failed"
        try:
            response = self._with_renewal(request, access_token, progress)
            outcome = "ok" if 200 <= response.status < 300 else "refused"
        except ThanksIOError as error:
            outcome = error.code
            raise
        finally:
            self._log(request, progress, outcome)
        if outcome == "refused":
            raise api_error(response)
        return _decode(response)

    def _with_renewal(self, request: Request, access_token: Secret, progress: _Progress) -> Response:
        response = self._with_retries(request, access_token, progress)
        if not is_token_refused(response):
            return response
        self._tokens.renew(access_token)
        renewed_token = Secret(self._tokens.get_access_token())
        if renewed_token == access_token:
            return response
        return self._with_retries(request, renewed_token, progress)

    def _with_retries(self, request: Request, access_token: Secret, progress: _Progress) -> Response:
        attempt = 1
        answer = self._send(request, access_token, progress)
        while request.is_read:
            response = None if isinstance(answer, NotSent) else answer
            wait = self._retries.wait_after(attempt, response)  # None after the last attempt: the loop ends
            if wait is None:
                break
            self._sleep(wait)
            attempt += 1
            answer = self._send(request, access_token, progress)
        if isinstance(answer, NotSent):
            raise answer
        return answer

    def _send(self, request: Request, access_token: Secret, progress: _Progress) -> Response | NotSent:
        if self._pacer is not None:
            self._pacer.wait()
        progress.attempts += 1
        progress.status = None
        try:
            response = self._transport.send(
                request.method,
                request.url,
                params=request.params,
                json=request.json,
                auth=BearerAuth(access_token),
                max_body_bytes=MAX_BODY_BYTES,
                reuse=Reuse.REPEATABLE if request.is_read else Reuse.NEVER,
            )
        except NotSent as error:
            return error
        progress.status = response.status
        self._heed(response)
        return response

    def _heed(self, response: Response) -> None:
        self.rate_limit = read_rate_limit(response.headers) or self.rate_limit
        if self._pacer is not None:
            self._pacer.heed(self.rate_limit)
            if response.status == 429:
                self._pacer.pause(parse_retry_after(response.headers.get("Retry-After")) or 0.0)

    def _log(self, request: Request, progress: _Progress, outcome: str) -> None:
        level = logging.DEBUG if outcome == "ok" and request.is_read else logging.INFO
        if not progress.attempts or not logger.isEnabledFor(level):
            return
        path = request.template or loggable(request.url.removeprefix(self._api_url.rstrip("/")))
        record(
            "api.call",
            level=level,
            logger=logger,
            words={"answer": progress.status or outcome},
            outcome=outcome,
            method=request.method,
            path=path,
            status=progress.status,
            milliseconds=round((time.monotonic() - progress.started) * 1000),
            attempts=progress.attempts,
            connection_id=self._connection_id,
        )


def _decode(response: Response) -> Any:
    if response.status == 204 or not response.body:
        return None
    if response.headers.get("Content-Type", "").lower().startswith(_BINARY_TYPES):
        return response.body
    value, is_json = load_json(response.body)
    if not is_json:
        raise invalid_response(response)
    return value
