"""django-allauth's ``SocialToken`` and social-auth-app-django's ``UserSocialAuth``, through their models."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from ...client.tokens import LONGEST_LIFETIME_SECONDS
from .candidate import Candidate, SourceUnusable

PAGE_SIZE = 200


def _model(app: str, name: str, package: str) -> Any:
    try:
        return apps.get_model(app, name)
    except LookupError:
        text = _("%(package)s is not in INSTALLED_APPS, so there is nothing to import.") % {"package": package}
    raise SourceUnusable(text)


def _pages(rows: QuerySet[Any]) -> Iterator[Any]:
    """By keyset, the newest first; nothing stays open while the caller writes."""
    last: Any = None
    while page := list((rows if last is None else rows.filter(pk__lt=last)).order_by("-pk")[:PAGE_SIZE]):
        last = page[-1].pk
        yield from page


def _refuse_an_unknown(provider: str, known: list[str]) -> None:
    if provider not in known:
        names = ", ".join(sorted(known)) or "-"
        text = _("No row there is of the provider %(provider)s. There are: %(names)s. Name one with --provider.")
        raise SourceUnusable(text % {"provider": provider, "names": names})


class AllauthSource:
    """``token_secret`` is where allauth keeps an OAuth 2.0 refresh token."""

    user_field = "pk"

    def __init__(self, provider: str, using: str | None) -> None:
        self.provider = provider
        self.using = using

    def candidates(self) -> Iterator[Candidate]:
        """One for each token of the provider's accounts."""
        model = _model("socialaccount", "SocialToken", "allauth.socialaccount")
        rows = model._base_manager.using(self.using)
        _refuse_an_unknown(self.provider, list(set(rows.values_list("account__provider", flat=True))))
        for row in _pages(rows.filter(account__provider=self.provider).select_related("account")):
            yield Candidate(
                name=f"SocialToken {row.pk}",
                user=row.account.user_id,
                access_token=row.token,
                refresh_token=row.token_secret,
                expires_at=row.expires_at,
                account=row.account.uid,
            )


class SocialAuthSource:
    """``extra_data`` has the tokens; ``expires`` is a lifetime that began at ``auth_time``."""

    user_field = "pk"

    def __init__(self, provider: str, using: str | None) -> None:
        self.provider = provider
        self.using = using

    def candidates(self) -> Iterator[Candidate]:
        """One for each association of the provider."""
        model = _model("social_django", "UserSocialAuth", "social_django")
        rows = model._base_manager.using(self.using)
        _refuse_an_unknown(self.provider, list(set(rows.values_list("provider", flat=True))))
        for row in _pages(rows.filter(provider=self.provider)):
            data = _extra_data(row.extra_data)
            yield Candidate(
                name=f"UserSocialAuth {row.pk}",
                user=row.user_id,
                access_token=data.get("access_token"),
                refresh_token=data.get("refresh_token"),
                expires_at=_expiry(data),
                scope=data.get("scope", ""),
                account=row.uid,
            )


def _extra_data(value: Any) -> dict[str, Any]:
    if isinstance(value, str):  # as old versions stored it
        try:
            value = json.loads(value)
        except ValueError:
            return {}
    return value if isinstance(value, dict) else {}


def _expiry(data: dict[str, Any]) -> Any:
    """A lifetime counts from ``auth_time``; a great number is a moment. What is neither is left to the reader."""
    expires: Any = data.get("expires", data.get("expires_in"))
    try:
        seconds = float(expires)
    except (TypeError, ValueError):
        return expires
    if seconds > LONGEST_LIFETIME_SECONDS:
        return seconds
    try:
        return float(data.get("auth_time", "")) + seconds
    except (TypeError, ValueError):
        return None
