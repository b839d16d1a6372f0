"""What an exception says about an exchange: not sent, outcome unknown, a wrong configuration, or nothing at all."""

from __future__ import annotations

from http.client import HTTPException

import requests
import urllib3

from ..exceptions import NotSent, OutcomeUnknown, ThanksIOConfigurationError
from .cause import cause_of
from .deadline import Exchange, TooLarge
from .interruption import find_interruption

_NETWORK = (requests.RequestException, urllib3.exceptions.HTTPError, HTTPException, OSError, TooLarge)
_TIMEOUTS = (requests.Timeout, urllib3.exceptions.TimeoutError, TimeoutError)
_AFTER_SENDING = (requests.Timeout, requests.exceptions.ChunkedEncodingError, requests.exceptions.ContentDecodingError)
_STACK = (
    {"requests", "urllib3", "urllib", "http", "email"}
    | {"socket", "socks", "ssl", "select", "selectors", "io"}
    | {"binascii", "encodings", "idna", "stringprep", "zlib"}
)


def outcome_of(error: BaseException, exchange: Exchange) -> BaseException:
    """Return what the caller of the transport gets in the exception's place.

    A failure of the HTTP stack becomes NotSent, OutcomeUnknown or ThanksIOConfigurationError. Everything else is
    somebody else's (an interruption, a mock's complaint) and is given back itself, without the frames below and the
    exceptions before it: they hold the request.
    """
    interruption = find_interruption(error)
    if interruption is None and _is_of_the_stack(error):
        return failure_of(error, exchange)
    other = interruption or error
    other.__cause__ = other.__context__ = None
    return other.with_traceback(None)


def _is_of_the_stack(error: BaseException) -> bool:
    """requests and urllib3 let some plain errors through: UnicodeError for a host, ValueError for a header."""
    if isinstance(error, _NETWORK):
        return True
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    raised_in = "" if traceback is None else str(traceback.tb_frame.f_globals.get("__name__", ""))
    return _package(raised_in) in _STACK and _package(type(error).__module__) in _STACK | {"builtins"}


def _package(module: str) -> str:
    return module.partition(".")[0]


def failure_of(error: BaseException, exchange: Exchange) -> Exception:
    """Return the error that the HTTP stack's failure amounts to, by whether anything was sent."""
    failure: NotSent | OutcomeUnknown
    if exchange.sent or (not exchange.has_begun and _is_mocked_after_sending(error)):
        code = "too_large" if exchange.is_too_large else "timeout" if _is_timeout(error, exchange) else None
        failure = OutcomeUnknown(code=code)
    elif isinstance(error, requests.exceptions.InvalidProxyURL | requests.exceptions.InvalidSchema):
        return ThanksIOConfigurationError(
            "The proxy that the environment names (HTTPS_PROXY, ALL_PROXY) can't be used.", code="proxy"
        )
    elif _is_unreadable_file(error):
        return ThanksIOConfigurationError(
            "The CA bundle that the environment names (REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE) can't be read.",
            code="ca_bundle",
        )
    else:
        cause = cause_of(error)
        failure = NotSent(cause.sentence)
        failure.reason, failure.root_name, failure.detail = cause.reason, cause.root_name, cause.detail
    failure.cause_name = type(error).__name__
    return failure


def _is_unreadable_file(error: BaseException) -> bool:
    return isinstance(error, OSError) and not isinstance(
        error, requests.RequestException | TimeoutError | ConnectionError
    )


def _is_mocked_after_sending(error: BaseException) -> bool:
    return isinstance(error, _AFTER_SENDING) and not isinstance(error, requests.ConnectTimeout)


def _is_timeout(error: BaseException, exchange: Exchange) -> bool:
    return exchange.is_over or isinstance(error, _TIMEOUTS)
