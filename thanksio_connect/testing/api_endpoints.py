"""The API v2's operations, in the shapes of thanks.io's OpenAPI document: sends, estimates, orders and catalogues.

What else an account owns is in :mod:`~thanksio_connect.testing.account_endpoints`. Each grant's user sees only its own.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from thanksio_connect.testing import api_shapes as shapes
from thanksio_connect.testing.account_endpoints import AccountEndpoints, asked
from thanksio_connect.testing.api_shapes import Order
from thanksio_connect.testing.page_shapes import page
from thanksio_connect.testing.provider import Provider
from thanksio_connect.testing.records import RequestRecord
from thanksio_connect.testing.replies import Reply, json_reply

PREFIX: Final = "/api/v2"
MAILERS: Final = ("postcard", "windowedletter", "windowlessletter", "notecard", "magnacard", "giftcard")
_RATE_LIMIT: Final = 120
_AUDIENCES: Final = ("recipients", "mailing_list_ids", "radius_search")


class APIEndpoints:
    """Answers API requests, and remembers the orders. ``orders`` is everything that was sent, by any user."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self.orders: list[Order] = []
        self.account = AccountEndpoints(provider)
        self._items_of: dict[int, list[Order]] = {}
        self._lock = threading.Lock()
        self._asked = 0
        routes: list[tuple[str, str, Callable[..., Reply]]] = [
            ("GET", r"/ping", self._ping),
            ("POST", rf"/send/({'|'.join(MAILERS)})", self._send),
            ("POST", rf"/estimate/({'|'.join(MAILERS)})", self._estimate),
            ("GET", r"/orders/list", self._list_orders),
            ("GET", r"/orders/(\d+)/track", self._track),
            ("GET", r"/orders/(\d+)/items", self._items),
            ("PUT", r"/orders/(\d+)/cancel", self._cancel),
            ("POST", r"/orders/(\d+)/replay", self._replay),
            ("PUT", r"/order-items/(\d+)/invalidate-giftcard", self._invalidate),
            *self.account.routes(),
        ]
        self._routes = [(method, re.compile(pattern), view) for method, pattern, view in routes]

    @property
    def mailing_lists(self) -> list[dict[str, Any]]:
        """The mailing lists of all users; each account without one shows a list of its own."""
        return self.account.rows["mailing-lists"]

    @mailing_lists.setter
    def mailing_lists(self, rows: list[dict[str, Any]]) -> None:
        self.account.rows["mailing-lists"] = rows

    def answer(self, record: RequestRecord) -> Reply:
        """Answer one request; a token that is not live gets 401 ``{"message": "Unauthenticated."}``."""
        path = record.path.removeprefix(PREFIX)
        if path in shapes.PUBLIC:
            record.outcome = "ok"
            return self._limited(json_reply(shapes.PUBLIC[path]))
        if not self.provider.is_live(record.access_token or "") or self._kind(record) != "access":
            record.outcome = "unauthenticated"
            return json_reply(shapes.UNAUTHENTICATED, 401)
        record.outcome = "ok"
        for method, pattern, view in self._routes:
            match = pattern.fullmatch(path)
            if match and method == record.method:
                return self._limited(view(record, *match.groups()))
        record.outcome = "not_found"
        return self._limited(json_reply(shapes.NOT_FOUND, 404))

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

    def _send(self, record: RequestRecord, mailer: str) -> Reply:
        fields, problem = self._check(record)
        if problem is not None:
            return problem
        if fields.get("preview") is True:
            previews = ["https://cdn.thanks.io/preview/front.png", "https://cdn.thanks.io/preview/back.png"]
            return json_reply(shapes.preview(previews))
        return json_reply(self._order(record, mailer, fields))

    def _order(self, record: RequestRecord, mailer: str, fields: dict[str, Any]) -> Order:
        now = datetime.fromtimestamp(self.provider.clock(), UTC)
        with self._lock:
            order = shapes.new_order(42665 + len(self.orders), record.user_id, mailer, fields, now)
            self.orders.append(order)
            people = fields.get("recipients") or [{}]
            self._items_of[order["id"]] = [
                shapes.order_item(order["id"] * 100 + number, mailer, fields, person, now)
                for number, person in enumerate(people)
            ]
        return order

    def _estimate(self, record: RequestRecord, mailer: str) -> Reply:
        fields, problem = self._check(record)
        return json_reply(shapes.estimate(mailer, fields)) if problem is None else problem

    def _list_orders(self, record: RequestRecord) -> Reply:
        mine = [shapes.listed(order) for order in self.orders if str(order["user_id"]) == record.user_id]
        return json_reply(page(*asked(record), mine[::-1]))

    def _track(self, record: RequestRecord, order_id: str) -> Reply:
        order, problem = self._own_order(record, order_id)
        return json_reply(shapes.tracking(order)) if problem is None else problem

    def _items(self, record: RequestRecord, order_id: str) -> Reply:
        order, problem = self._own_order(record, order_id)
        return (
            problem
            if problem is not None
            else json_reply(page(*asked(record), self._items_of.get(order["id"], []), "per_page"))
        )

    def _replay(self, record: RequestRecord, order_id: str) -> Reply:
        order, problem = self._own_order(record, order_id)
        if problem is not None:
            return problem
        if order["status"] in ("reviewing", "cancelled"):
            record.outcome = "rejected"
            text = "This order can't be replayed."
            return json_reply({"status": text, "message": text, "failure": True}, 400)
        fields = {"recipients": [item["recipient"] for item in self._items_of.get(order["id"], [])]}
        fields |= {"metadata": order["metadata"], "message": order["message"], "size": order["size"]}
        fields |= record.json if isinstance(record.json, dict) else {}
        return json_reply(self._order(record, order["type"], fields) | {"replayed_from_order_id": order["id"]})

    def _invalidate(self, record: RequestRecord, item_id: str) -> Reply:
        order, problem = self._own_order(record, str(int(item_id) // 100))
        if problem is not None:
            return problem
        for item in self._items_of.get(order["id"], []):
            if item["id"] == int(item_id) and item.get("giftcard"):
                now = datetime.fromtimestamp(self.provider.clock(), UTC)
                item["giftcard"]["invalidated_at"] = shapes.iso(now)
                return json_reply({"data": item})
        record.outcome = "rejected"
        return json_reply({"status": "failed", "errors": ["This item has no giftcard."]}, 422)

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
                return {}, json_reply(shapes.NOT_YOURS, 401)
        record.outcome = "not_found"
        return {}, json_reply(shapes.NOT_FOUND, 404)

    def _check(self, record: RequestRecord) -> tuple[dict[str, Any], Reply | None]:
        fields = record.json if isinstance(record.json, dict) else {}
        if any(fields.get(name) for name in _AUDIENCES):
            return fields, None
        record.outcome = "rejected"
        errors = {"recipients": ["The recipients field is required when mailing list ids is not present."]}
        return fields, json_reply(shapes.invalid(errors), 422)
