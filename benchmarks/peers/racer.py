"""A process of the race: each thread loads the connection, waits for all others, and makes its call."""

from __future__ import annotations

import threading
from typing import Any

import django

django.setup()  # a spawned process imports this module first

from django.conf import settings  # noqa: E402
from django.db import connections  # noqa: E402

from benchmarks.peers.registry import installed_peers  # noqa: E402

THREADS = 4


def run_process(inbox: Any, results: Any, barrier: Any) -> None:
    """Each thread takes ``(peer, primary key, provider's settings)`` from ``inbox``; None ends it."""
    peers = installed_peers()
    threads = [threading.Thread(target=_serve, args=(peers, inbox, results, barrier)) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _serve(peers: Any, inbox: Any, results: Any, barrier: Any) -> None:
    while (task := inbox.get()) is not None:
        name, pk, provider = task
        for setting, value in provider.items():
            setattr(settings, setting, value)
        error = ""
        peer = peers[name]
        held = peer.load(pk)
        barrier.wait(60)
        try:
            peer.call(held)
        except Exception as problem:
            error = type(problem).__name__
        results.put(error)
    connections.close_all()
