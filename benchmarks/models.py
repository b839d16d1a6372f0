"""What the peers store their tokens in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import models
from encrypted_model_fields.fields import EncryptedTextField


class HandwrittenConnection(models.Model):
    """The table that a developer writes by hand: encrypted tokens, and when they expire."""

    access_token = EncryptedTextField()
    refresh_token = EncryptedTextField()
    expires_at = models.DateTimeField()

    def take(self, body: dict[str, Any]) -> None:
        """Take over a token response, and save it."""
        self.access_token = body["access_token"]
        self.refresh_token = body.get("refresh_token") or self.refresh_token
        self.expires_at = datetime.now(UTC) + timedelta(seconds=body["expires_in"])
        self.save()


class OAuth2Token(models.Model):
    """As in Authlib's documentation of its Django client, but with room for tokens of any length."""

    name = models.CharField(max_length=40)
    token_type = models.CharField(max_length=40)
    access_token = models.TextField()
    refresh_token = models.TextField()
    expires_at = models.PositiveIntegerField()

    def to_token(self) -> dict[str, Any]:
        """What Authlib's sessions take."""
        return {
            "access_token": self.access_token,
            "token_type": self.token_type,
            "refresh_token": self.refresh_token,
            "expires_at": self.expires_at,
        }


class JSONToken(models.Model):
    """requests-oauthlib's token dictionary, stored as it is."""

    token = models.JSONField()
