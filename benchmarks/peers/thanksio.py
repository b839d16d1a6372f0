"""This package."""

from __future__ import annotations

from itertools import count

from django.contrib.auth.models import User

from benchmarks.peers.adapter import Pair
from thanksio_connect.client.tokens import TokenSet
from thanksio_connect.models import ThanksIOConnection

_numbers = count(1)


class ThanksIO:
    """``connection.api``."""

    name = "thanksio_connect"

    def add(self, pair: Pair) -> int:
        user = User.objects.create(username=f"ours-{next(_numbers)}")
        token_set = TokenSet(pair.access_token, pair.refresh_token, expires_at=pair.expiry)
        return int(ThanksIOConnection.objects.connect(user, token_set).pk)

    def load(self, pk: int) -> ThanksIOConnection:
        return ThanksIOConnection.objects.select_related("tokens").get(pk=pk)

    def call(self, held: ThanksIOConnection) -> None:
        held.api.get("/ping")

    def refresh_token(self, pk: int) -> str:
        return self.load(pk).tokens.refresh_token.reveal()
