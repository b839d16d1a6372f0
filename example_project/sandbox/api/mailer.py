"""What ``/send/postcard`` and ``/estimate/postcard`` accept: the same body, the same refusals."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from example_project.sandbox.api import catalogue
from example_project.sandbox.models import MailingList
from thanksio_connect.testing import api_shapes

METADATA_LIMIT_BYTES = 8192
AUDIENCES = ("recipients", "mailing_list_ids", "radius_search")


class Refused(Exception):
    """The body is not acceptable: a status and thanks.io's words."""

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        self.status = status
        self.body = body
        super().__init__(status)


@dataclass(frozen=True)
class Postcard:
    """A checked request. ``fields`` is the body as it came."""

    fields: Mapping[str, Any]
    size: str
    style: int
    recipients: list[dict[str, Any]]

    @property
    def international(self) -> int:
        return sum(_country(recipient) not in catalogue.UNITED_STATES for recipient in self.recipients)

    @property
    def pending_email_lookups(self) -> int:
        return sum(not recipient.get("address") for recipient in self.recipients)

    @property
    def piece_cents(self) -> int:
        discount = catalogue.STANDARD_MAIL_DISCOUNT_CENTS if self.fields.get("send_standard_mail") else 0
        return catalogue.POSTCARD_CENTS[self.size] - discount

    @property
    def international_cents(self) -> int:
        return self.international * (self.piece_cents + catalogue.INTERNATIONAL_SURCHARGE_CENTS)

    @property
    def united_states_cents(self) -> int:
        return (len(self.recipients) - self.international) * self.piece_cents

    @property
    def total_cents(self) -> int:
        return self.united_states_cents + self.international_cents


def parse_body(raw: bytes) -> dict[str, Any]:
    """A JSON object; anything else is refused as Laravel refuses a body without fields."""
    try:
        body = json.loads(raw or b"{}")
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise invalid({"body": ["The body must be a JSON object."]})
    return body


def invalid(errors: Mapping[str, list[str]]) -> Refused:
    return Refused(422, api_shapes.invalid(errors))


def read_postcard(user: Any, raw: bytes) -> Postcard:
    """Check the body. Raises :class:`Refused`."""
    fields = parse_body(raw)
    errors: dict[str, list[str]] = {}
    _check_content(fields, errors)
    recipients = _check_recipients(fields, errors)
    if errors:
        raise invalid(errors)
    if fields.get("sub_account") is not None:
        raise Refused(400, {"message": "Sub Account ID does not exist"})
    recipients += _from_lists(user, fields.get("mailing_list_ids") or [])
    return Postcard(
        fields=fields,
        size=fields.get("size") or "4x6",
        style=fields.get("handwriting_style_id") or catalogue.DEFAULT_STYLE_ID,
        recipients=recipients,
    )


def _check_content(fields: Mapping[str, Any], errors: dict[str, list[str]]) -> None:
    template_id, front = fields.get("image_template_id"), fields.get("front_image_url")
    if template_id is None and not front:
        errors["front_image_url"] = ["The front image url field is required when image template id is not present."]
    if template_id is not None and not _is_choice(template_id, catalogue.IMAGE_TEMPLATES):
        errors["image_template_id"] = ["The selected image template id is invalid."]
    if front and not (isinstance(front, str) and front.startswith(("http://", "https://"))):
        errors["front_image_url"] = ["The front image url field must be a valid URL."]
    if not isinstance(fields.get("message") or "", str):
        errors["message"] = ["The message field must be a string."]
    if fields.get("size") not in (None, "") and not _is_choice(fields["size"], catalogue.POSTCARD_CENTS):
        errors["size"] = ["The selected size is invalid."]
    style = fields.get("handwriting_style_id")
    if style not in (None, "") and not _is_choice(style, catalogue.HANDWRITING_STYLES):
        errors["handwriting_style_id"] = ["The selected handwriting style id is invalid."]
    metadata = fields.get("metadata")
    if metadata is not None and not isinstance(metadata, dict):
        errors["metadata"] = ["The metadata field must be a JSON object."]
    elif metadata and len(json.dumps(metadata).encode()) > METADATA_LIMIT_BYTES:
        errors["metadata"] = [f"The metadata field must not be greater than {METADATA_LIMIT_BYTES} bytes."]


def _check_recipients(fields: Mapping[str, Any], errors: dict[str, list[str]]) -> list[dict[str, Any]]:
    if not any(fields.get(audience) for audience in AUDIENCES):
        errors["recipients"] = [
            "The recipients field is required when none of mailing list ids / radius search are present."
        ]
    if fields.get("radius_search"):
        errors["radius_search"] = ["The sandbox has no radius search. Send recipients or mailing list ids."]
    given = fields.get("recipients") or []
    if not isinstance(given, list):
        errors["recipients"] = ["The recipients field must be an array."]
        return []
    for index, recipient in enumerate(given):
        if not isinstance(recipient, dict):
            errors[f"recipients.{index}"] = [f"The recipients.{index} field must be an array."]
        elif not recipient.get("address") and not recipient.get("email"):
            errors[f"recipients.{index}.address"] = [
                f"The recipients.{index}.address field is required when there is no recipients.{index}.email."
            ]
    return [_known(recipient) for recipient in given if isinstance(recipient, dict)]


def _from_lists(user: Any, ids: Any) -> Iterable[dict[str, Any]]:
    wanted = {pk for pk in ids if type(pk) is int} if isinstance(ids, list) else set()
    lists = MailingList.objects.filter(user=user, pk__in=wanted)
    if not isinstance(ids, list) or len(lists) != len(ids):
        raise Refused(400, api_shapes.NO_MAILING_LIST)
    return [_known(recipient) for mailing_list in lists for recipient in mailing_list.recipients]


def _is_choice(value: Any, choices: Mapping[Any, Any]) -> bool:
    return isinstance(value, int | str) and not isinstance(value, bool) and value in choices


def _known(recipient: Mapping[str, Any]) -> dict[str, Any]:
    return {name: recipient.get(name) for name in api_shapes.RECIPIENT_FIELDS}


def _country(recipient: Mapping[str, Any]) -> str:
    return str(recipient.get("country") or "").strip().upper()
