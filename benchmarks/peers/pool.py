"""Sixteen threads of one process renew many connections, each its own: no race, but one database."""

from __future__ import annotations

import queue
import threading

from django.db import connections

from benchmarks.peers.adapter import Pair, Peer
from thanksio_connect.testing.remote import RemoteThanksIO

THREADS, CONNECTIONS = 16, 80


def lost(peer: Peer, thanksio: RemoteThanksIO) -> int:
    """How many of the connections are dead afterwards."""
    pks: queue.SimpleQueue[int] = queue.SimpleQueue()
    added = [peer.add(Pair.issued(thanksio.call("issue", user_id="pool", expires_in=-1))) for _ in range(CONNECTIONS)]
    for pk in added:
        pks.put(pk)
    thanksio.call("next_token", delay=0.05, times=None)
    threads = [threading.Thread(target=_work, args=(peer, pks)) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    thanksio.call("clear_faults")
    return sum(not thanksio.call("is_live", token=peer.refresh_token(pk)) for pk in added)


def _work(peer: Peer, pks: queue.SimpleQueue[int]) -> None:
    try:
        while True:
            try:
                peer.call(peer.load(pks.get_nowait()))
            except queue.Empty:
                return
            except Exception:
                continue
    finally:
        connections.close_all()
