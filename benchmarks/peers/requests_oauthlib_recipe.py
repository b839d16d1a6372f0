"""requests-oauthlib's third recipe for refreshing: ``auto_refresh_url`` and ``token_updater``."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from requests_oauthlib import OAuth2Session

from benchmarks.models import JSONToken
from benchmarks.peers.adapter import API_TIMEOUT_SECONDS, Pair


class RequestsOAuthlibRecipe:
    """The token dictionary is stored whole."""

    name = "requests-oauthlib"

    def add(self, pair: Pair) -> int:
        token = {
            "access_token": pair.access_token,
            "refresh_token": pair.refresh_token,
            "token_type": "Bearer",
            "expires_at": pair.expires_at,
        }
        return int(JSONToken.objects.create(token=token).pk)

    def load(self, pk: int) -> JSONToken:
        return JSONToken.objects.get(pk=pk)

    def call(self, held: JSONToken) -> None:
        def token_saver(token: dict[str, Any]) -> None:
            held.token = dict(token)
            held.save()

        client = {"client_id": settings.THANKSIO_CLIENT_ID, "client_secret": settings.THANKSIO_CLIENT_SECRET}
        session = OAuth2Session(
            client["client_id"],
            token=held.token,
            auto_refresh_url=settings.THANKSIO_TOKEN_URL,
            auto_refresh_kwargs=client,
            token_updater=token_saver,
        )
        session.get(f"{settings.THANKSIO_API_URL}/ping", timeout=API_TIMEOUT_SECONDS).raise_for_status()

    def refresh_token(self, pk: int) -> str:
        return str(self.load(pk).token.get("refresh_token"))
