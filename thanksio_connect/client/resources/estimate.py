"""``api.estimate``: price mail. Free, and makes no order. thanks.io's pages: "Estimate".

Takes the fields of ``api.send`` and refuses what that would refuse, with the same errors. It changes nothing, so it is
tried again as a read is.
"""

from __future__ import annotations

from typing import Any, TypedDict, Unpack

from ..arguments import UNSET, Unset, named_fields
from .mail_fields import (
    GiftcardFields,
    LetterFields,
    MagnacardFields,
    NotecardFields,
    PostcardFields,
)
from .resource import Resource


class Destinations(TypedDict):
    """How many pieces go where."""

    united_states: int
    international: int


class Costs(TypedDict):
    """Amounts in cents. ``grand_total`` is all but the gift cards' face value."""

    united_states: int
    international: int
    additional_pages: int
    giftcard_face_value: int
    grand_total: int


class EstimateData(TypedDict):
    """The price. ``total_cost`` is ``total_cost_in_cents`` as text in dollars; ``test_mode`` is the account's."""

    type: str
    size: str | None
    total_recipients: int
    recipients: Destinations
    pending_email_lookups: int
    costs_in_cents: Costs
    total_cost_in_cents: int
    total_cost: str
    current_balance_in_cents: int
    covered_by_balance: bool
    test_mode: bool
    notes: list[str]


class Estimated(TypedDict):
    """thanks.io's answer: the price is in ``data``."""

    message: str
    data: EstimateData


class Estimate(Resource):
    """``api.estimate``: each method prices what ``api.send`` would order. Free."""

    @named_fields
    def postcard(self, *, preview: bool | Unset = UNSET, **fields: Unpack[PostcardFields]) -> Estimated:
        """Estimate Postcard."""
        return self._estimate("/estimate/postcard", preview, fields)

    @named_fields
    def windowedletter(self, *, preview: bool | Unset = UNSET, **fields: Unpack[LetterFields]) -> Estimated:
        """Estimate Windowed Letter."""
        return self._estimate("/estimate/windowedletter", preview, fields)

    @named_fields
    def windowlessletter(self, *, preview: bool | Unset = UNSET, **fields: Unpack[LetterFields]) -> Estimated:
        """Estimate Windowless Letter."""
        return self._estimate("/estimate/windowlessletter", preview, fields)

    @named_fields
    def notecard(self, *, preview: bool | Unset = UNSET, **fields: Unpack[NotecardFields]) -> Estimated:
        """Estimate Notecard."""
        return self._estimate("/estimate/notecard", preview, fields)

    @named_fields
    def magnacard(self, *, preview: bool | Unset = UNSET, **fields: Unpack[MagnacardFields]) -> Estimated:
        """Estimate Magnacard."""
        return self._estimate("/estimate/magnacard", preview, fields)

    @named_fields
    def giftcard(self, *, preview: bool | Unset = UNSET, **fields: Unpack[GiftcardFields]) -> Estimated:
        """Estimate Giftcard. On paid plans a card's face value is charged at its redemption: the total is the most."""
        return self._estimate("/estimate/giftcard", preview, fields)

    def _estimate(self, path: str, preview: bool | Unset, fields: Any) -> Estimated:
        if not fields:
            raise TypeError(f"{path.rpartition('/')[2]}() needs thanks.io's fields, such as recipients=[...].")
        body = fields if preview is UNSET else {"preview": preview, **fields}
        answer: Estimated = self._call("POST", path, json=body, is_read=True)
        return answer
