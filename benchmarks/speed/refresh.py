"""One renewal, against the lines that a developer writes by hand: read, ``requests.post``, save, all encrypted."""

from __future__ import annotations

from datetime import UTC, datetime

import requests
from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection, transaction

from benchmarks.measure import Finding, Seconds, connections_opened, interleaved, statements
from benchmarks.models import HandwrittenConnection
from thanksio_connect.models import ThanksIOConnection
from thanksio_connect.testing.remote import RemoteThanksIO

PROVIDER_SECONDS = 0.05


def by_hand(pk: int) -> str:
    """What most projects have."""
    row = HandwrittenConnection.objects.get(pk=pk)
    response = requests.post(
        settings.THANKSIO_TOKEN_URL,
        data={
            "grant_type": "refresh_token",
            "refresh_token": row.refresh_token,
            "client_id": settings.THANKSIO_CLIENT_ID,
            "client_secret": settings.THANKSIO_CLIENT_SECRET,
        },
        timeout=30,
    )
    response.raise_for_status()
    row.take(response.json())
    return str(row.access_token)


def ours(pk: int) -> str:
    """The same, by this package."""
    row = ThanksIOConnection.objects.select_related("tokens").get(pk=pk)
    row.refresh()
    return row.get_access_token()


def in_atomic(run: object, pk: int) -> None:
    """Inside a transaction of the caller that has read something."""
    with transaction.atomic():
        User.objects.first()
        run(pk)  # type: ignore[operator]


def measure(thanksio: RemoteThanksIO, *, rounds: int) -> list[Finding]:
    """Renew again and again, taking turns; the provider answers in 50 ms."""
    pair = thanksio.call("issue", user_id="hand")
    hand = HandwrittenConnection.objects.create(
        access_token=pair["access_token"], refresh_token=pair["refresh_token"], expires_at=datetime.now(UTC)
    ).pk
    pair = thanksio.call("issue", user_id="ours")
    user = User.objects.create(username="refresh")
    row = ThanksIOConnection.objects.connect(user, {"token_type": "Bearer", "expires_in": 60, **_tokens(pair)})
    thanksio.call("next_token", delay=PROVIDER_SECONDS, times=None)
    row.refresh()
    with statements() as seen:
        row.refresh()
    with transaction.atomic(), statements() as seen_in_atomic, connections_opened() as opened:
        row.refresh()
    outside = interleaved({"hand": lambda: by_hand(hand), "ours": lambda: ours(row.pk)}, rounds=rounds)
    inside = interleaved(
        {"hand": lambda: in_atomic(by_hand, hand), "ours": lambda: in_atomic(ours, row.pk)}, rounds=rounds
    )
    thanksio.call("clear_faults")
    return [
        Finding(
            "refresh in autocommit: statements besides BEGIN and COMMIT",
            len(seen),
            4,
            is_count=True,
            detail=f"{len(seen_in_atomic)} inside atomic()",
        ),
        Finding(
            "refresh inside atomic(): connections besides the caller's",
            len(opened),
            0 if connection.vendor == "sqlite" else 2,
            is_count=True,
        ),
        _ratio("refresh in autocommit / by hand", outside, 1.15),
        _ratio("refresh inside atomic() / by hand", inside, 1.4),
    ]


def _ratio(what: str, sides: dict[str, Seconds], limit: float) -> Finding:
    ours, hand = sides["ours"], sides["hand"]
    detail = (
        f"{ours.best * 1000:.1f} and {hand.best * 1000:.1f} ms; "
        f"medians {ours.median * 1000:.1f} and {hand.median * 1000:.1f} ms"
    )
    return Finding(what, ours.best / hand.best, limit, detail=detail)


def _tokens(pair: dict[str, str]) -> dict[str, str]:
    return {name: pair[name] for name in ("access_token", "refresh_token")}
