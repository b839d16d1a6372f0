"""Bodies of thanks.io's API v2, after the examples of its OpenAPI document."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from thanksio_connect.testing.records import RequestRecord

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
_RECIPIENT: Final[dict[str, Any]] = _PERSON | dict.fromkeys(("dob", "anniversary", "custom1", "custom2"))
_BRAND: Final = {
    "brand_code": "amazonus",
    "title": "Amazon.com",
    "image": "https://cdn.thanks.io/giftcards/amazonus.png",
    "available_amounts": [500, 1000, 2500],
}
PUBLIC: Final[dict[str, Any]] = {
    "/handwriting-styles": {
        "data": [{"handwriting_style_id": 1, "sample": "", "name": "Hi Clarice", "type": "Realistic"}]
    },
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

Order = dict[str, Any]


def new_order(order_id: int, user_id: str | None, mailer: str, fields: dict[str, Any], now: datetime) -> Order:
    """The order that ``POST /send/<mailer>`` answers with."""
    size = fields.get("size", "4x6")
    return {
        "id": order_id,
        "user_id": number(user_id),
        "type": mailer,
        "size": size,
        "message": fields.get("message"),
        "front_image": fields.get("front_image_url"),
        "status": "reviewing",
        "display_status": "Reviewing",
        "display_trigger": "API",
        "display_type": f"{mailer.capitalize()}-{size}",
        "method": "api",
        "authorization_total": PRICE_IN_CENTS * audience_size(fields),
        "total_estimated_recipients": audience_size(fields),
        "style": fields.get("handwriting_style_id"),
        "metadata": fields.get("metadata"),
        "sub_account": fields.get("sub_account"),
        "sub_account_id": fields.get("sub_account"),
        "created_at": f"{now:%Y-%m-%d %H:%M:%S}",
        "updated_at": f"{now:%Y-%m-%d %H:%M:%S}",
    }


def estimate(mailer: str, fields: dict[str, Any]) -> dict[str, Any]:
    """The answer of ``POST /estimate/<mailer>``; amounts are in cents."""
    count = audience_size(fields)
    cents = PRICE_IN_CENTS * count
    costs = {"united_states": cents, "international": 0, "additional_pages": 0, "giftcard_face_value": 0}
    data = {
        "type": mailer,
        "size": fields.get("size", "4x6"),
        "total_recipients": count,
        "recipients": {"united_states": count, "international": 0},
        "pending_email_lookups": 0,
        "costs_in_cents": costs | {"grand_total": cents},
        "total_cost_in_cents": cents,
        "total_cost": f"${cents / 100:.2f}",
        "current_balance_in_cents": BALANCE_IN_CENTS,
        "covered_by_balance": cents <= BALANCE_IN_CENTS,
        "test_mode": True,
        "notes": [],
    }
    return {"message": "OK", "data": data}


def tracking(order: Order) -> dict[str, Any]:
    """The answer of ``GET /orders/{id}/track``."""
    stats = dict.fromkeys(_STATS, 0) | {"processing": order["total_estimated_recipients"]}
    details = {name: value for name, value in listed(order).items() if name != "id"}
    return {"data": {"id": order["id"], "order": details, "stats": stats, "errors": [], "returned": []}}


def audience_size(fields: dict[str, Any]) -> int:
    recipients = fields.get("recipients")
    return len(recipients) if isinstance(recipients, list) and recipients else 1


def number(user_id: str | None) -> int | str | None:
    return int(user_id) if user_id is not None and user_id.isdigit() else user_id


def listed(order: Order) -> Order:
    """As ``/orders/list`` shows an order: the status in its display form."""
    return order | {
        "status": order["display_status"],
        "cancellable": order["status"] == "reviewing",
        "grand_total": order["authorization_total"],
        "order_total": order["authorization_total"],
        "total_scans": 0,
    }


def mailing_list(user_id: str | None) -> dict[str, Any]:
    return {
        "id": 3019,
        "user_id": number(user_id),
        "sub_account_id": None,
        "type": "manual",
        "description": "Test Mailing List",
        "total_recipients": 0,
        "processed": True,
        "created_at": "2025-08-06T01:06:52.000000Z",
        "updated_at": "2025-08-06T01:06:52.000000Z",
    }


def recipient(recipient_id: int, fields: dict[str, Any], now: datetime) -> dict[str, Any]:
    """A recipient of a mailing list."""
    return _RECIPIENT | fields | {"id": recipient_id, "created_at": iso(now), "updated_at": iso(now)}


def order_item(item_id: int, mailer: str, fields: dict[str, Any], person: dict[str, Any], now: datetime) -> Order:
    """A piece of an order, as ``/orders/{id}/items`` lists it."""
    item: Order = {"id": item_id, "status": "Processing", "delivery_date": None, "scans": 0, "failure": None}
    item |= {"recipient": _PERSON | person, "created_at": iso(now)}
    if mailer == "giftcard":
        card = {"brand": fields.get("giftcard_brand"), "amount": fields.get("giftcard_amount_in_cents")}
        item["giftcard"] = card | {"redeemed_at": None, "invalidated_at": None}
    return item


def iso(now: datetime) -> str:
    return f"{now:%Y-%m-%dT%H:%M:%S.%fZ}"


def page(record: RequestRecord, rows: list[dict[str, Any]], size_name: str = "items_per_page") -> dict[str, Any]:
    """Wrap rows as Laravel's resource pages do; ``per_page`` is a string there."""
    part = _Part(record, rows, size_name, 50 if size_name == "per_page" else 25)
    links: dict[str, str | None] = {
        "first": part.url(1),
        "last": part.url(part.last),
        "prev": part.previous_url,
        "next": part.next_url,
    }
    return {"data": part.shown, "links": links, "meta": part.facts}


def bare_page(record: RequestRecord, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Wrap rows as Laravel's bare paginator does, whose URLs are ``http://`` in thanks.io's example."""
    part = _Part(record, rows, "limit", 1000, scheme="http")
    urls: dict[str, str | None] = {"first_page_url": part.url(1), "last_page_url": part.url(part.last)}
    urls |= {"prev_page_url": part.previous_url, "next_page_url": part.next_url}
    return {"data": part.shown, **part.facts, **urls}


class _Part:
    """The rows of one page, and what both styles of pages say about it."""

    def __init__(
        self, record: RequestRecord, rows: list[dict[str, Any]], size_name: str, default: int, scheme: str = "https"
    ) -> None:
        size = _positive(record.query.get(size_name), default)
        number = _positive(record.query.get("page"), 1)
        start = (number - 1) * size
        self.path = f"{scheme}://api.thanks.io{record.path}"
        self.last = max(-(-len(rows) // size), 1)
        self.shown = rows[start : start + size]
        self.previous_url = self.url(number - 1) if number > 1 else None
        self.next_url = self.url(number + 1) if number < self.last else None
        self.facts = {
            "current_page": number,
            "from": start + 1 if self.shown else None,
            "last_page": self.last,
            "path": self.path,
            "per_page": str(size),
            "to": start + len(self.shown) if self.shown else None,
            "total": len(rows),
        }

    def url(self, number: int) -> str:
        return f"{self.path}?page={number}"


def _positive(text: str | None, default: int) -> int:
    return max(int(text), 1) if text is not None and text.isdecimal() else default
