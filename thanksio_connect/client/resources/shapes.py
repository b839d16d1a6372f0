"""What several operations take or answer.

The types of answers name what thanks.io documents. Other fields are there, too; and some answers have fewer, such as
that of a new mailing list: read what you can do without with ``.get()``.
"""

from __future__ import annotations

from datetime import date
from typing import Any, NotRequired, TypedDict


class Address(TypedDict, total=False):
    """Where and who. ``province`` is the state or province, ``country`` a code such as ``"US"``."""

    name: str | None
    company: str | None
    address: str | None
    address2: str | None
    city: str | None
    province: str | None
    postal_code: str | None
    country: str | None


class RecipientFields(Address, total=False):
    """A person to send to. Dates are a ``date``, ``YYYY-MM-DD`` or ``MM/DD/YYYY``."""

    dob: date | str | None
    anniversary: date | str | None
    email: str | None
    phone: str | None
    custom1: str | None
    custom2: str | None
    custom3: str | None
    custom4: str | None
    custom5: str | None
    custom6: str | None
    custom7: str | None
    custom8: str | None
    custom9: str | None
    custom10: str | None


class MailingList(TypedDict):
    """A mailing list. ``api_key`` is a credential with which anybody can add recipients: don't log or show it."""

    id: int
    user_id: int
    sub_account_id: int | None
    type: str
    description: str
    qrcode_url: str | None
    total_recipients: int
    processed: bool
    is_suppression_list: bool
    total_scans: int
    unique_scans: int
    last_scan: str | None
    total_sends: int
    last_send: str | None
    api_key: str
    created_at: str
    created_at_diff: str
    updated_at: str


class Recipient(TypedDict):
    """A recipient as thanks.io returns it."""

    id: int
    mailing_list_id: int
    name: str | None
    company: str | None
    address: str | None
    address2: str | None
    city: str | None
    province: str | None
    postal_code: str | None
    country: str | None
    dob: str | None
    anniversary: str | None
    email: str | None
    phone: str | None
    custom1: str | None
    custom2: str | None
    custom3: str | None
    custom4: str | None
    mailing_list: NotRequired[MailingList]
    created_at: str
    updated_at: str


class Deleted(TypedDict, total=False):
    """``{"message": "success"}``, or ``status`` with a sentence."""

    message: str
    status: str


class Order(TypedDict):
    """An order as lists and tracking show it. ``status`` is in words ("Fulfilled"); amounts are in cents."""

    id: int
    message: str | None
    size: str | None
    sub_account_id: int | None
    type: str
    display_type: str
    style: int | None
    front_image: str | None
    high_quality_preview: str | None
    authorization_total: int
    grand_total: int
    order_total: int
    total_estimated_recipients: int
    total_recipients: int
    recipient_count: int
    status: str
    method: str
    cancellable: bool
    total_scans: int
    metadata: dict[str, Any] | None
    created_at: str
    updated_at: str


class PlacedOrder(Order):
    """A new order. ``status`` is in lower case ("reviewing"), ``authorization_total`` in cents."""

    user_id: int
    sub_account: dict[str, Any] | None
    leads_fee: int
    mailing_list_ids_used: str | None
    recipients: list[Recipient]
    image_template_id: int | None
    custom_background_url: str | None
    message_template_id: int | None
    handwriting_color: str | None
    font_size: str | None
    append_or_current_resident: bool
    return_name: str | None
    return_address: str | None
    return_address2: str | None
    return_city: str | None
    return_province: str | None
    return_postal_code: str | None
    display_status: str
    display_trigger: str
    addons: dict[str, Any] | None
    qrcode_url: str | None
    giftcard_brand: str | None
    giftcard_image: str | None
    giftcard_amount: int | None
    giftcard_brand_longname: str | None
