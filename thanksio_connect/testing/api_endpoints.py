"""The API v2 operations that a sending product calls, in the shapes of thanks.io's OpenAPI document.

Mailing lists, sends, estimates, orders, ``/ping`` and two public catalogues. Each grant's user sees only its
own orders.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from thanksio_connect.testing.provider import Provider
from thanksio_connect.testing.records import RequestRecord
from thanksio_connect.testing.replies import Reply, json_reply

PREFIX: Final = "/api/v2"
MAILERS: Final = ("postcard", "windowedletter", "windowlessletter", "notecard", "magnacard", "giftcard")
_PRICE_IN_CENTS: Final = 118
_BALANCE_IN_CENTS: Final = 5000
_RATE_LIMIT: Final = 120
_AUDIENCES: Final = ("recipients", "mailing_list_ids", "radius_search")
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


class APIEndpoints:
    """Answers API requests, and remembers the orders. ``orders`` is everything that was sent, by any user."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self.orders: list[Order] = []
        self.mailing_lists: list[dict[str, Any]] = []
        self._lock = threading.Lock()
        self._asked = 0
        routes: list[tuple[str, str, Callable[..., Reply]]] = [
            ("GET", r"/ping", self._ping),
            ("GET", r"/mailing-lists/?", self._list_mailing_lists),
            ("POST", rf"/send/({'|'.join(MAILERS)})", self._send),
            ("POST", rf"/estimate/({'|'.join(MAILERS)})", self._estimate),
            ("GET", r"/orders/list", self._list_orders),
            ("GET", r"/orders/(\d+)/track", self._track),
            ("GET", r"/orders/(\d+)/items", self._items),
            ("PUT", r"/orders/(\d+)/cancel", self._cancel),
        ]
        self._routes = [(method, re.compile(pattern), view) for method, pattern, view in routes]
        self._public = {
            "/handwriting-styles": {
                "data": [{"handwriting_style_id": 1, "sample": "", "name": "Hi Clarice", "type": "Realistic"}]
            },
            "/giftcard-brands-list": {"brands": []},
        }

    def answer(self, record: RequestRecord) -> Reply:
        """Answer one request; a token that is not live gets 401 ``{"message": "Unauthenticated."}``."""
        path = record.path.removeprefix(PREFIX)
        if path in self._public:
            record.outcome = "ok"
            return self._limited(json_reply(self._public[path]))
        if not self.provider.is_live(record.access_token or "") or self._kind(record) != "access":
            record.outcome = "unauthenticated"
            return json_reply({"message": "Unauthenticated."}, 401)
        record.outcome = "ok"
        for method, pattern, view in self._routes:
            match = pattern.fullmatch(path)
            if match and method == record.method:
                return self._limited(view(record, *match.groups()))
        record.outcome = "not_found"
        return self._limited(json_reply({"message": "Not Found"}, 404))

    def _kind(self, record: RequestRecord) -> str | None:
        token = self.provider.find(record.access_token or "")
        return token.kind if token else None

    def _limited(self, reply: Reply) -> Reply:
        with self._lock:
            self._asked += 1
            remaining = _RATE_LIMIT - 1 - self._asked % _RATE_LIMIT
        reply.headers |= {"X-RateLimit-Limit": str(_RATE_LIMIT), "X-RateLimit-Remaining": str(remaining)}
        return reply

    def _ping(self, record: RequestRecord) -> Reply:
        return json_reply({"message": "pong"})

    def _list_mailing_lists(self, record: RequestRecord) -> Reply:
        lists = self.mailing_lists or [_mailing_list(record.user_id)]
        return json_reply(_page(record, [row for row in lists if str(row["user_id"]) == record.user_id]))

    def _send(self, record: RequestRecord, mailer: str) -> Reply:
        fields, problem = self._check(record)
        if problem is not None:
            return problem
        if fields.get("preview") is True:
            previews = ["https://cdn.thanks.io/preview/front.png", "https://cdn.thanks.io/preview/back.png"]
            return json_reply({"success": True, "code": 200, "message": "OK", "data": {"previews": previews}})
        now = datetime.fromtimestamp(self.provider.clock(), UTC)
        with self._lock:
            order: Order = {
                "id": 42665 + len(self.orders),
                "user_id": _number(record.user_id),
                "type": mailer,
                "size": fields.get("size", "4x6"),
                "message": fields.get("message"),
                "front_image": fields.get("front_image_url"),
                "status": "reviewing",
                "display_status": "Reviewing",
                "display_trigger": "API",
                "display_type": f"{mailer.capitalize()}-{fields.get('size', '4x6')}",
                "method": "api",
                "authorization_total": _PRICE_IN_CENTS * _audience_size(fields),
                "total_estimated_recipients": _audience_size(fields),
                "style": fields.get("handwriting_style_id"),
                "metadata": fields.get("metadata"),
                "sub_account": fields.get("sub_account"),
                "sub_account_id": fields.get("sub_account"),
                "created_at": f"{now:%Y-%m-%d %H:%M:%S}",
                "updated_at": f"{now:%Y-%m-%d %H:%M:%S}",
            }
            self.orders.append(order)
        return json_reply(order)

    def _estimate(self, record: RequestRecord, mailer: str) -> Reply:
        fields, problem = self._check(record)
        if problem is not None:
            return problem
        count = _audience_size(fields)
        cents = _PRICE_IN_CENTS * count
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
            "current_balance_in_cents": _BALANCE_IN_CENTS,
            "covered_by_balance": cents <= _BALANCE_IN_CENTS,
            "test_mode": True,
            "notes": [],
        }
        return json_reply({"message": "OK", "data": data})

    def _list_orders(self, record: RequestRecord) -> Reply:
        mine = [_listed(order) for order in self.orders if str(order["user_id"]) == record.user_id]
        return json_reply(_page(record, mine[::-1]))

    def _track(self, record: RequestRecord, order_id: str) -> Reply:
        order, problem = self._own_order(record, order_id)
        if problem is not None:
            return problem
        stats = dict.fromkeys(_STATS, 0) | {"processing": order["total_estimated_recipients"]}
        details = {name: value for name, value in _listed(order).items() if name != "id"}
        return json_reply(
            {"data": {"id": order["id"], "order": details, "stats": stats, "errors": [], "returned": []}}
        )

    def _items(self, record: RequestRecord, order_id: str) -> Reply:
        _, problem = self._own_order(record, order_id)
        return problem if problem is not None else json_reply(_page(record, []))

    def _cancel(self, record: RequestRecord, order_id: str) -> Reply:
        order, problem = self._own_order(record, order_id)
        if problem is not None:
            return problem
        order |= {"status": "cancelled", "display_status": "Cancelled"}
        return json_reply({"order": order})

    def _own_order(self, record: RequestRecord, order_id: str) -> tuple[Order, Reply | None]:
        for order in self.orders:
            if order["id"] == int(order_id):
                if str(order["user_id"]) == record.user_id:
                    return order, None
                record.outcome = "not_owner"
                return {}, json_reply({"status": "failed", "errors": ["Unauthorized"]}, 401)
        record.outcome = "not_found"
        return {}, json_reply({"message": "Not Found"}, 404)

    def _check(self, record: RequestRecord) -> tuple[dict[str, Any], Reply | None]:
        fields = record.json if isinstance(record.json, dict) else {}
        if any(fields.get(name) for name in _AUDIENCES):
            return fields, None
        record.outcome = "rejected"
        errors = {"recipients": ["The recipients field is required when mailing list ids is not present."]}
        body = {"message": "The given data was invalid.", "errors": errors, "failure": True}
        return fields, json_reply(body, 422)


