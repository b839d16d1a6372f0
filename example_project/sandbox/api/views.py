"""The endpoints: parse, act, answer."""

from __future__ import annotations

import secrets
from typing import Any

from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt

from example_project.sandbox.api import catalogue, mailer, shapes
from example_project.sandbox.api.access import endpoint, method_not_allowed
from example_project.sandbox.models import MailingList, Order, OrderItem
from thanksio_connect.testing import api_shapes, page_shapes

ITEM_PAGE_LIMIT = 100


@endpoint("GET")
def ping(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"message": "pong"})


@endpoint("GET", "POST")
def mailing_lists(request: HttpRequest) -> HttpResponse:
    if request.method == "GET":
        rows = MailingList.objects.filter(user=request.user).order_by("-pk")
        return _paged(request, [shapes.mailing_list(row) for row in rows])
    try:
        body = mailer.parse_body(request.body)
        description = body.get("description")
        if not isinstance(description, str) or not description.strip():
            raise mailer.invalid({"description": ["The description field is required."]})
        if len(description) > 255:
            raise mailer.invalid({"description": ["The description field must not be greater than 255 characters."]})
    except mailer.Refused as refusal:
        return JsonResponse(refusal.body, status=refusal.status)
    row = MailingList.objects.create(
        user=request.user,
        description=description,
        qrcode_url=str(body.get("qrcode_url") or "")[:500],
        api_key=secrets.token_hex(16),
    )
    return JsonResponse(api_shapes.created_mailing_list(shapes.mailing_list(row)), status=201)


@endpoint("POST")
def postcard(request: HttpRequest, kind: str) -> HttpResponse:
    try:
        asked = mailer.read_postcard(request.user, request.body)
    except mailer.Refused as refusal:
        return JsonResponse(refusal.body, status=refusal.status)
    if kind == "estimate":
        return JsonResponse(shapes.estimate(request.user, asked))
    if asked.fields.get("preview"):
        previews = [_front_image(request, asked), catalogue.image_url(request, catalogue.BACK_IMAGE)]
        return JsonResponse(api_shapes.preview(previews))
    return JsonResponse(shapes.full_order(_create_order(request, asked)))


@endpoint("GET")
def order_list(request: HttpRequest) -> HttpResponse:
    rows = Order.objects.filter(user=request.user).order_by("-pk")
    return _paged(request, [shapes.listed_order(order) for order in rows])


@endpoint("GET")
def order_track(request: HttpRequest, pk: str) -> HttpResponse:
    order = _own_order(request, pk)
    return order if isinstance(order, HttpResponse) else JsonResponse(shapes.tracked_order(order))


@endpoint("GET")
def order_items(request: HttpRequest, pk: str) -> HttpResponse:
    order = _own_order(request, pk)
    if isinstance(order, HttpResponse):
        return order
    raw = request.GET.get("per_page", "50")
    if not raw.isdecimal() or len(raw) > 3 or not 1 <= int(raw) <= ITEM_PAGE_LIMIT:
        message = f"The per page field must be between 1 and {ITEM_PAGE_LIMIT}."
        return JsonResponse({"errors": {"per_page": [message]}}, status=422)
    rows = order.items.select_related("order").order_by("pk")
    return _paged(request, [shapes.order_item(item) for item in rows], "per_page")


@endpoint("PUT")
def order_cancel(request: HttpRequest, pk: str) -> HttpResponse:
    """thanks.io documents no error here: an order that can't be cancelled comes back as it is."""
    order = _own_order(request, pk)
    if isinstance(order, HttpResponse):
        return order
    if order.status == Order.Status.REVIEWING:
        order.status = Order.Status.CANCELLED
        order.save(update_fields=["status", "updated_at"])
    return JsonResponse({"order": shapes.full_order(order)})


@csrf_exempt
def handwriting_styles(request: HttpRequest) -> HttpResponse:
    """Public, as at thanks.io: a wrong token makes no difference."""
    if request.method != "GET":
        return method_not_allowed(request, "GET")
    return JsonResponse({"data": [shapes.handwriting_style(request, pk) for pk in catalogue.HANDWRITING_STYLES]})


@endpoint("GET")
def image_templates(request: HttpRequest) -> HttpResponse:
    return _paged(request, [shapes.image_template(request, pk) for pk in catalogue.IMAGE_TEMPLATES])


@csrf_exempt
def not_found(request: HttpRequest) -> HttpResponse:
    return JsonResponse(api_shapes.NOT_FOUND, status=404)


def _paged(request: HttpRequest, rows: list[dict[str, Any]], size_name: str = "items_per_page") -> HttpResponse:
    url = request.build_absolute_uri(request.path)
    return JsonResponse(page_shapes.page(url, request.GET.dict(), rows, size_name))


def _own_order(request: HttpRequest, pk: str) -> Order | HttpResponse:
    """The caller's order; else 404, or thanks.io's 401 for somebody else's."""
    order = Order.objects.filter(pk=pk).first()
    if order is None:
        return JsonResponse(api_shapes.NOT_FOUND, status=404)
    if order.user_id != request.user.pk:
        return JsonResponse(api_shapes.NOT_YOURS, status=401)
    return order


def _front_image(request: HttpRequest, asked: mailer.Postcard) -> str:
    template_id = asked.fields.get("image_template_id")
    if template_id is None:
        return asked.fields["front_image_url"]
    return catalogue.image_url(request, catalogue.IMAGE_TEMPLATES[template_id][1])


@transaction.atomic
def _create_order(request: HttpRequest, asked: mailer.Postcard) -> Order:
    order = Order.objects.create(
        user=request.user,
        client_id=request.client.client_id,
        client_name=request.client.name,
        size=asked.size,
        front_image=_front_image(request, asked)[:2000],
        image_template_id=asked.fields.get("image_template_id"),
        message=asked.fields.get("message") or "",
        style=asked.style,
        total_cents=asked.total_cents,
        request={name: value for name, value in asked.fields.items() if name not in ("recipients", "message")},
    )
    OrderItem.objects.bulk_create(OrderItem(order=order, recipient=recipient) for recipient in asked.recipients)
    return order
