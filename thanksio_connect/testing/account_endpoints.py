"""What an account owns besides orders: mailing lists, recipients, templates, sub-accounts and webhooks."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from thanksio_connect.testing import api_shapes as shapes
from thanksio_connect.testing.page_shapes import bare_page, page
from thanksio_connect.testing.provider import Provider
from thanksio_connect.testing.records import RequestRecord
from thanksio_connect.testing.replies import Reply, json_reply

Row = dict[str, Any]
Route = tuple[str, str, Callable[..., Reply]]

_KINDS: Final = ("mailing-lists", "recipients", "image-templates", "message-templates", "sub-accounts", "webhooks")
_REQUIRED: Final = {
    "mailing-lists": ("description",),
    "sub-accounts": ("title",),
    "webhooks": ("url", "type", "verb"),
}
_RADIUS: Final = ("address", "postal_code", "record_count")
_ALREADY_THERE: Final = "This address is already on this mailing list."


class AccountEndpoints:
    """Answers requests about the rows of an account, which live as long as the fake does."""

    def __init__(self, provider: Provider) -> None:
        self.rows: dict[str, list[Row]] = {name: [] for name in _KINDS}
        self._provider = provider
        self._ids = itertools.count(5001)
        self._lock = threading.Lock()

    def routes(self) -> list[Route]:
        """Method, pattern of the path and view of each operation."""
        owned = r"/(mailing-lists|message-templates|sub-accounts|webhooks|recipients)"
        return [
            ("GET", r"/(mailing-lists|image-templates|message-templates|webhooks)/?", self._list),
            ("GET", r"/(sub-accounts)/", self._list_all),
            ("POST", r"/recipients", self._create_recipient),
            ("POST", r"/recipients-utils/create-multiple", self._create_multiple),
            ("POST", r"/recipients-utils/delete-by-address", self._delete_by_address),
            ("GET", r"/mailing-lists-utils/recipients/(\d+)", self._list_recipients),
            ("POST", r"/mailing-lists-utils/buy-radius-search", self._buy_radius_search),
            ("POST", r"/mailing-lists-utils/count-radius-search", self._count_radius_search),
            ("POST", r"/(mailing-lists|message-templates|sub-accounts)/", self._create),
            ("POST", r"/(webhooks)", self._create),
            ("GET", owned + r"/(\d+)", self._get),
            ("PUT", r"/(sub-accounts|webhooks|recipients)/(\d+)", self._change),
            ("PATCH", r"/(message-templates)/(\d+)", self._change),
            ("DELETE", owned + r"/(\d+)", self._delete),
            ("GET", r"/build/image-template", lambda record: Reply(200, shapes.PNG, {"Content-Type": "image/png"})),
        ]

    def _list(self, record: RequestRecord, kind: str) -> Reply:
        rows = self._of(record, kind)
        if kind == "mailing-lists" and not self.rows[kind]:
            rows = [shapes.mailing_list(record.user_id)]
        body = page(*asked(record), rows)
        return json_reply(body | {"can_manage_webhooks": True} if kind == "webhooks" else body)

    def _list_all(self, record: RequestRecord, kind: str) -> Reply:
        return json_reply({"data": self._of(record, kind)})

    def _create(self, record: RequestRecord, kind: str) -> Reply:
        missing = [name for name in _REQUIRED.get(kind, ()) if not _body(record).get(name)]
        if missing:
            return _invalid(record, missing)
        base = shapes.NEW_ROWS.get(kind) or shapes.mailing_list(record.user_id)
        row = self._add(record, kind, base | _body(record))
        return json_reply(shapes.created_mailing_list(row) if kind == "mailing-lists" else row, 201)

    def _get(self, record: RequestRecord, kind: str, row_id: str) -> Reply:
        row = self._find(record, kind, row_id)
        return json_reply(row) if row is not None else _not_found(record)

    def _change(self, record: RequestRecord, kind: str, row_id: str) -> Reply:
        row = self._find(record, kind, row_id)
        if row is None:
            return _not_found(record)
        row |= _body(record)
        return json_reply(row, 201 if kind == "sub-accounts" else 200)

    def _delete(self, record: RequestRecord, kind: str, row_id: str) -> Reply:
        row = self._find(record, kind, row_id)
        if row is None:
            return _not_found(record)
        self.rows[kind].remove(row)
        return json_reply({"status": "success"} if kind == "webhooks" else {"message": "success"})

    def _create_recipient(self, record: RequestRecord) -> Reply:
        if self._find(record, "mailing-lists", _body(record).get("mailing_list_id")) is None:
            return _no_list(record)
        return json_reply(self._add_recipient(record, _body(record)))

    def _create_multiple(self, record: RequestRecord) -> Reply:
        answer = []
        for fields in record.json if isinstance(record.json, list) else []:
            list_id = fields.get("mailing_list_id", fields.get("mailing_list"))
            taken = {row["address"] for row in self.rows["recipients"] if row["mailing_list_id"] == list_id}
            if fields.get("address") in taken:
                answer.append(fields | {"error": _ALREADY_THERE})
            else:
                answer.append(self._add_recipient(record, fields | {"mailing_list_id": list_id}))
        return json_reply(answer)

    def _delete_by_address(self, record: RequestRecord) -> Reply:
        wanted = _body(record)
        for row in self._of(record, "recipients"):
            if all(row.get(name) == value for name, value in wanted.items()):
                self.rows["recipients"].remove(row)
                return json_reply({"status": f"Recipient {row['id']} Deleted"})
        return _no_list(record)

    def _list_recipients(self, record: RequestRecord, list_id: str) -> Reply:
        if self._find(record, "mailing-lists", list_id) is None:
            return _not_found(record)
        rows = [row for row in self._of(record, "recipients") if str(row["mailing_list_id"]) == list_id]
        return json_reply(bare_page(*asked(record, scheme="http"), rows))

    def _buy_radius_search(self, record: RequestRecord) -> Reply:
        fields = _body(record)
        missing = [name for name in _RADIUS if not fields.get(name)]
        if missing:
            return _invalid(record, missing)
        search = {name: fields[name] for name in _RADIUS}
        for row in self._of(record, "mailing-lists"):
            if row.get("radius_search") == search:
                record.outcome = "rejected"
                body = {"message": "You made this purchase before.", "code": "duplicate_radius_search"}
                return json_reply(body | {"mailing_list_id": row["id"], "failure": True}, 409)
        base = shapes.mailing_list(record.user_id) | {"type": "radius", "radius_search": search}
        row = self._add(record, "mailing-lists", base)
        return json_reply({"message": "success", "mailing_list_id": row["id"], "failure": False})

    def _count_radius_search(self, record: RequestRecord) -> Reply:
        missing = [name for name in _RADIUS if not _body(record).get(name)]
        if missing:
            return _invalid(record, missing)
        return json_reply({"status": "success", "count": _body(record)["record_count"], "failure": False})

    def _add_recipient(self, record: RequestRecord, fields: Row) -> Row:
        return self._add(record, "recipients", shapes.recipient(0, fields, self._now()))

    def _add(self, record: RequestRecord, kind: str, fields: Row) -> Row:
        now = shapes.iso(self._now())
        with self._lock:
            facts = {"id": next(self._ids), "user_id": shapes.number(record.user_id)}
            row = fields | facts | {"created_at": now, "updated_at": now}
            self.rows[kind].append(row)
        return row

    def _of(self, record: RequestRecord, kind: str) -> list[Row]:
        return [row for row in self.rows[kind] if str(row["user_id"]) == record.user_id]

    def _find(self, record: RequestRecord, kind: str, row_id: object) -> Row | None:
        return next((row for row in self._of(record, kind) if str(row["id"]) == str(row_id)), None)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._provider.clock(), UTC)


def asked(record: RequestRecord, scheme: str = "https") -> tuple[str, Mapping[str, str]]:
    """A list's URL, ``http://`` in one example of thanks.io's, and the query."""
    return f"{scheme}://api.thanks.io{record.path}", record.query


def _body(record: RequestRecord) -> Row:
    return record.json if isinstance(record.json, dict) else {}


def _not_found(record: RequestRecord) -> Reply:
    record.outcome = "not_found"
    return json_reply(shapes.NOT_FOUND, 404)


def _no_list(record: RequestRecord) -> Reply:
    record.outcome = "rejected"
    return json_reply(shapes.NO_MAILING_LIST, 400)


def _invalid(record: RequestRecord, missing: list[str]) -> Reply:
    record.outcome = "rejected"
    errors = {name: [f"The {name.replace('_', ' ')} field is required."] for name in missing}
    return json_reply(shapes.invalid(errors), 422)
