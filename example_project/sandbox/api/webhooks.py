"""``/webhooks``: the addresses that an account wants called."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse

from example_project.sandbox.api import mailer
from example_project.sandbox.api.access import endpoint
from example_project.sandbox.models import Webhook
from thanksio_connect.testing import api_shapes, page_shapes

REQUIRED = ("url", "type", "verb")


@endpoint("GET", "POST")
def webhooks(request: HttpRequest) -> HttpResponse:
    if request.method == "GET":
        rows = [_shape(row) for row in Webhook.objects.filter(user=request.user).order_by("-pk")]
        url = request.build_absolute_uri(request.path)
        return JsonResponse(page_shapes.page(url, request.GET.dict(), rows) | {"can_manage_webhooks": True})
    return _save(request, Webhook(user=request.user), 201)


@endpoint("PUT", "DELETE")
def webhook(request: HttpRequest, pk: str) -> HttpResponse:
    row = Webhook.objects.filter(user=request.user, pk=pk).first()
    if row is None:
        return JsonResponse(api_shapes.NOT_FOUND, status=404)
    if request.method == "PUT":
        return _save(request, row, 200)
    row.delete()
    return JsonResponse({"status": "success"})


def _save(request: HttpRequest, row: Webhook, status: int) -> HttpResponse:
    try:
        body = mailer.parse_body(request.body)
        missing = [name for name in REQUIRED if not isinstance(body.get(name), str)]
        if missing:
            raise mailer.invalid({name: [f"The {name} field is required."] for name in missing})
    except mailer.Refused as refusal:
        return JsonResponse(refusal.body, status=refusal.status)
    for name in REQUIRED:
        setattr(row, name, body[name])
    row.description = body.get("description") or ""
    row.save()
    return JsonResponse(_shape(row), status=status)


def _shape(row: Webhook) -> dict[str, Any]:
    return api_shapes.NEW_ROWS["webhooks"] | {
        "id": row.pk,
        "user_id": row.user_id,
        "type": row.type,
        "description": row.description or None,
        "invoke_count": row.invoke_count,
        "url": row.url,
        "verb": row.verb,
        "created_at": api_shapes.iso(row.created_at),
        "updated_at": api_shapes.iso(row.updated_at),
    }
