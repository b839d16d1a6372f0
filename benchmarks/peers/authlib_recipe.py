"""Authlib's Django client with its ``token_update`` signal, as in "Auto Update Token" of its documentation."""

from __future__ import annotations

from typing import Any

from authlib.integrations.django_client import OAuth, token_update
from django.conf import settings
from django.dispatch import receiver

from benchmarks.models import OAuth2Token
from benchmarks.peers.adapter import Pair


@receiver(token_update)
def on_token_update(
    sender: Any,
    name: str,
    token: dict[str, Any],
    refresh_token: str | None = None,
    access_token: str | None = None,
    **_: Any,
) -> None:
    """The documentation's receiver."""
    if refresh_token:
        item = OAuth2Token.objects.get(refresh_token=refresh_token)
    elif access_token:
        item = OAuth2Token.objects.get(access_token=access_token)
    else:
        return
    item.access_token = token["access_token"]
    item.refresh_token = token.get("refresh_token")
    item.expires_at = token["expires_at"]
    item.save()


class AuthlibRecipe:
    """``oauth.thanksio.get("ping", token=…)``."""

    name = "Authlib, Django client"

    def _client(self) -> Any:
        oauth = OAuth()
        return oauth.register(
            "thanksio",
            client_id=settings.THANKSIO_CLIENT_ID,
            client_secret=settings.THANKSIO_CLIENT_SECRET,
            access_token_url=settings.THANKSIO_TOKEN_URL,
            api_base_url=f"{settings.THANKSIO_API_URL}/",
            client_kwargs={"token_endpoint_auth_method": "client_secret_post"},
        )

    def add(self, pair: Pair) -> int:
        item = OAuth2Token.objects.create(
            name="thanksio",
            token_type="Bearer",
            access_token=pair.access_token,
            refresh_token=pair.refresh_token,
            expires_at=int(pair.expires_at),
        )
        return int(item.pk)

    def load(self, pk: int) -> OAuth2Token:
        return OAuth2Token.objects.get(pk=pk)

    def call(self, held: OAuth2Token) -> None:
        self._client().get("ping", token=held.to_token()).raise_for_status()

    def refresh_token(self, pk: int) -> str:
        return self.load(pk).refresh_token
