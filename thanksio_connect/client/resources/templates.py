"""Image templates, message templates, and images made to order. thanks.io's pages of these names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypedDict, Unpack

from ..arguments import named_fields
from ..listing import Listing
from .resource import Resource, unreadable
from .shapes import Deleted

MessageTemplateType = Literal[
    "postcard", "postcard6x11", "letter", "windowlessletter", "notecard", "giftcard", "magnacard"
]


class ImageTemplate(TypedDict):
    """An image template; ``image`` is its URL."""

    id: int
    user_id: int
    sub_account_id: int | None
    type: str
    name: str
    image: str
    canva_id: str | None
    created_at: str
    updated_at: str


class MessageTemplate(TypedDict):
    """A message template. ``giftcard_amount`` is in cents, as a number, text or ``""``."""

    id: int
    user_id: int
    sub_account_id: int | None
    type: str
    name: str
    content: str
    handwriting_style_id: int
    font_size: int | str
    font_color: str
    handwriting_realism: bool
    additional_pages: str | None
    skip_creative_generation: int
    custom_background_url: str | None
    qrcode_url: str | None
    cc_emails: list[str]
    giftcard_brand_code: str | None
    giftcard_brand_image: str | None
    giftcard_amount: int | str | None
    landing_page_url: str | None
    share_uuid: str
    created_at: str
    updated_at: str


class MessageTemplateFields(TypedDict, total=False):
    """What a message template is made of.

    A gift card needs ``giftcard_brand_code`` and ``giftcard_amount`` **in cents**. ``cc_emails`` are told of scans.
    ``additional_pages`` and ``pdf_only_url`` are for letters.
    """

    type: MessageTemplateType
    name: str
    handwriting_style_id: int | None
    font_color: str | None
    handwriting_realism: bool
    content: str | None
    sub_account_id: int | None
    additional_pages: str | None
    pdf_only_url: str | None
    custom_background_url: str | None
    qrcode_url: str | None
    cc_emails: Sequence[str]
    giftcard_brand_code: str | None
    giftcard_amount: int | None
    landing_page_url: str | None


class ImageFields(TypedDict, total=False):
    """What an image is made of. Texts may have tags such as ``~ADDRESS~``.

    ``background_url`` may be ``~STREET_VIEW~`` or ``~MAP_VIEW~``, ``logo_url`` ``~YOUR_LOGO~`` or ``~YOUR_SYMBOL~``,
    ``redirect_url`` ``~MESSAGE_QR~``. ``overlay_url`` is an image of 1875 x 1275 pixels.
    """

    background_url: str
    header: str
    subheader: str
    redirect_url: str
    logo_url: str
    overlay_url: str


class ImageTemplates(Resource):
    """``api.image_templates``."""

    def list(
        self, *, items_per_page: int | None = None, sub_account_id: int | None = None, page: int = 1
    ) -> Listing[ImageTemplate]:
        """List All. ``items_per_page`` is 25 if not given; ``page`` is where to start."""
        params = {"items_per_page": items_per_page, "sub_account_id": sub_account_id}
        return self._list("/image-templates/", page=page, params=params)


class MessageTemplates(Resource):
    """``api.message_templates``."""

    def list(
        self, *, items_per_page: int | None = None, sub_account_id: int | None = None, page: int = 1
    ) -> Listing[MessageTemplate]:
        """List All. ``items_per_page`` is 25 if not given; ``page`` is where to start."""
        params = {"items_per_page": items_per_page, "sub_account_id": sub_account_id}
        return self._list("/message-templates/", page=page, params=params)

    @named_fields
    def create(self, **fields: Unpack[MessageTemplateFields]) -> MessageTemplate:
        """Create Message Template. Raises InvalidRequest, Forbidden."""
        answer: MessageTemplate = self._call("POST", "/message-templates/", json=fields)
        return answer

    def get(self, message_template_id: int | str) -> MessageTemplate:
        """Get Message Template. Raises NotFound."""
        ids = {"message_template_id": message_template_id}
        answer: MessageTemplate = self._call("GET", "/message-templates/{message_template_id}", ids)
        return answer

    @named_fields
    def update(self, message_template_id: int | str, **fields: Unpack[MessageTemplateFields]) -> MessageTemplate:
        """Update Message Template: change the given fields. Raises InvalidRequest, NotFound."""
        ids = {"message_template_id": message_template_id}
        answer: MessageTemplate = self._call("PATCH", "/message-templates/{message_template_id}", ids, json=fields)
        return answer

    def delete(self, message_template_id: int | str) -> Deleted:
        """Delete Message Template. Raises NotFound."""
        ids = {"message_template_id": message_template_id}
        answer: Deleted = self._call("DELETE", "/message-templates/{message_template_id}", ids)
        return answer


class DynamicImages(Resource):
    """What is behind ``api.build_image_template``."""

    @named_fields
    def build_image_template(self, *, id: int, **fields: Unpack[ImageFields]) -> bytes:
        """Create an image from the vendor's template ``id``, 1 to 18, as PNG. Free. thanks.io: "Dynamic Images"."""
        image: Any = self._ask("GET", "/build/image-template", params={"id": id, **fields})
        if not isinstance(image, bytes):
            raise unreadable("thanks.io answered with something that is no image.")
        return image
