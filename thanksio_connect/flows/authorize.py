"""Start an authorization: remember it, and give the address to send the browser to (RFC 6749 4.1.1)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.db import router, transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.views.decorators.debug import sensitive_variables

from ..client.oauth import authorization_url, new_code_verifier, s256_challenge
from ..client.tokens import Secret
from ..conf import app_settings, oauth_config
from ..database import facts
from ..fields import sealed, utc_now
from ..models import AuthorizationRequest
from . import started
from .addresses import redirect_uri, safe_next
from .browser import browser_nonce, digest, new_nonce

OPEN_REQUESTS_PER_USER = 10


@dataclass(frozen=True, slots=True, repr=False)
class StartedAuthorization:
    """``url`` carries the state: redirect to it, never log it. ``nonce`` belongs in the browser's cookie."""

    url: Secret
    nonce: Secret
    redirect_uri: str


def open_requests() -> QuerySet[AuthorizationRequest]:
    """All authorization requests, where writes go: a replica may lag and not know the state."""
    return AuthorizationRequest.objects.using(router.db_for_write(AuthorizationRequest))


def check_ready(request: HttpRequest) -> None:
    """Raises :class:`ThanksIOConfigurationError` if the site is not set up to start an authorization."""
    _new_url(redirect_uri(request))


@sensitive_variables()
def start_authorization(request: HttpRequest, *, next_url: str = "") -> StartedAuthorization:
    """Open an :class:`AuthorizationRequest` for the signed-in user of this browser.

    Keeps at most ten open requests a user and removes the user's expired ones. Raises
    :class:`ThanksIOConfigurationError`, before anything is stored, where the site is not set up.
    """
    uri = redirect_uri(request)
    new_url, has_pkce = _new_url(uri), app_settings.pkce
    state = new_nonce()
    nonce = browser_nonce(request)
    verifier = new_code_verifier() if has_pkce else None
    now = utc_now()
    user_pk: Any = request.user.pk
    _make_room(user_pk, now)
    open_requests().create(
        state_digest=digest(state),
        browser_digest=digest(nonce),
        user_id=user_pk,
        code_verifier=sealed(verifier.reveal() if verifier else ""),  # masked in every frame
        redirect_uri=uri,
        next_url=safe_next(request, next_url),
        expires_at=now + timedelta(seconds=app_settings.state_ttl_seconds),
    )
    started.remember(request, digest(state), now)
    url = new_url(state=state.reveal(), code_challenge=s256_challenge(verifier) if verifier else None)
    return StartedAuthorization(Secret(url), nonce, uri)


def _new_url(uri: str) -> Callable[..., str]:
    """The authorization URL but for its state, from settings that are looked up now; the secret is needed later."""
    client_id = oauth_config().client_id
    address, scopes = app_settings.authorize_url, app_settings.scopes
    return partial(authorization_url, address, client_id=client_id, redirect_uri=uri, scopes=scopes)


def _make_room(user_pk: Any, now: datetime) -> None:
    """Remove the user's oldest and expired requests; the sweep removes other people's expired ones.

    What another tab of the user's is removing, or finishing, is left to it: without a wait there is no deadlock.
    """
    rows = open_requests()
    mine = rows.filter(user_id=user_pk).order_by("-created_at", "-pk")
    kept = list(mine.filter(expires_at__gt=now).values_list("pk", flat=True)[: OPEN_REQUESTS_PER_USER - 1])
    keys = list(mine.exclude(pk__in=kept).values_list("pk", flat=True))
    with transaction.atomic(using=rows.db):
        free = list(facts.unlocked(rows.filter(pk__in=keys)).values_list("pk", flat=True))
        rows.filter(pk__in=free).delete()
