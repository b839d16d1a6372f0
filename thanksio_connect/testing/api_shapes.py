"""Bodies of thanks.io's API v2, after the examples of its OpenAPI document."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

PRICE_IN_CENTS: Final = 118
BALANCE_IN_CENTS: Final = 5000
_STATS: Final = (
    "delivered",
    "processing",
    "printed",
    "in_transit",
    "in_local_area",
    "processed_for_delivery",
    "re_routed",
    "returned_to_sender",
    "failed",
    "scans",
    "multi_scans",
)

_PERSON: Final[dict[str, Any]] = dict.fromkeys(
    ("name", "company", "address", "address2", "city", "province", "postal_code", "country", "email", "phone")
)
RECIPIENT_FIELDS: Final = (*_PERSON, *(f"custom{number}" for number in range(1, 11)))
"""What a mail piece's recipient has."""
_RECIPIENT: Final[dict[str, Any]] = _PERSON | dict.fromkeys(("dob", "anniversary", "custom1", "custom2"))
_BRAND: Final = {
    "brand_code": "amazonus",
    "title": "Amazon.com",
    "image": "https://cdn.thanks.io/giftcards/amazonus.png",
    "available_amounts": [500, 1000, 2500],
}
HANDWRITING_STYLE: Final = {"handwriting_style_id": 1, "sample": "", "name": "Hi Clarice", "type": "Realistic"}
PUBLIC: Final[dict[str, Any]] = {
    "/handwriting-styles": {"data": [HANDWRITING_STYLE]},
    "/giftcard-brands": {"main": {"title": "Featured", "brands": [_BRAND]}},
    "/giftcard-brands-list": {"brands": [_BRAND | {"group": "Featured"}]},
}
"""What thanks.io answers without a token."""
NEW_ROWS: Final[dict[str, dict[str, Any]]] = {
    "message-templates": {"type": "postcard", "name": "", "content": "", "sub_account_id": None, "cc_emails": []},
    "sub-accounts": {"title": "", "return_name": None, "return_address": None, "return_city": None},
    "webhooks": {"mailing_list_id": None, "description": None, "invoke_count": 0, "deleted_at": None},
}
"""What a new row has if its request does not say otherwise."""
PNG: Final = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489"
    "0000000d49444154789c63606060f80f00010401005fe5c34b0000000049454e44ae426082"
)
"""An image of one pixel."""

_ECHOED: Final = (
    *("message", "message_template_id", "image_template_id", "qrcode_url", "metadata"),
    *("return_name", "return_address", "return_address2", "return_city", "return_postal_code"),
    *("giftcard_brand",),
)
_LISTED: Final = (
    *("id", "sub_account_id", "type", "display_type", "style", "size", "message", "front_image", "metadata"),
    *("authorization_total", "total_estimated_recipients"),
)
UNAUTHENTICATED: Final = {"message": "Unauthenticated."}
"""The 401 of a token that is not live."""
NOT_YOURS: Final = {"status": "failed", "errors": ["Unauthorized"]}
"""The 401 of what belongs to another account."""
NOT_FOUND: Final = {"message": "Not Found"}
NO_MAILING_LIST: Final = {"message": "Mailing List Does Not Exist"}
TOO_MANY: Final = {"message": "Too Many Attempts."}

Order = dict[str, Any]


def invalid(errors: Mapping[str, list[str]]) -> dict[str, Any]:
    """The 422 of Laravel: what is wrong, by field."""
    return {"message": "The given data was invalid.", "errors": dict(errors), "failure": True}


def preview(urls: list[str]) -> dict[str, Any]:
    """What ``POST /send/<mailer>`` answers to ``preview``."""
    return {"success": True, "code": 200, "message": "OK", "data": {"previews": urls}}


def new_order(
    order_id: int,
    user_id: str | None,
    mailer: str,
    fields: Mapping[str, Any],
    now: datetime,
    *,
    count: int | None = None,
    cents: int | None = None,
) -> Order:
    """The order that ``POST /send/<mailer>`` answers with, for ``count`` pieces at ``cents`` in all."""
    count = audience_size(fields) if count is None else count
    size = fields.get("size") or "4x6"
    lists = fields.get("mailing_list_ids") or []
    return {name: fields.get(name) for name in _ECHOED} | {
        "id": order_id,
        "user_id": number(user_id),
        "sub_account": None,
        "sub_account_id": fields.get("sub_account"),
        "type": _type(mailer, size),
        "size": size,
        "front_image": fields.get("front_image_url"),
        "custom_background_url": fields.get("custom_background_image"),
        "style": fields.get("handwriting_style_id"),
        "handwriting_color": fields.get("handwriting_color") or "blue",
        "handwriting_image": None,
        "font_size": "auto",
        "return_province": fields.get("return_state"),
        "mailing_list_ids_used": ",".join(map(str, lists)) or None,
        "total_estimated_recipients": count,
        "authorization_total": PRICE_IN_CENTS * count if cents is None else cents,
        "leads_fee": 0,
        "append_or_current_resident": False,
        "addons": {"standardmail": "on"} if fields.get("send_standard_mail") else None,
        "giftcard_image": None,
        "giftcard_amount": fields.get("giftcard_amount_in_cents"),
        "giftcard_brand_longname": "",
        "method": "api",
        "status": "reviewing",
        "display_status": "Reviewing",
        "display_trigger": "API",
        "display_type": f"{mailer.removesuffix('6x11').capitalize()}-{size}",
        "created_at": plain(now),
        "updated_at": plain(now),
    }


