"""thanks.io's catalogues: handwriting styles and gift card brands. Both are public and free."""

from __future__ import annotations

import builtins
from typing import TypedDict

from .resource import Resource, rows_of


class HandwritingStyle(TypedDict):
    """A style; ``sample`` is the URL of an image."""

    handwriting_style_id: int
    name: str
    sample: str
    type: str


class GiftcardBrand(TypedDict):
    """A brand. ``brand_code`` is what ``giftcard_brand`` takes; ``available_amounts`` are in cents."""

    brand_code: str
    title: str
    image: str
    available_amounts: list[int]
    group: str


class GiftcardGroup(TypedDict):
    """Brands of a kind."""

    title: str
    brands: list[GiftcardBrand]


class HandwritingStyles(Resource):
    """``api.handwriting_styles``."""

    def list(self) -> builtins.list[HandwritingStyle]:
        """List Styles, in one answer. thanks.io answers this without a token, so it proves no connection."""
        rows: builtins.list[HandwritingStyle] = rows_of(self._ask("GET", "/handwriting-styles"), "data")
        return rows


class GiftcardBrands(Resource):
    """``api.giftcard_brands``."""

    def grouped(self) -> dict[str, GiftcardGroup]:
        """List Brands, by group (``"main"``, ``"food"`` …), in one answer."""
        answer: dict[str, GiftcardGroup] = self._call("GET", "/giftcard-brands")
        return answer

    def list(self) -> builtins.list[GiftcardBrand]:
        """List Brands Flat, in one answer; each names its ``group``."""
        rows: builtins.list[GiftcardBrand] = rows_of(self._ask("GET", "/giftcard-brands-list"), "brands")
        return rows
