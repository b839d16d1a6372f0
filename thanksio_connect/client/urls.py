"""Which URLs may be spoken to, and how an API path becomes one."""

from __future__ import annotations

import functools
import ipaddress
import re
from urllib.parse import SplitResult, unquote, urlsplit

_UNSAFE = re.compile(r"[\x00-\x1f\x7f\\]")
_HIDDEN = re.compile(r"%2f|%25", re.IGNORECASE)
_DEFAULT_PORTS = {"http": 80, "https": 443}


def is_loopback(host: str) -> bool:
    """Whether the host is ``localhost``, in ``127.0.0.0/8`` or ``::1``."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@functools.lru_cache(maxsize=64)
def is_secure_url(url: str) -> bool:
    """Whether the URL is absolute, https (or http to a loopback host) and free of credentials and tricks."""
    if _UNSAFE.search(url) or " " in url:
        return False
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
    except ValueError:
        return False
    if not host or "@" in parts.netloc:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))


def is_base_url(url: str) -> bool:
    """Whether a path can be put at the URL's end: it has no query and no fragment."""
    return not {"?", "#"} & set(url)


def join_api_url(api_url: str, path: str) -> str:
    """The URL of an API path, exactly as given (trailing slashes matter), always below ``api_url``.

    An absolute URL (a pagination link) is accepted only from the same origin and below the same base path:
    the bearer token goes wherever this points to. Raises ValueError otherwise, and for ``.`` and ``..`` segments
    (also encoded), backslashes, ``@``, control characters, a fragment, ``//`` at the start, ``%2F`` and ``%25``.
    Slashes and a query are the caller's own: text of a user's can bring them in, so it goes through ``ids``.
    """
    if not isinstance(path, str):
        raise TypeError("The path must be a str such as '/mailing-lists/'.")
    return _joined(api_url, path)


@functools.lru_cache(maxsize=64)
def _joined(api_url: str, path: str) -> str:
    if not path or _UNSAFE.search(path) or "#" in path:
        raise ValueError("The path must not be empty or have control characters, backslashes or a fragment.")
    base = api_url.rstrip("/")
    if path.lower().startswith(("http://", "https://")):
        url = path
    elif path.startswith("//"):
        raise ValueError("The path must start with a single slash, such as '/mailing-lists/'.")
    else:
        url = f"{base}/{path.removeprefix('/')}"
    if not _is_below(url, base):
        raise ValueError(
            "The URL is not below THANKSIO_API_URL, so the access token is not sent to it. "
            "Give the path instead, such as '/mailing-lists/', with params={'page': 2} for another page."
        )
    path = urlsplit(url).path
    decoded = unquote(path)
    if _UNSAFE.search(decoded) or "@" in decoded or {".", ".."} & set(decoded.split("/")):
        raise ValueError("The path must not have '.' or '..' segments, '@', backslashes or control characters.")
    if _HIDDEN.search(path):
        raise ValueError("The path must not have an encoded slash ('%2F') or an encoded percent sign ('%25').")
    return url


def _is_below(url: str, base: str) -> bool:
    """Whether the URL has the base's origin, and its path at the start."""
    try:
        target, root = urlsplit(url), urlsplit(base)
        return _origin(target) == _origin(root) and f"{target.path}/".startswith(f"{root.path}/")
    except ValueError:
        return False


def _origin(parts: SplitResult) -> tuple[str, str | None, int | None]:
    if "@" in parts.netloc:
        raise ValueError("credentials in a URL")
    return parts.scheme, parts.hostname, parts.port or _DEFAULT_PORTS.get(parts.scheme)
