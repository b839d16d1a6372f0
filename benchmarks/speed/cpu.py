"""Processor time of one renewal in autocommit, against a bare ``requests.post`` to the same token server.

The server is another process, so that its work counts for neither side. Waiting costs no processor time, but each time
that something waits a busy machine's caches are cold afterwards: beside other work the ratio is higher.
"""

from __future__ import annotations

import time

import requests
from django.conf import settings
from django.contrib.auth.models import User

from benchmarks.measure import Finding, interleaved
from thanksio_connect.models import ThanksIOConnection
from thanksio_connect.testing.remote import RemoteThanksIO


def measure(thanksio: RemoteThanksIO, *, rounds: int) -> list[Finding]:
    """Renew, and post, ``rounds`` times each, in turns, all threads counted; their medians are compared."""
    pair = thanksio.call("issue", user_id="bare")
    form = {
        "grant_type": "refresh_token",
        "refresh_token": pair["refresh_token"],
        "client_id": settings.THANKSIO_CLIENT_ID,
        "client_secret": settings.THANKSIO_CLIENT_SECRET,
    }
    pair = thanksio.call("issue", user_id="renewed")
    tokens = {"access_token": pair["access_token"], "refresh_token": pair["refresh_token"], "expires_in": 60}
    row = ThanksIOConnection.objects.connect(User.objects.create(username="cpu"), tokens)

    def post() -> None:
        response = requests.post(settings.THANKSIO_TOKEN_URL, data=form, timeout=30)
        response.raise_for_status()
        form["refresh_token"] = response.json()["refresh_token"]

    sides = {"bare": post, "refresh": row.refresh}
    times = interleaved(sides, rounds=rounds, warm_up=20, clock=time.process_time)
    ours, bare = times["refresh"], times["bare"]
    detail = (
        f"medians {ours.median * 1000:.2f} and {bare.median * 1000:.2f} ms; "
        f"best {ours.best * 1000:.2f} and {bare.best * 1000:.2f} ms: {ours.best / bare.best:.2f}"
    )
    what = "processor time of a refresh / of a bare requests.post"
    return [Finding(what, ours.median / bare.median, 2.0, detail=detail)]
