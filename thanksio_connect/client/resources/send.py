"""``api.send``: order mail. **Each call charges the account**, unless ``preview=True``.

thanks.io's pages: "Send Mailer". Sent once: after ``OutcomeUnknown`` and ``ServerError`` nobody knows whether the order
was taken, so look at ``api.orders.list()`` first. An order can be cancelled for an hour (``api.orders.cancel``). Each
method raises InvalidRequest (``errors`` by field), PaymentRequired, Unauthorized, Forbidden and RateLimited.
"""

from __future__ import annotations

from typing import Any, Literal, TypedDict, Unpack, overload

from ..arguments import named_fields
from .mail_fields import (
    GiftcardFields,
    LetterFields,
    MagnacardFields,
    NotecardFields,
    PostcardFields,
)
from .resource import Resource
from .shapes import PlacedOrder


class PreviewImages(TypedDict):
    """``previews`` are URLs of PNG images."""

    previews: list[str]


class Preview(TypedDict):
    """What ``preview=True`` gives: no order was made, and nothing is charged."""

    success: bool
    code: int
    message: str
    data: PreviewImages


class Send(Resource):
    """``api.send``: each method orders mail and charges; with ``preview=True`` it makes images and charges nothing."""

    @overload
    def postcard(self, *, preview: Literal[True], **fields: Unpack[PostcardFields]) -> Preview: ...
    @overload
    def postcard(self, *, preview: Literal[False] = False, **fields: Unpack[PostcardFields]) -> PlacedOrder: ...
    @overload
    def postcard(self, *, preview: bool, **fields: Unpack[PostcardFields]) -> PlacedOrder | Preview: ...
    @named_fields
    def postcard(self, *, preview: bool = False, **fields: Unpack[PostcardFields]) -> PlacedOrder | Preview:
        """Send Postcard: 4x6, 6x9 or 6x11 inches."""
        answer: PlacedOrder | Preview = self._send("/send/postcard", preview, fields)
        return answer

    @overload
    def windowedletter(self, *, preview: Literal[True], **fields: Unpack[LetterFields]) -> Preview: ...
    @overload
    def windowedletter(self, *, preview: Literal[False] = False, **fields: Unpack[LetterFields]) -> PlacedOrder: ...
    @overload
    def windowedletter(self, *, preview: bool, **fields: Unpack[LetterFields]) -> PlacedOrder | Preview: ...
    @named_fields
    def windowedletter(self, *, preview: bool = False, **fields: Unpack[LetterFields]) -> PlacedOrder | Preview:
        """Send Windowed Letter: the recipient's address shows through the envelope."""
        answer: PlacedOrder | Preview = self._send("/send/windowedletter", preview, fields)
        return answer

    @overload
    def windowlessletter(self, *, preview: Literal[True], **fields: Unpack[LetterFields]) -> Preview: ...
    @overload
    def windowlessletter(self, *, preview: Literal[False] = False, **fields: Unpack[LetterFields]) -> PlacedOrder: ...
    @overload
    def windowlessletter(self, *, preview: bool, **fields: Unpack[LetterFields]) -> PlacedOrder | Preview: ...
    @named_fields
    def windowlessletter(self, *, preview: bool = False, **fields: Unpack[LetterFields]) -> PlacedOrder | Preview:
        """Send Windowless Letter: the recipient's address stands on the envelope."""
        answer: PlacedOrder | Preview = self._send("/send/windowlessletter", preview, fields)
        return answer

    @overload
    def notecard(self, *, preview: Literal[True], **fields: Unpack[NotecardFields]) -> Preview: ...
    @overload
    def notecard(self, *, preview: Literal[False] = False, **fields: Unpack[NotecardFields]) -> PlacedOrder: ...
    @overload
    def notecard(self, *, preview: bool, **fields: Unpack[NotecardFields]) -> PlacedOrder | Preview: ...
    @named_fields
    def notecard(self, *, preview: bool = False, **fields: Unpack[NotecardFields]) -> PlacedOrder | Preview:
        """Send Notecard: folded, in an envelope."""
        answer: PlacedOrder | Preview = self._send("/send/notecard", preview, fields)
        return answer

    @overload
    def magnacard(self, *, preview: Literal[True], **fields: Unpack[MagnacardFields]) -> Preview: ...
    @overload
    def magnacard(self, *, preview: Literal[False] = False, **fields: Unpack[MagnacardFields]) -> PlacedOrder: ...
    @overload
    def magnacard(self, *, preview: bool, **fields: Unpack[MagnacardFields]) -> PlacedOrder | Preview: ...
    @named_fields
    def magnacard(self, *, preview: bool = False, **fields: Unpack[MagnacardFields]) -> PlacedOrder | Preview:
        """Send Magnacard."""
        answer: PlacedOrder | Preview = self._send("/send/magnacard", preview, fields)
        return answer

    @overload
    def giftcard(self, *, preview: Literal[True], **fields: Unpack[GiftcardFields]) -> Preview: ...
    @overload
    def giftcard(self, *, preview: Literal[False] = False, **fields: Unpack[GiftcardFields]) -> PlacedOrder: ...
    @overload
    def giftcard(self, *, preview: bool, **fields: Unpack[GiftcardFields]) -> PlacedOrder | Preview: ...
    @named_fields
    def giftcard(self, *, preview: bool = False, **fields: Unpack[GiftcardFields]) -> PlacedOrder | Preview:
        """Send Giftcard. Raises PaymentRequired (``giftcards_require_paid_plan``) without a paid plan."""
        answer: PlacedOrder | Preview = self._send("/send/giftcard", preview, fields)
        return answer

    def _send(self, path: str, preview: bool, fields: Any) -> Any:
        if not fields:
            raise TypeError(f"{path.rpartition('/')[2]}() needs thanks.io's fields, such as recipients=[...].")
        return self._call("POST", path, json={"preview": True, **fields} if preview else {**fields})
