"""A backend of social-auth-core for thanks.io, as its documentation on adding a backend tells."""

from __future__ import annotations

from django.conf import settings
from social_core.backends.oauth import BaseOAuth2


class ThanksIOOAuth2(BaseOAuth2):
    """Only what a refresh needs."""

    name = "thanksio"
    ACCESS_TOKEN_METHOD = "POST"
    EXTRA_DATA = [
        ("refresh_token", "refresh_token", True),
        ("expires_in", "expires_in"),
        ("token_type", "token_type", True),
    ]

    def access_token_url(self) -> str:
        """Also where it refreshes."""
        return str(settings.THANKSIO_TOKEN_URL)
