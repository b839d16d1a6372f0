"""Sub-accounts of an account, such as the customers of an agency. thanks.io's pages: "Sub Accounts"."""

from __future__ import annotations

import builtins
from typing import Any, NotRequired, Unpack

from ..arguments import named_fields
from .mail_fields import ReturnAddress
from .resource import Resource, rows_of
from .shapes import Deleted


class SubAccount(ReturnAddress):
    """A sub-account. ``branding_fields`` (name, e-mail, company …) come with ``get`` and ``list``."""

    id: int
    user_id: int
    title: str
    branding_fields: NotRequired[dict[str, Any] | None]
    created_at: str
    updated_at: str


class SubAccounts(Resource):
    """``api.sub_accounts``."""

    def list(self) -> builtins.list[SubAccount]:
        """List All, in one answer."""
        rows: builtins.list[SubAccount] = rows_of(self._ask("GET", "/sub-accounts/"), "data")
        return rows

    @named_fields
    def create(self, *, title: str, **fields: Unpack[ReturnAddress]) -> SubAccount:
        """Create Sub Account, with the return address of its mail. Raises InvalidRequest, Forbidden."""
        answer: SubAccount = self._call("POST", "/sub-accounts/", json={"title": title, **fields})
        return answer

    def get(self, sub_account_id: int | str) -> SubAccount:
        """Get Details. Raises NotFound."""
        ids = {"sub_account_id": sub_account_id}
        answer: SubAccount = self._call("GET", "/sub-accounts/{sub_account_id}", ids)
        return answer

    @named_fields
    def update(self, sub_account_id: int | str, *, title: str, **fields: Unpack[ReturnAddress]) -> SubAccount:
        """Update Sub Account: replace its title and return address."""
        ids = {"sub_account_id": sub_account_id}
        body = {"title": title, **fields}
        answer: SubAccount = self._call("PUT", "/sub-accounts/{sub_account_id}", ids, json=body)
        return answer

    def delete(self, sub_account_id: int | str) -> Deleted:
        """Delete Sub Account. Its orders and mailing lists go to the main account; **its templates are deleted**."""
        ids = {"sub_account_id": sub_account_id}
        answer: Deleted = self._call("DELETE", "/sub-accounts/{sub_account_id}", ids)
        return answer
