"""The peers that are installed (the extra ``bench`` brings them all)."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

from benchmarks.peers.adapter import Peer

_KNOWN = (
    ("thanksio_connect", "thanksio", "ThanksIO"),
    ("django", "by_hand", "ByHandLocked"),
    ("django", "by_hand", "ByHand"),
    ("social_django", "social", "SocialAuth"),
    ("authlib", "authlib_recipe", "AuthlibRecipe"),
    ("requests_oauthlib", "requests_oauthlib_recipe", "RequestsOAuthlibRecipe"),
)


def installed_peers() -> dict[str, Peer]:
    """By name, ours first."""
    peers: dict[str, Peer] = {}
    for package, module, name in _KNOWN:
        if find_spec(package):
            peer: Peer = getattr(import_module(f"benchmarks.peers.{module}"), name)()
            peers[peer.name] = peer
    return peers
