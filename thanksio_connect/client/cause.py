"""Why a request could not be sent, in words that name the cure: a certificate, a name look-up, a proxy, a refusal."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import requests
import urllib3

LONGEST_DETAIL = 200
_PROXY = (requests.exceptions.ProxyError, urllib3.exceptions.ProxyError)
_TLS = (ssl.SSLError, requests.exceptions.SSLError, urllib3.exceptions.SSLError)
_TIMEOUT = (requests.Timeout, urllib3.exceptions.TimeoutError, TimeoutError)
_CURES = {
    "certificate": "The server's certificate is not trusted here: name the CA bundle that vouches for it in the "
    "environment variable REQUESTS_CA_BUNDLE, and look at this machine's clock.",
    "tls": "No TLS connection came about: look at the THANKSIO_*_URL settings, at REQUESTS_CA_BUNDLE and at what "
    "stands in between.",
    "proxy": "The proxy that the environment names (HTTPS_PROXY, ALL_PROXY) did not let the request through.",
    "dns": "The host's name was not found: look at this machine's DNS and at the THANKSIO_*_URL settings.",
    "refused": "Nobody listens there, or a firewall refuses: look at the THANKSIO_*_URL settings.",
    "timeout": "The connection took too long: a firewall may swallow it. Try again.",
}


@dataclass(frozen=True)
class Cause:
    """``reason`` is ``certificate``, ``tls``, ``proxy``, ``dns``, ``refused``, ``timeout`` or empty.

    ``root_name`` is the class of the exception at the bottom. ``detail`` is what OpenSSL says of a certificate.
    """

    reason: str
    root_name: str
    detail: str = ""

    @property
    def sentence(self) -> str | None:
        """What happened and what to do, without anything of the request; None where nothing particular is known."""
        if self.reason not in _CURES:
            return None
        name = f"{self.root_name}: {self.detail}" if self.detail else self.root_name
        return f"thanks.io could not be reached ({name}); nothing was sent. {_CURES[self.reason]}"


def cause_of(error: BaseException) -> Cause:
    """Look below requests' and urllib3's wrappers. Nothing of the exceptions is kept: they hold the request."""
    chain = list(_chain(error))
    root_name = type(chain[-1]).__name__
    if any(isinstance(each, _PROXY) for each in chain):
        return Cause("proxy", root_name)
    for each in chain:
        if isinstance(each, ssl.SSLCertVerificationError):
            return Cause("certificate", type(each).__name__, _printable(getattr(each, "verify_message", "")))
    if any(isinstance(each, _TLS) for each in chain):
        return Cause("tls", root_name)
    for kind, reason in ((socket.gaierror, "dns"), (ConnectionRefusedError, "refused"), (_TIMEOUT, "timeout")):
        if any(isinstance(each, kind) for each in chain):
            return Cause(reason, root_name)
    return Cause("", root_name)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The exception and what it was raised for, down to the bottom."""
    seen: set[int] = set()
    below: Any = error
    while isinstance(below, BaseException) and id(below) not in seen:
        seen.add(id(below))
        yield below
        wrapped = [getattr(below, "reason", None), *below.args, below.__cause__, below.__context__]
        below = next((each for each in wrapped if isinstance(each, BaseException) and id(each) not in seen), None)


def _printable(text: object) -> str:
    return "".join(char if char.isprintable() else " " for char in str(text))[:LONGEST_DETAIL]
