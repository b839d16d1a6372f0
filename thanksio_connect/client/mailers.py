"""The six mail pieces, which ``/send`` orders and ``/estimate`` prices with the same fields."""

from __future__ import annotations

from typing import Any, Protocol


class _Poster(Protocol):
    def post(self, path: str, *, json: object = None) -> Any: ...


class Mailers:
    """``client.send`` (orders and charges) or ``client.estimate`` (free).

    Fields are thanks.io's, sent as given; one that is None is left out. Raises TypeError if none is left.
    """

    def __init__(self, client: _Poster, prefix: str) -> None:
        self._client = client
        self._prefix = prefix

    def postcard(self, **fields: Any) -> Any:
        """A postcard of 4x6, 6x9 or 6x11 inches (``size``)."""
        return self._post("postcard", fields)

    def windowedletter(self, **fields: Any) -> Any:
        """A letter in an envelope with a window."""
        return self._post("windowedletter", fields)

    def windowlessletter(self, **fields: Any) -> Any:
        """A letter in an envelope without a window."""
        return self._post("windowlessletter", fields)

    def notecard(self, **fields: Any) -> Any:
        """A notecard."""
        return self._post("notecard", fields)

    def magnacard(self, **fields: Any) -> Any:
        """A magnacard."""
        return self._post("magnacard", fields)

    def giftcard(self, **fields: Any) -> Any:
        """A gift card (``giftcard_brand``, ``giftcard_amount_in_cents``)."""
        return self._post("giftcard", fields)

    def _post(self, piece: str, fields: dict[str, Any]) -> Any:
        given = {name: value for name, value in fields.items() if value is not None}
        if not given:
            raise TypeError(f"{piece}() needs thanks.io's fields as keyword arguments, such as recipients=[...].")
        return self._client.post(f"{self._prefix}/{piece}", json=given)
