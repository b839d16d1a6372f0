"""The book of keys as the client sees it: what is asked for, and what the book says of it."""

from __future__ import annotations

import hashlib
import json as jsonlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from ..exceptions import UnsendableValue
from .encoding import plain
from .paths import fill

LONGEST_KEY = 200
RESEND_AFTER_SECONDS = 600.0
"""Before, an attempt may still be on its way."""
_REPLAY = "/orders/{order_id}/replay"
_RADIUS_SEARCH = "/mailing-lists-utils/buy-radius-search"
# What is kept of an answer: facts, and nothing of the message, the recipients or the sender's address.
_KEPT = frozenset(
    "id user_id type size style status display_status display_type display_trigger method cancellable "
    "authorization_total grand_total order_total leads_fee total_estimated_recipients total_recipients recipient_count "
    "sub_account_id image_template_id message_template_id mailing_list_ids_used giftcard_brand giftcard_amount "
    "replayed_from_order_id created_at updated_at mailing_list_id failure".split()
)


@dataclass(frozen=True)
class Entry:
    """What the book says of a key.

    ``is_mine``: this attempt wrote the entry or took it over, and may send; ``began``: when, on the monotonic clock.
    ``age_seconds``: since the last attempt began; ``first_age_seconds``: since the first, at ``began_at``.
    ``is_same_account``: the connection leads to the thanks.io account of the attempt, as far as is known.
    """

    id: str
    fingerprint: str
    attempt_id: str
    attempts: int = 1
    is_mine: bool = False
    began: float = 0.0
    is_sent: bool = False
    age_seconds: float = 0.0
    first_age_seconds: float = 0.0
    began_at: datetime | None = None
    is_same_account: bool = True
    answer: Mapping[str, Any] | None = None


class Book(Protocol):
    """Where the keys stand. Each method is durable when it returns."""

    connection_id: object

    def claim(self, key: str, fingerprint: str, operation: str) -> Entry:
        """Write the key, or return the entry that it has. Raises SendOnceRefused where nothing could be durable."""

    def take_over(self, entry: Entry) -> Entry | None:
        """Begin another attempt, if the entry's attempt is still the last one and older than ten minutes."""

    def mark_sent(self, entry: Entry, order_id: int, answer: Mapping[str, Any]) -> bool:
        """Write the outcome. Returns False if another order stands there."""

    def free(self, entry: Entry) -> None:
        """Remove the entry of this attempt: nothing was sent."""


@dataclass(frozen=True, repr=False)
class Asked:
    """An order that is asked for. ``body`` is in the types of JSON; ``path`` has its ids."""

    template: str
    path: str
    ids: Mapping[str, int | str] | None
    body: Mapping[str, Any]

    @classmethod
    def of(cls, template: str, ids: Mapping[str, int | str] | None, json: object) -> Asked:
        """Raises UnsendableValue, and what :func:`~thanksio_connect.client.paths.fill` raises."""
        body = plain(json if json is not None else {})
        metadata = body.get("metadata")
        if metadata is not None and not isinstance(metadata, dict):
            raise UnsendableValue("metadata", "is no mapping")
        return cls(template, fill(template, ids or {}), ids, body)

    @property
    def operation(self) -> str:
        """What the book calls it."""
        return {_REPLAY: "replay", _RADIUS_SEARCH: "buy_radius_search"}.get(
            self.template, self.template.rpartition("/")[2]
        )

    @property
    def fingerprint(self) -> str:
        """The same for the same fields under the same operation."""
        text = jsonlib.dumps([self.path, self.body], sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def is_listed(self) -> bool:
        """Whether it makes an order, which has metadata and stands in the list."""
        return self.template != _RADIUS_SEARCH

    @property
    def is_replay(self) -> bool:
        """Whether it repeats an order, whose metadata thanks.io copies where none is given."""
        return self.template == _REPLAY


def facts_of(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is kept of an answer."""
    return {name: value for name, value in answer.items() if name in _KEPT and _is_scalar(value)}


def order_id_of(answer: Any, asked: Asked) -> int | None:
    """Return the id of what was ordered: of the order, or of the mailing list that was bought."""
    name = "id" if asked.is_listed else "mailing_list_id"
    value = answer.get(name) if isinstance(answer, dict) else None
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**63 else None


def checked_key(key: object) -> str:
    """Return the key. Raises TypeError or ValueError."""
    if not isinstance(key, str):
        raise TypeError("The key must be a str, such as 'invoice-17'.")
    if not 1 <= len(key) <= LONGEST_KEY or not (key.isascii() and key.isprintable()) or key != key.strip():
        raise ValueError(
            f"The key must be 1 to {LONGEST_KEY} printable ASCII characters, without a space at either end."
        )
    return str.__str__(key)


def _is_scalar(value: object) -> bool:
    return value is None or isinstance(value, str | int | float)
