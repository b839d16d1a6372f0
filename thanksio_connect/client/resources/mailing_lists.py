"""Mailing lists, and the search of addresses around a place. thanks.io's pages: "Mailing Lists"."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal, TypedDict

from ..arguments import UNSET, Unset, given
from ..listing import Listing
from .resource import Resource
from .shapes import Deleted, MailingList, Recipient

MailRecordTypes = Literal[
    "all",
    "likelytomove",
    "likelytorefi",
    "absenteeowner",
    "highnetworth",
    "majorityhomeequity",
    "homefreeclear",
    "underwater",
    "kidsinhousehold",
    "newhomeowner",
    "firsttimehomebuyer",
    "renters",
    "retiring",
    "retired",
    "pool",
    "onlybusinesses",
    "newbusiness",
]
"""What the radius search of a mail piece takes."""
RecordTypes = Literal[MailRecordTypes, "apartmentcomplex", "likelytodownsize"]
"""What a bought radius search takes."""


class BoughtRadiusSearch(TypedDict):
    """``mailing_list_id`` is the list that the bought records were added to."""

    message: str
    mailing_list_id: int
    failure: bool


class RadiusSearchCount(TypedDict):
    """``count`` is how many records the search finds, up to the asked number."""

    status: str
    count: int
    failure: bool


class MailingLists(Resource):
    """``api.mailing_lists``."""

    def list(self, *, items_per_page: int | None = None, page: int = 1) -> Listing[MailingList]:
        """List All. ``items_per_page`` is 25 if not given; ``page`` is where to start."""
        return self._list("/mailing-lists/", page=page, params={"items_per_page": items_per_page})

    def create(
        self,
        *,
        description: str,
        sub_account_id: int | Unset | None = UNSET,
        qrcode_url: str | Unset | None = UNSET,
    ) -> MailingList:
        """Create Mailing List, of the main account unless ``sub_account_id`` is given."""
        body = given(description=description, sub_account_id=sub_account_id, qrcode_url=qrcode_url)
        answer: MailingList = self._call("POST", "/mailing-lists/", json=body)
        return answer

    def get(self, mailing_list_id: int | str) -> MailingList:
        """Get Details. Raises NotFound, and Unauthorized or Forbidden for somebody else's."""
        ids = {"mailing_list_id": mailing_list_id}
        answer: MailingList = self._call("GET", "/mailing-lists/{mailing_list_id}", ids)
        return answer

    def delete(self, mailing_list_id: int | str) -> Deleted:
        """Delete Mailing List, with its recipients. Raises NotFound."""
        ids = {"mailing_list_id": mailing_list_id}
        answer: Deleted = self._call("DELETE", "/mailing-lists/{mailing_list_id}", ids)
        return answer

    def recipients(
        self,
        mailing_list_id: int | str,
        *,
        limit: int | None = None,
        updated_since: datetime | str | None = None,
        page: int = 1,
    ) -> Listing[Recipient]:
        """List Recipients of a list. ``limit`` is the size of a page, 1 to 10000.

        ``updated_since`` is a datetime, or text as ``2020-04-06 01:55:50``. thanks.io does not say in which time
        zone it reads it; a datetime with one is written in UTC.
        """
        if isinstance(updated_since, datetime):
            moment = updated_since.astimezone(UTC) if updated_since.tzinfo else updated_since
            updated_since = f"{moment:%Y-%m-%d %H:%M:%S}"
        return self._list(
            "/mailing-lists-utils/recipients/{mailing_list_id}",
            {"mailing_list_id": mailing_list_id},
            page=page,
            params={"limit": limit, "updated_since": updated_since},
        )

    def buy_radius_search(
        self,
        *,
        address: str,
        postal_code: str,
        record_count: int,
        mailing_list_id: int | Unset | None = UNSET,
        record_types: RecordTypes | Unset = UNSET,
        include_condos: bool | Unset = UNSET,
        append_data: bool | Unset = UNSET,
        use_property_owner: bool | Unset = UNSET,
        include_search_address: bool | Unset = UNSET,
    ) -> BoughtRadiusSearch:
        """Radius Search: buy the nearest addresses. **Charges 5 cents a record**, also in test mode.

        ``append_data`` adds phone and e-mail for 20 cents more a record. ``record_count`` is 1 to 2500, in test mode
        5 at most. Sent once. Raises Conflict if the same was bought within 24 hours: its ``details`` name the
        ``mailing_list_id`` of that purchase. Raises InvalidRequest for too many records (nothing was bought).
        """
        body = given(
            address=address,
            postal_code=postal_code,
            record_count=record_count,
            mailing_list_id=mailing_list_id,
            record_types=record_types,
            include_condos=include_condos,
            append_data=append_data,
            use_property_owner=use_property_owner,
            include_search_address=include_search_address,
        )
        answer: BoughtRadiusSearch = self._call("POST", "/mailing-lists-utils/buy-radius-search", json=body)
        return answer

    def count_radius_search(
        self,
        *,
        address: str,
        postal_code: str,
        record_count: int,
        record_types: RecordTypes | Unset = UNSET,
        include_condos: bool | Unset = UNSET,
    ) -> RadiusSearchCount:
        """Radius Search Count: how many records a purchase would find, up to ``record_count``. Free."""
        body = given(
            address=address,
            postal_code=postal_code,
            record_count=record_count,
            record_types=record_types,
            include_condos=include_condos,
        )
        path = "/mailing-lists-utils/count-radius-search"
        answer: RadiusSearchCount = self._call("POST", path, json=body, is_read=True)
        return answer
