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


def page(record: RequestRecord, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Wrap rows as Laravel's resource pages do; ``per_page`` is a string there."""
    size = _positive(record.query.get("items_per_page"), 25)
    page = _positive(record.query.get("page"), 1)
    last = max(-(-len(rows) // size), 1)
    path = f"https://api.thanks.io{record.path}"
    shown = rows[(page - 1) * size : page * size]
    return {
        "data": shown,
        "links": {
            "first": f"{path}?page=1",
            "last": f"{path}?page={last}",
            "prev": f"{path}?page={page - 1}" if page > 1 else None,
            "next": f"{path}?page={page + 1}" if page < last else None,
        },
        "meta": {
            "current_page": page,
            "from": (page - 1) * size + 1 if shown else None,
            "last_page": last,
            "path": path,
            "per_page": str(size),
            "to": (page - 1) * size + len(shown) if shown else None,
            "total": len(rows),
        },
    }


def _positive(text: str | None, default: int) -> int:
    return max(int(text), 1) if text is not None and text.isdecimal() else default