def _audience_size(fields: dict[str, Any]) -> int:
    recipients = fields.get("recipients")
    return len(recipients) if isinstance(recipients, list) and recipients else 1


def _number(user_id: str | None) -> int | str | None:
    return int(user_id) if user_id is not None and user_id.isdigit() else user_id


def _listed(order: Order) -> Order:
    """As ``/orders/list`` shows an order: the status in its display form."""
    return order | {
        "status": order["display_status"],
        "cancellable": order["status"] == "reviewing",
        "grand_total": order["authorization_total"],
        "order_total": order["authorization_total"],
        "total_scans": 0,
    }


def _mailing_list(user_id: str | None) -> dict[str, Any]:
    return {
        "id": 3019,
        "user_id": _number(user_id),
        "sub_account_id": None,
        "type": "manual",
        "description": "Test Mailing List",
        "total_recipients": 0,
        "processed": True,
        "created_at": "2025-08-06T01:06:52.000000Z",
        "updated_at": "2025-08-06T01:06:52.000000Z",
    }


def _page(record: RequestRecord, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Wrap rows as Laravel's resource pages do; ``per_page`` is a string there."""
    size = max(int(record.query.get("items_per_page", "25") or 25), 1)
    page = max(int(record.query.get("page", "1") or 1), 1)
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
