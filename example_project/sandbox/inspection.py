"""``/_sandbox/records``: the sandbox's own books, for a check of both sides of the story. Never a token."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db.models import Count
from django.http import Http404, HttpRequest, JsonResponse
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from oauth2_provider.models import get_access_token_model, get_application_model, get_refresh_token_model

from example_project.sandbox.models import Answer, MailingList, Order, balance_cents


def records(request: HttpRequest) -> JsonResponse:
    """Counts and ids by user and client. The header ``X-Sandbox-Key`` must carry the inspection key."""
    if not constant_time_compare(request.headers.get("X-Sandbox-Key", ""), settings.SANDBOX_INSPECTION_KEY):
        raise Http404
    answers: dict[str, dict[str, int]] = {}
    for row in Answer.objects.values("kind", "status").annotate(number=Count("pk")).order_by("kind", "status"):
        answers.setdefault(row["kind"], {})[str(row["status"])] = row["number"]
    return JsonResponse(
        {"users": [_user(user) for user in get_user_model().objects.order_by("pk")], "answers": answers}
    )


def _user(user: Any) -> dict[str, Any]:
    return {
        "id": user.pk,
        "username": user.get_username(),
        "balance_cents": balance_cents(user),
        "clients": [token_counts(user, client) for client in get_application_model().objects.order_by("pk")],
        "orders": [
            {
                "id": order.pk,
                "client_id": order.client_id,
                "status": order.status,
                "size": order.size,
                "message": order.message,
                "recipients": order.items.count(),
                "metadata": order.request.get("metadata"),
            }
            for order in Order.objects.filter(user=user).order_by("pk")
        ],
        "mailing_lists": list(MailingList.objects.filter(user=user).order_by("pk").values_list("pk", flat=True)),
    }


def token_counts(user: Any, client: Any) -> dict[str, Any]:
    """How many tokens of each sort one client holds for one user. A revoked access token's row is deleted."""
    access = get_access_token_model().objects.filter(user=user, application=client)
    refresh = get_refresh_token_model().objects.filter(user=user, application=client)
    issued = Answer.objects.filter(user=user, client_id=client.client_id, status=200).exclude(kind=Answer.Kind.CONSENT)
    alive = access.filter(expires__gt=timezone.now()).count()
    return {
        "client_id": client.client_id,
        "name": client.name,
        "access_tokens": {
            "issued": issued.count(),
            "live": alive,
            "expired": access.count() - alive,
            "revoked": issued.count() - access.count(),
        },
        "refresh_tokens": {
            "live": refresh.filter(revoked=None).count(),
            "revoked": refresh.exclude(revoked=None).count(),
        },
    }
