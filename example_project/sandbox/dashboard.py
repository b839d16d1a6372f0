"""The page behind the login: which products may act for this account, and the mail that they ordered."""

from __future__ import annotations

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST
from oauth2_provider.models import (
    get_access_token_model,
    get_application_model,
    get_grant_model,
    get_refresh_token_model,
)

from example_project.sandbox import moving
from example_project.sandbox.inspection import token_counts
from example_project.sandbox.models import Answer, Order, balance_cents


@never_cache
@login_required
def dashboard(request: HttpRequest) -> HttpResponse:
    return render(
        request,
        "sandbox/dashboard.html",
        {
            "clients": [_client(request, client) for client in get_application_model().objects.order_by("name")],
            "orders": Order.objects.filter(user=request.user).prefetch_related("items").order_by("-pk")[:50],
            "balance_dollars": f"{balance_cents(request.user) / 100:.2f}",
            "product_url": settings.SANDBOX_PRODUCT_URL,
        },
    )


@login_required
@require_POST
def revoke(request: HttpRequest, pk: int) -> HttpResponse:
    """Take a product's access away: all tokens and unused codes that it holds for this user die now."""
    client = get_object_or_404(get_application_model(), pk=pk)
    with transaction.atomic():
        get_grant_model().objects.filter(user=request.user, application=client).delete()
        for token in get_refresh_token_model().objects.filter(user=request.user, application=client, revoked=None):
            token.revoke()
        get_access_token_model().objects.filter(user=request.user, application=client).delete()
    messages.success(request, _("%(name)s no longer has access to this account.") % {"name": client.name})
    return redirect("dashboard")


@login_required
@require_POST
def move_on(request: HttpRequest, pk: int) -> HttpResponse:
    """What happens to an order at the printer's and in the mail."""
    moving.move_on(get_object_or_404(Order, pk=pk, user=request.user))
    return redirect("dashboard")


def _clients(request: HttpRequest) -> list[dict[str, object]]:
    """The products that were ever given a token for this account."""
    shown = [_client(request, client) for client in get_application_model().objects.order_by("name")]
    return [client for client in shown if client["last_answer"]]


def _client(request: HttpRequest, client) -> dict[str, object]:
    answers = Answer.objects.filter(user=request.user, client_id=client.client_id, status=200)
    counts = token_counts(request.user, client)
    return {
        "application": client,
        "counts": counts,
        "is_authorized": counts["refresh_tokens"]["live"] > 0 or counts["access_tokens"]["live"] > 0,
        "refreshes": answers.filter(kind=Answer.Kind.REFRESH_TOKEN).count(),
        "last_answer": answers.exclude(kind=Answer.Kind.CONSENT).order_by("-pk").first(),
    }
