"""What happens to one caller alone: a rollback, an old object, an early 401, and replies that need cost nothing."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from django.db import connections, transaction

from benchmarks.peers.adapter import Pair, Peer
from thanksio_connect.testing.remote import RemoteThanksIO

ROLLBACKS = 5
# A connection is lost if a call fails so long after the first, too: by then a visitor has come back to the page.
LATER_SECONDS = 6.0
HTML = "<html><body>Maintenance</body></html>"
_BEARER = {"token_type": "Bearer", "expires_in": 3600}

# None of these has to cost the connection: the provider did not rotate, or told the new pair.
FAULTS: dict[str, dict[str, Any]] = {
    "`expires_in` is missing": {"omit": ["expires_in"]},
    '`expires_in` is `"3600"`': {"reply": {"expires_in": "3600"}},
    "`expires_in` is `null`": {"reply": {"expires_in": None}},
    "`expires_in` is 0": {"reply": {"expires_in": 0}},
    "no `refresh_token`: the old one stays good": {"omit": ["refresh_token"]},
    "200 with empty tokens, nothing rotated": {
        "status": 200,
        "body": {**_BEARER, "access_token": "", "refresh_token": ""},
    },
    "200 with CR LF as tokens, nothing rotated": {
        "status": 200,
        "body": {**_BEARER, "access_token": "\r\n", "refresh_token": "\r\n"},
    },
    "200 with an HTML page, nothing rotated": {"status": 200, "body": HTML, "headers": {"Content-Type": "text/html"}},
    "503 with `Retry-After: 1`, nothing rotated": {"status": 503, "body": HTML, "retry_after": 1},
    "connection closed before anything was processed": {"lose_reply": "before"},
    "tokens of 5,000 characters": {"token_length": 5000},
    "answer after 6 s": {"delay_reply": 6},
    "answer after 11 s": {"delay_reply": 11},
}


class _RolledBack(Exception):
    """The caller's own failure, after the call."""


@dataclass
class Mishaps:
    """What one peer made of them. The names are those of :data:`FAULTS`."""

    lost_by_rollback: int = 0
    raised: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    redirect_leaks: bool = False
    old_object_raises: bool = False
    early_401_raises: bool = False


def run(peer: Peer, thanksio: RemoteThanksIO, elsewhere: RemoteThanksIO, faults: dict[str, dict[str, Any]]) -> Mishaps:
    """All of them, one after the other. ``elsewhere`` is another origin, to which a redirect points."""
    mishaps = Mishaps()
    try:
        for number in range(ROLLBACKS):
            mishaps.lost_by_rollback += _is_lost_by_rollback(peer, thanksio, number)
        pk, _grant = _add(peer, thanksio)
        held, same = peer.load(pk), peer.load(pk)
        _works(peer, held)
        mishaps.old_object_raises = not _works(peer, same)
        pk, grant = _add(peer, thanksio, expires_in=3600)
        thanksio.call("expire_access_token", grant=grant)
        mishaps.early_401_raises = not _works(peer, peer.load(pk))
        mishaps.redirect_leaks = _leaks(peer, thanksio, elsewhere)
        for name, fault in faults.items():
            pk, grant = _add(peer, thanksio)
            thanksio.call("next_token", grant=grant, **fault)
            if not _works(peer, peer.load(pk)):
                mishaps.raised.append(name)
                time.sleep(LATER_SECONDS)
            if not _works(peer, peer.load(pk)):
                mishaps.lost.append(name)
    finally:
        connections.close_all()
    return mishaps


def _add(peer: Peer, thanksio: RemoteThanksIO, expires_in: int = -1) -> tuple[int, str]:
    answer = thanksio.call("issue", user_id=peer.name, expires_in=expires_in)
    return peer.add(Pair.issued(answer)), answer["grant"]


def _works(peer: Peer, held: Any) -> bool:
    try:
        peer.call(held)
    except Exception:
        return False
    return True


def _is_lost_by_rollback(peer: Peer, thanksio: RemoteThanksIO, number: int) -> bool:
    pk, _grant = _add(peer, thanksio)
    try:
        with transaction.atomic():
            peer.call(peer.load(pk))
            raise _RolledBack
    except _RolledBack:
        pass
    return not thanksio.call("is_live", token=peer.refresh_token(pk))


def _leaks(peer: Peer, thanksio: RemoteThanksIO, elsewhere: RemoteThanksIO) -> bool:
    """Whether the client's secret and the refresh token follow a 307 to another origin."""
    pk, grant = _add(peer, thanksio)
    stolen = elsewhere.call("count", grant_type="refresh_token")
    location = elsewhere.settings["THANKSIO_TOKEN_URL"]
    thanksio.call("next_token", grant=grant, status=307, headers={"Location": location}, body="")
    _works(peer, peer.load(pk))
    return bool(elsewhere.call("count", grant_type="refresh_token") > stolen)