def estimate(mailer: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The answer of ``POST /estimate/<mailer>``."""
    count = audience_size(fields)
    return priced(mailer, fields.get("size") or "4x6", united_states=(count, PRICE_IN_CENTS * count))


def priced(
    mailer: str,
    size: str,
    *,
    united_states: tuple[int, int],
    international: tuple[int, int] = (0, 0),
    pending_email_lookups: int = 0,
    balance: int = BALANCE_IN_CENTS,
    is_test: bool = True,
    notes: list[str] | None = None,
) -> dict[str, Any]:
    """An estimate. A destination is how many pieces go there, and their cents."""
    cents = united_states[1] + international[1]
    costs = {"united_states": united_states[1], "international": international[1]}
    data = {
        "type": _type(mailer, size),
        "size": size,
        "total_recipients": united_states[0] + international[0],
        "recipients": {"united_states": united_states[0], "international": international[0]},
        "pending_email_lookups": pending_email_lookups,
        "costs_in_cents": costs | {"additional_pages": 0, "giftcard_face_value": 0, "grand_total": cents},
        "total_cost_in_cents": cents,
        "total_cost": f"${cents / 100:,.2f}",
        "current_balance_in_cents": balance,
        "covered_by_balance": cents <= balance,
        "test_mode": is_test,
        "notes": notes or [],
    }
    return {"message": "OK", "data": data}


def tracking(order: Order) -> dict[str, Any]:
    """The answer of ``GET /orders/{id}/track``."""
    is_waiting = order["status"] == "reviewing"
    stats = dict.fromkeys(_STATS, 0) | {"processing": order["total_estimated_recipients"] if is_waiting else 0}
    details = {name: value for name, value in listed(order).items() if name != "id"}
    details |= {name: order[name] for name in ("created_at", "updated_at")}
    return {"data": {"id": order["id"], "order": details, "stats": stats, "errors": [], "returned": []}}


def audience_size(fields: Mapping[str, Any]) -> int:
    recipients = fields.get("recipients")
    return len(recipients) if isinstance(recipients, list) and recipients else 1


def number(user_id: str | None) -> int | str | None:
    return int(user_id) if user_id is not None and user_id.isdigit() else user_id


def listed(order: Order) -> Order:
    """As ``/orders/list`` shows an order: the status in its display form, other moments, and no ``user_id``."""
    count, cents = order["total_estimated_recipients"], order["authorization_total"]
    return {name: order[name] for name in _LISTED} | {
        "high_quality_preview": "",
        "total_recipients": count,
        "recipient_count": count,
        "grand_total": cents,
        "order_total": cents,
        "total_scans": 0,
        "status": order["display_status"],
        "method": "API",
        "cancellable": order["status"] == "reviewing",
        "created_at": f"{order['created_at'].replace(' ', 'T')}.000000Z",
        "updated_at": f"{order['updated_at'].replace(' ', 'T')}.000000Z",
    }


def mailing_list(user_id: str | None) -> dict[str, Any]:
    return {
        "id": 3019,
        "user_id": number(user_id),
        "sub_account_id": None,
        "type": "manual",
        "description": "Test Mailing List",
        "qrcode_url": None,
        "total_recipients": 0,
        "processed": True,
        "is_suppression_list": False,
        "total_scans": 0,
        "unique_scans": 0,
        "last_scan": None,
        "total_sends": 0,
        "last_send": None,
        "api_key": "TEST-KEY1",
        "created_at": "2025-08-06T01:06:52.000000Z",
        "created_at_diff": "1 second ago",
        "updated_at": "2025-08-06T01:06:52.000000Z",
    }


def created_mailing_list(row: Mapping[str, Any]) -> dict[str, Any]:
    """What ``POST /mailing-lists/`` answers: less than the list itself."""
    names = ("type", "description", "sub_account_id", "user_id", "id")
    moments = {"updated_at": row["updated_at"].replace("T", " ")[:19], "created_at": "1 second ago"}
    return {name: row[name] for name in names} | moments


def image_template(template_id: int, user_id: str | None, name: str, image: str) -> dict[str, Any]:
    return {
        "id": template_id,
        "user_id": number(user_id),
        "sub_account_id": None,
        "type": "postcard",
        "name": name,
        "image": image,
        "is_dynamic": False,
        "dynamic_image_url": None,
        "canva_id": None,
        "share_uuid": f"TEST-{template_id:04d}",
        "created_at": "2018-08-07T00:00:00.000000Z",
        "updated_at": "2022-07-28T00:00:00.000000Z",
    }


def recipient(recipient_id: int, fields: dict[str, Any], now: datetime) -> dict[str, Any]:
    """A recipient of a mailing list."""
    return _RECIPIENT | fields | {"id": recipient_id, "created_at": iso(now), "updated_at": iso(now)}


def order_item(item_id: int, mailer: str, fields: Mapping[str, Any], person: dict[str, Any], now: datetime) -> Order:
    """A piece of an order, as ``/orders/{id}/items`` lists it."""
    item: Order = {"id": item_id, "status": "Processing", "delivery_date": None, "scans": 0, "failure": None}
    item |= {"recipient": dict.fromkeys(RECIPIENT_FIELDS) | person, "created_at": iso(now)}
    if mailer == "giftcard":
        card = {"brand": fields.get("giftcard_brand"), "amount": fields.get("giftcard_amount_in_cents")}
        item["giftcard"] = card | {"redeemed_at": None, "invalidated_at": None}
    return item


def iso(now: datetime) -> str:
    return f"{now:%Y-%m-%dT%H:%M:%S.%fZ}"


def plain(now: datetime) -> str:
    return f"{now:%Y-%m-%d %H:%M:%S}"


def _type(mailer: str, size: str) -> str:
    return "postcard6x11" if (mailer, size) == ("postcard", "6x11") else mailer
