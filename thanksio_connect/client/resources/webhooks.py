"""Webhooks that thanks.io calls. For accounts with a paid plan. thanks.io's pages: "Webhooks"."""

from __future__ import annotations

from typing import Literal, TypedDict

from ..arguments import UNSET, Unset, given
from ..listing import Listing
from .resource import Resource
from .shapes import Deleted

WebhookType = Literal["order_item.status_update", "order.status_update", "order_item.delivered", "scans.scan_update"]


class Webhook(TypedDict):
    """A webhook. thanks.io signs nothing, so its ``url`` should be one that nobody can guess."""

    id: int
    user_id: int
    mailing_list_id: int | None
    type: str
    description: str | None
    invoke_count: int
    url: str
    verb: str
    created_at: str
    updated_at: str
    deleted_at: str | None


class Webhooks(Resource):
    """``api.webhooks``."""

    def list(self, *, items_per_page: int | None = None, page: int = 1) -> Listing[Webhook]:
        """List Webhooks. Each page's ``envelope["can_manage_webhooks"]`` tells whether the plan has them."""
        return self._list("/webhooks", page=page, params={"items_per_page": items_per_page})

    def create(
        self,
        *,
        url: str,
        type: WebhookType,
        verb: Literal["post", "get"],
        description: str | Unset | None = UNSET,
        mailing_list_id: int | Unset | None = UNSET,
    ) -> Webhook:
        """Create Webhook, for one type of event, of one mailing list if given. Raises Forbidden without a paid plan."""
        body = given(url=url, type=type, verb=verb, description=description, mailing_list_id=mailing_list_id)
        answer: Webhook = self._call("POST", "/webhooks", json=body)
        return answer

    def update(
        self,
        webhook_id: int | str,
        *,
        url: str,
        type: WebhookType,
        verb: Literal["post", "get"],
        description: str | Unset | None = UNSET,
    ) -> Webhook:
        """Update Webhook. Raises NotFound."""
        body = given(url=url, type=type, verb=verb, description=description)
        answer: Webhook = self._call("PUT", "/webhooks/{webhook_id}", {"webhook_id": webhook_id}, json=body)
        return answer

    def delete(self, webhook_id: int | str) -> Deleted:
        """Delete Webhook. Raises NotFound."""
        answer: Deleted = self._call("DELETE", "/webhooks/{webhook_id}", {"webhook_id": webhook_id})
        return answer
