"""JSON bodies in the shapes of thanks.io's OpenAPI document."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest

from example_project.sandbox.api import catalogue
from example_project.sandbox.api.mailer import Postcard
from example_project.sandbox.models import MailingList, Order, OrderItem, balance_cents

STATISTICS = (
    *("delivered", "processing", "printed", "in_transit", "in_local_area", "processed_for_delivery"),
    *("re_routed", "returned_to_sender", "failed", "scans", "multi_scans"),
)
ECHOED = (
    *("return_name", "return_address", "return_address2", "return_city", "return_postal_code"),
    *("message_template_id", "qrcode_url"),
)


def iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def plain(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S")


def page(
    request: HttpRequest, rows: QuerySet[Any] | list[Any], size: int, echo_size: int | str
) -> tuple[list[Any], dict[str, Any]]:
    """One page of rows, and Laravel's ``links`` and ``meta`` for it."""
    raw = request.GET.get("page", "")
    number = max(int(raw), 1) if raw.isdecimal() and len(raw) < 9 else 1
    total = len(rows)
    last = max(-(-total // size), 1)
    chosen = list(rows[(number - 1) * size : number * size])
    path = request.build_absolute_uri(request.path).rstrip("/")
    first_index = (number - 1) * size + 1
    return chosen, {
        "links": {
            "first": f"{path}?page=1",
            "last": f"{path}?page={last}",
            "prev": f"{path}?page={number - 1}" if number > 1 else None,
            "next": f"{path}?page={number + 1}" if number < last else None,
        },
        "meta": {
            "current_page": number,
            "from": first_index if chosen else None,
            "last_page": last,
            "path": path,
            "per_page": echo_size,
            "to": first_index + len(chosen) - 1 if chosen else None,
            "total": total,
        },
    }


def mailing_list(row: MailingList) -> dict[str, Any]:
    return {
        "id": row.pk,
        "user_id": row.user_id,
        "sub_account_id": None,
        "type": "manual",
        "description": row.description,
        "qrcode_url": row.qrcode_url or None,
        "total_recipients": len(row.recipients),
        "processed": True,
        "is_suppression_list": False,
        "total_scans": 0,
        "unique_scans": 0,
        "last_scan": None,
        "total_sends": 0,
        "last_send": None,
        "api_key": row.api_key,
        "created_at": iso(row.created_at),
        "created_at_diff": "1 second ago",
        "updated_at": iso(row.updated_at),
    }


def created_mailing_list(row: MailingList) -> dict[str, Any]:
    return {
        "type": "manual",
        "description": row.description,
        "sub_account_id": None,
        "user_id": row.user_id,
        "updated_at": plain(row.updated_at),
        "created_at": "1 second ago",
        "id": row.pk,
    }


def image_template(request: HttpRequest, pk: int) -> dict[str, Any]:
    name, image = catalogue.IMAGE_TEMPLATES[pk]
    return {
        "id": pk,
        "user_id": request.user.pk,
        "sub_account_id": None,
        "type": "postcard",
        "name": name,
        "image": catalogue.image_url(request, image),
        "is_dynamic": False,
        "dynamic_image_url": None,
        "canva_id": None,
        "share_uuid": f"SANDBOX-{pk:04d}",
        "created_at": "2018-08-07T00:00:00.000000Z",
        "updated_at": "2022-07-28T00:00:00.000000Z",
    }


def estimate(user: Any, postcard: Postcard) -> dict[str, Any]:
    total, balance = postcard.total_cents, balance_cents(user)
    lookups = postcard.pending_email_lookups
    notes = [f"{lookups} recipients have an email address only; they are priced as found."] if lookups else []
    return {
        "message": "OK",
        "data": {
            "type": "postcard6x11" if postcard.size == "6x11" else "postcard",
            "size": postcard.size,
            "total_recipients": len(postcard.recipients),
            "recipients": {
                "united_states": len(postcard.recipients) - postcard.international,
                "international": postcard.international,
            },
            "pending_email_lookups": lookups,
            "costs_in_cents": {
                "united_states": postcard.united_states_cents,
                "international": postcard.international_cents,
                "additional_pages": 0,
                "giftcard_face_value": 0,
                "grand_total": total,
            },
            "total_cost_in_cents": total,
            "total_cost": f"${total / 100:,.2f}",
            "current_balance_in_cents": balance,
            "covered_by_balance": balance >= total,
            "test_mode": False,
            "notes": notes,
        },
    }


def _order_base(order: Order) -> dict[str, Any]:
    number = order.items.count()
    return {
        "id": order.pk,
        "sub_account_id": None,
        "type": "postcard6x11" if order.size == "6x11" else "postcard",
        "display_type": f"Postcard-{order.size}",
        "style": order.style,
        "size": order.size,
        "message": order.message,
        "front_image": order.front_image,
        "high_quality_preview": "",
        "total_estimated_recipients": number,
        "total_recipients": number,
        "authorization_total": order.total_cents,
        "grand_total": order.total_cents,
        "metadata": order.request.get("metadata"),
        "total_scans": 0,
    }


def listed_order(order: Order) -> dict[str, Any]:
    """As ``/orders/list`` shows it: the display form of the status, and no ``user_id``."""
    return _order_base(order) | {
        "order_total": order.total_cents,
        "recipient_count": order.items.count(),
        "status": order.get_status_display(),
        "method": "API",
        "cancellable": order.status == Order.Status.REVIEWING,
        "created_at": iso(order.created_at),
        "updated_at": iso(order.updated_at),
    }


def full_order(order: Order) -> dict[str, Any]:
    """As ``/send/*`` and ``/orders/{id}/cancel`` answer."""
    lists = order.request.get("mailing_list_ids") or []
    return (
        _order_base(order)
        | {name: order.request.get(name) for name in ECHOED}
        | {
            "user_id": order.user_id,
            "return_province": order.request.get("return_state"),
            "image_template_id": order.image_template_id,
            "custom_background_url": order.request.get("custom_background_image"),
            "mailing_list_ids_used": ",".join(map(str, lists)) or None,
            "handwriting_color": order.request.get("handwriting_color") or "blue",
            "font_size": "auto",
            "leads_fee": 0,
            "append_or_current_resident": False,
            "addons": {"standardmail": "on"} if order.request.get("send_standard_mail") else None,
            "giftcard_brand": None,
            "giftcard_image": None,
            "giftcard_amount": None,
            "giftcard_brand_longname": "",
            "handwriting_image": None,
            "method": "api",
            "status": order.status,
            "display_status": order.get_status_display(),
            "display_trigger": "API",
            "sub_account": None,
            "created_at": plain(order.created_at),
            "updated_at": plain(order.updated_at),
        }
    )


def tracked_order(order: Order) -> dict[str, Any]:
    statistics = dict.fromkeys(STATISTICS, 0)
    if order.status == Order.Status.REVIEWING:
        statistics["processing"] = order.items.count()
    shown = listed_order(order) | {
        "created_at": plain(order.created_at),
        "updated_at": plain(order.updated_at),
    }
    return {"data": {"id": order.pk, "order": shown, "stats": statistics, "errors": [], "returned": []}}


def order_item(item: OrderItem) -> dict[str, Any]:
    return {
        "id": item.pk,
        "status": "Processing",
        "delivery_date": None,
        "scans": 0,
        "failure": None,
        "recipient": item.recipient,
        "created_at": iso(item.order.created_at),
    }
