"""The fields of the six mail pieces, as thanks.io names them. ``send`` and ``estimate`` take the same.

Each piece needs one audience: ``mailing_list_ids``, ``recipients`` or ``radius_search``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict

from .mailing_lists import MailRecordTypes
from .shapes import RecipientFields


class ReturnAddress(TypedDict, total=False):
    """Who the mail is from, instead of the account's own."""

    return_name: str | None
    return_address: str | None
    return_address2: str | None
    return_city: str | None
    return_state: str | None
    return_postal_code: str | None


class RadiusSearch(TypedDict, total=False):
    """The nearest addresses of a place. Its records **cost 5 cents each**, with ``append_data`` 20 more.

    ``address`` is the whole address; ``record_count`` is 1 to 10000. ``preview`` asks for the count and cost alone.
    """

    preview: bool
    address: str
    record_count: int
    record_types: MailRecordTypes
    include_condos: bool
    append_data: bool
    use_property_owner: bool
    include_search_address: bool


class MailFields(ReturnAddress, total=False):
    """What all six pieces take.

    ``handwriting_color`` is blue, black, green, purple, red or ``"#4287f5"``. ``notification_emails`` are separated
    by commas. ``metadata`` is an object of 8192 bytes at most; orders and webhooks give it back.
    """

    mailing_list_ids: Sequence[int]
    recipients: Sequence[RecipientFields]
    radius_search: RadiusSearch
    handwriting_style_id: int | None
    handwriting_color: str | None
    handwriting_realism: bool
    sub_account: int | None
    notification_emails: str | None
    send_standard_mail: bool
    metadata: Mapping[str, Any] | None
    message: str | None
    message_template_id: int | None
    image_template_id: int | None
    front_image_url: str | None


class MagnacardFields(MailFields, total=False):
    """A magnacard. Needs ``front_image_url`` or ``image_template_id``."""

    use_custom_background: bool
    custom_background_image: str | None


class NotecardFields(MagnacardFields, total=False):
    """A notecard. Needs ``front_image_url`` or ``image_template_id``; the background is 1650 x 2475 pixels."""

    qrcode_url: str | None


class PostcardFields(NotecardFields, total=False):
    """A postcard. Needs ``front_image_url`` or ``image_template_id``.

    Images are 1875 x 1275 pixels for 4x6 and 6x9 inches, 3337 x 1777 for 6x11.
    """

    size: Literal["4x6", "6x9", "6x11"]


class LetterFields(MailFields, total=False):
    """A letter. ``pdf_only_url`` is the whole of it; leave the recipient's address out of that file."""

    qrcode_url: str | None
    additional_pages_url: str | None
    pdf_only_url: str | None


class GiftcardFields(MailFields, total=False):
    """A gift card. Needs ``front_image_url`` or ``image_template_id``, a brand and an amount **in cents**.

    ``api.giftcard_brands`` tells the brands and their amounts.
    """

    giftcard_brand: str
    giftcard_amount_in_cents: int
