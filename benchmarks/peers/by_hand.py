"""The usual hand-written code, and the same with ``select_for_update`` around it all."""

from __future__ import annotations

from datetime import UTC, datetime

import requests
from django.conf import settings
from django.db import transaction

from benchmarks.models import HandwrittenConnection
from benchmarks.peers.adapter import Pair, ping

TOKEN_TIMEOUT_SECONDS = 10


def renew(row: HandwrittenConnection) -> None:
    """Post, check, save."""
    response = requests.post(
        settings.THANKSIO_TOKEN_URL,
        data={
            "grant_type": "refresh_token",
            "refresh_token": row.refresh_token,
            "client_id": settings.THANKSIO_CLIENT_ID,
            "client_secret": settings.THANKSIO_CLIENT_SECRET,
        },
        timeout=TOKEN_TIMEOUT_SECONDS,
    )
    response.raise_for_status()
    row.take(response.json())


class ByHand:
    """Expired? Refresh and save."""

    name = "written by hand"

    def add(self, pair: Pair) -> int:
        row = HandwrittenConnection.objects.create(
            access_token=pair.access_token, refresh_token=pair.refresh_token, expires_at=pair.expiry
        )
        return int(row.pk)

    def load(self, pk: int) -> HandwrittenConnection:
        return HandwrittenConnection.objects.get(pk=pk)

    def call(self, held: HandwrittenConnection) -> None:
        if held.expires_at <= datetime.now(UTC):
            renew(held)
        ping(held.access_token)

    def refresh_token(self, pk: int) -> str:
        return str(self.load(pk).refresh_token)


class ByHandLocked(ByHand):
    """The row is locked and read again before anything is sent."""

    name = "by hand, select_for_update"

    def call(self, held: HandwrittenConnection) -> None:
        if held.expires_at <= datetime.now(UTC):
            with transaction.atomic():
                held = HandwrittenConnection.objects.select_for_update().get(pk=held.pk)
                if held.expires_at <= datetime.now(UTC):
                    renew(held)
        ping(held.access_token)
