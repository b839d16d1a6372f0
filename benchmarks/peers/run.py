"""Lets all peers do the same, and writes two tables. Imported once Django is set up."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from django.conf import settings

from benchmarks.peers import mishaps, pool, race
from benchmarks.peers.adapter import Peer
from benchmarks.peers.registry import installed_peers
from benchmarks.report import table
from thanksio_connect.testing.remote import RemoteThanksIO


def report(
    forgiving: RemoteThanksIO, strict: RemoteThanksIO, *, rounds: int, names: list[str] | None, faults: bool = True
) -> str:
    """Race everybody at both providers; then everybody's mishaps, side by side, for some of them take seconds."""
    peers = [peer for name, peer in installed_peers().items() if names is None or name in names]
    rows = []
    with race.crowd() as crowd:
        for peer in peers:
            standings = [race.run(crowd, peer, thanksio, rounds=rounds) for thanksio in (forgiving, strict)]
            rows.append((peer.name, *standings[0].cells, *standings[1].cells))
    header = (
        f"{race.CALLERS} callers, one expired connection",
        "token requests",
        "callers with an exception",
        "lost",
        "with reuse detection: token requests",
        "callers with an exception",
        "lost",
    )
    tables = [table(header, rows)]
    if faults:
        with RemoteThanksIO.launch() as elsewhere:
            tables += _mishaps(peers, forgiving, elsewhere)
    return "\n\n".join(tables)


def _mishaps(peers: list[Peer], thanksio: RemoteThanksIO, elsewhere: RemoteThanksIO) -> list[str]:
    for setting, value in thanksio.settings.items():
        setattr(settings, setting, value)
    lost = [pool.lost(peer, thanksio) for peer in peers]
    one_writer = settings.DATABASE == "sqlite"
    faults = {name: fault for name, fault in mishaps.FAULTS.items() if not one_writer or "delay_reply" not in fault}
    with ThreadPoolExecutor(max_workers=1 if one_writer else len(peers)) as executor:
        found = list(executor.map(lambda peer: mishaps.run(peer, thanksio, elsewhere, faults), peers))
    count = len(faults)
    rows = [
        (
            peer.name,
            f"{dead} of {pool.CONNECTIONS}",
            f"{seen.lost_by_rollback} of {mishaps.ROLLBACKS}",
            f"{len(seen.raised)} of {count}",
            f"{len(seen.lost)} of {count}",
            "raises" if seen.old_object_raises else "works",
            "raises" if seen.early_401_raises else "works",
            "**sent on**" if seen.redirect_leaks else "kept",
        )
        for peer, dead, seen in zip(peers, lost, found, strict=True)
    ]
    header = (
        "no race",
        f"{pool.THREADS} threads, a connection each: lost",
        "lost when the caller rolls back",
        "avoidable faults: exception",
        "lost",
        "object loaded before somebody else's refresh",
        "401 before its time",
        "secret and token on a 307 elsewhere",
    )
    details = [
        (name, *("lost" if name in seen.lost else "raised" if name in seen.raised else "" for seen in found))
        for name in faults
    ]
    return [table(header, rows), table(("avoidable fault", *(peer.name for peer in peers)), details)]
