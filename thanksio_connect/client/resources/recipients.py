"""Recipients: the people on mailing lists. thanks.io's pages: "Recipients"."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Unpack

from ...exceptions import InvalidRequest
from ..api_errors import texts
from ..arguments import UNSET, Unset, given, named_fields
from .resource import Resource, rows_of
from .shapes import Deleted, Recipient, RecipientFields


class NewRecipient(RecipientFields, total=False):
    """An item of ``create_multiple``: a person, and the mailing list's id (thanks.io's example: ``mailing_list``)."""

    mailing_list_id: int
    mailing_list: int


class CreatedRecipient(Recipient, total=False):
    """A row of ``create_multiple``'s answer. ``error`` says why this one was not added."""

    error: str


@dataclass(frozen=True, repr=False)
class CreatedRecipients:
    """What became of each: ``rows`` as thanks.io answered, of which ``created`` and ``failed`` are parts."""

    rows: list[CreatedRecipient]

    @property
    def created(self) -> list[CreatedRecipient]:
        """The rows without an ``error``."""
        return [row for row in self.rows if not row.get("error")]

    @property
    def failed(self) -> list[CreatedRecipient]:
        """The rows with an ``error``, such as "This address is already on this mailing list."."""
        return [row for row in self.rows if row.get("error")]

    def raise_for_errors(self) -> None:
        """Raise InvalidRequest if one was not added; its ``errors`` are by the row's index. The others were added."""
        failures = {str(index): row["error"] for index, row in enumerate(self.rows) if row.get("error")}
        errors = {index: list(texts(error)) or [str(error)] for index, error in failures.items()}
        if errors:
            raise InvalidRequest(status_code=200, code="some_recipients_failed", errors=errors)

    def __repr__(self) -> str:
        return f"CreatedRecipients(created={len(self.created)}, failed={len(self.failed)})"


class Recipients(Resource):
    """``api.recipients``."""

    def get(self, recipient_id: int | str) -> Recipient:
        """Get Recipient. Raises NotFound, and Unauthorized or Forbidden for somebody else's."""
        answer: Recipient = self._call("GET", "/recipients/{recipient_id}", {"recipient_id": recipient_id})
        return answer

    @named_fields
    def create(self, *, mailing_list_id: int, **fields: Unpack[RecipientFields]) -> Recipient:
        """Create Recipient: add a person to a mailing list, by ``address`` or by ``email``.

        An e-mail alone makes thanks.io look up the address, **which it charges for**: this is sent once. Raises
        InvalidRequest for an unknown mailing list, and TypeError without an address and an email.
        """
        if not fields.get("address") and not fields.get("email"):
            raise TypeError("create() needs an address or an email.")
        body = {"mailing_list_id": mailing_list_id, **fields}
        answer: Recipient = self._call("POST", "/recipients", json=body)
        return answer

    def create_multiple(self, recipients: Iterable[NewRecipient]) -> CreatedRecipients:
        """Create Multiple Recipients. Each needs its list, and an address or an e-mail (whose look-up **is charged**).

        One that can't be added does not stop the others and raises nothing: see ``failed`` of what is returned.
        """
        rows: Any = self._ask("POST", "/recipients-utils/create-multiple", json=list(recipients))
        return CreatedRecipients(rows_of(rows, "data"))

    @named_fields
    def update(
        self,
        recipient_id: int | str,
        *,
        mailing_list_id: int | Unset = UNSET,
        **fields: Unpack[RecipientFields],
    ) -> Recipient:
        """Update Recipient: change the given fields. Raises InvalidRequest for an unknown mailing list, NotFound."""
        body = given(mailing_list_id=mailing_list_id, **fields)
        ids = {"recipient_id": recipient_id}
        answer: Recipient = self._call("PUT", "/recipients/{recipient_id}", ids, json=body)
        return answer

    def delete(self, recipient_id: int | str) -> Deleted:
        """Delete Recipient. Raises NotFound."""
        answer: Deleted = self._call("DELETE", "/recipients/{recipient_id}", {"recipient_id": recipient_id})
        return answer

    def delete_by_address(
        self,
        *,
        mailing_list_id: int,
        address: str | Unset = UNSET,
        address2: str | Unset | None = UNSET,
        city: str | Unset | None = UNSET,
        province: str | Unset | None = UNSET,
        postal_code: str | Unset = UNSET,
        country: str | Unset | None = UNSET,
        email: str | Unset = UNSET,
    ) -> Deleted:
        """Delete Recipient By Address: by ``address`` and ``postal_code``, or by ``email``.

        Raises InvalidRequest for an unknown mailing list, and TypeError without either.
        """
        if email is UNSET and (address is UNSET or postal_code is UNSET):
            raise TypeError("delete_by_address() needs an address with a postal_code, or an email.")
        body = given(
            mailing_list_id=mailing_list_id,
            address=address,
            address2=address2,
            city=city,
            province=province,
            postal_code=postal_code,
            country=country,
            email=email,
        )
        answer: Deleted = self._call("POST", "/recipients-utils/delete-by-address", json=body)
        return answer
