"""social-auth-app-django: ``user.social_auth.get().get_access_token(strategy)``."""

from __future__ import annotations

import time
from itertools import count

from django.contrib.auth.models import User
from social_django.models import UserSocialAuth
from social_django.utils import load_strategy

from benchmarks.peers.adapter import Pair, ping

_numbers = count(1)


class SocialAuth:
    """The token is renewed by ``get_access_token`` when ``expires_in`` seconds after ``auth_time`` have passed."""

    name = "social-auth-app-django"

    def add(self, pair: Pair) -> int:
        name = f"social-{next(_numbers)}"
        lifetime = max(pair.expires_in, 1)
        extra_data = {
            "auth_time": int(time.time()) - (lifetime + 60 if pair.expires_in <= 0 else 0),
            "access_token": pair.access_token,
            "refresh_token": pair.refresh_token,
            "expires_in": lifetime,
            "token_type": "Bearer",
        }
        user = User.objects.create(username=name)
        social = UserSocialAuth.objects.create(user=user, provider="thanksio", uid=name, extra_data=extra_data)
        return int(social.pk)

    def load(self, pk: int) -> UserSocialAuth:
        return UserSocialAuth.objects.get(pk=pk)

    def call(self, held: UserSocialAuth) -> None:
        ping(held.get_access_token(load_strategy()))

    def refresh_token(self, pk: int) -> str:
        return str(self.load(pk).extra_data.get("refresh_token"))
