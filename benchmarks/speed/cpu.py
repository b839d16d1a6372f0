"""Processor time of one renewal in autocommit, against a bare ``requests.post`` to the same token server.

The server is another process, so that its work counts for neither side. Waiting costs no processor time: a busy machine
bends this ratio little, and ``--check`` forgives it nothing but the usual half.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import requests
from django.conf import settings
from django.contrib.auth.models import User

from benchmarks.measure import Finding
from thanksio_connect.models import ThanksIOConnection
from thanksio_connect.testing.remote import RemoteThanksIO

WARM_UP = 20
BATCH = 20  # rounds between two turns: the process's clock counts in small steps on some machines


def measure(thanksio: RemoteThanksIO, *, rounds: int) -> list[Finding]:
    """Renew, and post, ``rounds`` times each, in turns; the median of the turns counts."""
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

    for run in (post, row.refresh):
        _seconds(run, WARM_UP)
    bare, renewed = [], []
    for _turn in range(max(1, rounds // BATCH)):
        bare.append(_seconds(post, BATCH))
        renewed.append(_seconds(row.refresh, BATCH))
    one, ours = statistics.median(bare), statistics.median(renewed)
    detail = f"{ours * 1000:.2f} and {one * 1000:.2f} ms; totals of {len(bare) * BATCH} rounds {sum(renewed) / sum(bare):.2f}"
    return [Finding("processor time of a refresh / of a bare requests.post", ours / one, 2.0, detail=detail)]


def _seconds(run: Callable[[], object], times: int) -> float:
    """Processor time of one run, of all threads of this process."""
    started = time.process_time()
    for _round in range(times):
        run()
    return (time.process_time() - started) / times
