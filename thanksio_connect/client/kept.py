"""Connections that are used again: within seconds, by one request at a time, in the process that opened them.

A server or a balancer may drop an idle connection without a word, so one that idled for longer is closed, not used.
Which request may go over a kept one at all is :class:`Reuse`. There is no lock: taking and giving back are single
operations of a deque, and an interruption between them costs a connection.
"""

from __future__ import annotations

import atexit
import os
import socket
from collections import deque
from enum import Enum

import requests
from urllib3.util import connection as urllib3_connection

from .deadline import now

LIMIT = 64
"""So many idle connections to one origin, at most."""


class Reuse(Enum):
    """For how many seconds a connection may have idled that a request goes over."""

    NEVER = 0.0
    """What must not be sent twice: a connection that died unnoticed would leave its outcome open."""
    LATELY = 1.0
    """What may be sent once more, at a price."""
    REPEATABLE = 4.0
    """What may be sent again: it is, over a new connection, if the kept one turns out to be dead."""


_PROXIES = [f"{scheme}_proxy" for scheme in ("http", "https", "all", "no")]
_ENVIRONMENT = [*_PROXIES, *map(str.upper, _PROXIES), "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"]
_idle: dict[tuple[str, str], deque[tuple[float, object, requests.Session]]] = {}


def take(origin: tuple[str, str], reuse: Reuse) -> tuple[requests.Session | None, object]:
    """Return a session with an open connection to the origin (scheme, host and port), if one idled shortly enough.

    And the surroundings of now, which a session of now is given back with.
    """
    here = surroundings(origin[0])
    while reuse is not Reuse.NEVER and (idle := _idle.get(origin)):
        try:
            since, made_in, session = idle.pop()
        except IndexError:  # another thread was faster
            break
        if made_in == here and now() - since <= reuse.value:
            return session, here
        session.close()
    return None, here


def give_back(origin: tuple[str, str], session: requests.Session, made_in: object) -> None:
    """Keep the session for the next request, its answer read to the end. ``made_in``: its surroundings, from the start.

    What a test replaced, or the environment changed, while the answer was on its way does not hold for it.
    """
    idle = _idle.setdefault(origin, deque())
    if len(idle) >= LIMIT:
        session.close()
        return
    idle.append((now(), made_in, session))


def close_all() -> None:
    """Close what idles."""
    while _idle:
        for _since, _made_in, session in _idle.popitem()[1]:
            session.close()


def surroundings(scheme: str) -> object:
    """What a connection was made in: this process, the environment's proxies and CA bundles, what a test replaced.

    Plain http goes past both, and looks for neither.
    """
    replaceable = requests.Session, socket.socket, urllib3_connection.create_connection
    environment = tuple(map(os.environ.get, _ENVIRONMENT)) if scheme == "https" else None
    return os.getpid(), replaceable, environment


# A child process shares its parent's sockets, and must not speak over them.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=close_all)
atexit.register(close_all)
