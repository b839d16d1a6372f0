"""The sandbox's rows in the shapes of ``thanksio_connect.testing``, which are those of thanks.io's OpenAPI document."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from example_project.sandbox.api import catalogue
from example_project.sandbox.api.mailer import Postcard
from example_project.sandbox.models import MailingList, Order, OrderItem, balance_cents
from thanksio_connect.testing import api_shapes

PIECES_ARE = {
    Order.Status.PROCESSING: "processing",
    Order.Status.SHIPPED: "in_transit",
    Order.Status.DELIVERED: "in_transit",
}


def mailing_list(row: MailingList) -> dict[str, Any]:
    return api_shapes.mailing_list(str(row.user_id)) | {
        "id": row.pk,
        "description": row.description,
        "qrcode_url": row.qrcode_url or None,
        "total_recipients": len(row.recipients),
        "api_key": row.api_key,
        "created_at": api_shapes.iso(row.created_at),
        "updated_at": api_shapes.iso(row.updated_at),
    }


def image_template(request: HttpRequest, pk: int) -> dict[str, Any]:
    name, image = catalogue.IMAGE_TEMPLATES[pk]
    return api_shapes.image_template(pk, str(request.user.pk), name, catalogue.image_url(request, image))


def handwriting_style(request: HttpRequest, pk: int) -> dict[str, Any]:
    name, kind = catalogue.HANDWRITING_STYLES[pk]
    sample = catalogue.image_url(request, catalogue.BACK_IMAGE)
    return api_shapes.HANDWRITING_STYLE | {"handwriting_style_id": pk, "sample": sample, "name": name, "type": kind}


def estimate(user: Any, postcard: Postcard) -> dict[str, Any]:
    lookups = postcard.pending_email_lookups
    notes = [f"{lookups} recipients have an email address only; they are priced as found."] if lookups else []
    abroad = postcard.international
    return api_shapes.priced(
        "postcard",
        postcard.size,
        united_states=(len(postcard.recipients) - abroad, postcard.united_states_cents),
        international=(abroad, postcard.international_cents),
        pending_email_lookups=lookups,
        balance=balance_cents(user),
        is_test=False,
        notes=notes,
    )


def full_order(order: Order) -> dict[str, Any]:
    """As ``/send/*`` and ``/orders/{id}/cancel`` answer."""
    made = api_shapes.new_order(
        order.pk,
        str(order.user_id),
        "postcard",
        order.request | {"size": order.size, "message": order.message},
        order.created_at,
        count=order.items.count(),
        cents=order.total_cents,
    )
    return made | {
        "front_image": order.front_image,
        "style": order.style,
        "status": order.status,
        "display_status": order.get_status_display(),
        "updated_at": api_shapes.plain(order.updated_at),
    }


def listed_order(order: Order) -> dict[str, Any]:
    return api_shapes.listed(full_order(order))


def tracked_order(order: Order) -> dict[str, Any]:
    tracked = api_shapes.tracking(full_order(order))
    if order.status in PIECES_ARE:
        delivered = order.items.filter(is_delivered=True).count()
        pieces = {PIECES_ARE[order.status]: order.items.count() - delivered, "delivered": delivered}
        tracked["data"]["stats"] |= pieces
    return tracked


def order_item(item: OrderItem) -> dict[str, Any]:
    made = api_shapes.order_item(item.pk, "postcard", {}, item.recipient, item.order.created_at)
    return made | ({"status": "Delivered"} if item.is_delivered else {})
