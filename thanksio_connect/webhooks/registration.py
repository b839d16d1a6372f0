"""Make what is registered at thanks.io what is wanted: one webhook a type, at the connection's own address."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import get_args

from ..client.resources.webhooks import Webhook, Webhooks, WebhookType
from ..exceptions import NotFound
from .address import Address


@dataclass
class Changes:
    """How many webhooks were created, updated and deleted."""

    created: int = 0
    updated: int = 0
    deleted: int = 0

    def __bool__(self) -> bool:
        return bool(self.created or self.updated or self.deleted)


def wanted_types(types: Iterable[WebhookType]) -> list[WebhookType]:
    """Each type once. Raises ``ValueError`` for one that thanks.io does not document."""
    known = get_args(WebhookType)
    wanted = list(dict.fromkeys(types))
    if unknown := [each for each in wanted if each not in known]:
        raise ValueError(f"thanks.io has no webhook of the type {unknown[0]!r}, but {', '.join(known)}.")
    return wanted


def register(webhooks: Webhooks, wanted: list[WebhookType], address: Address, base: str) -> Changes:
    """Create what is missing, update what points elsewhere, then delete what is not wanted. Others' stay."""
    url, changes = address.url(base), Changes()
    mine = [each for each in webhooks.list() if not each.get("deleted_at") and address.is_in(each["url"])]
    missing, spare = list(wanted), []
    for each in sorted(mine, key=lambda each: _is_right(each, url), reverse=True):
        if each["type"] not in missing or each.get("mailing_list_id") is not None:
            spare.append(each)
            continue
        is_there = _is_right(each, url) or _moved(webhooks, each, url, changes)
        if is_there:
            missing = [kind for kind in missing if kind != each["type"]]
    for kind in missing:
        webhooks.create(url=url, type=kind, verb="post", description="thanksio_connect")
        changes.created += 1
    for each in spare:
        _delete(webhooks, each, changes)
    return changes


def _is_right(webhook: Webhook, url: str) -> bool:
    return webhook["url"] == url and webhook["verb"].lower() == "post"


def _moved(webhooks: Webhooks, webhook: Webhook, url: str, changes: Changes) -> bool:
    """Let it call the site's present address. Returns False if it was deleted meanwhile."""
    kind: WebhookType = webhook["type"]  # type: ignore[assignment]
    try:
        webhooks.update(webhook["id"], url=url, type=kind, verb="post")
    except NotFound:
        return False
    changes.updated += 1
    return True


def _delete(webhooks: Webhooks, webhook: Webhook, changes: Changes) -> None:
    try:
        webhooks.delete(webhook["id"])
    except NotFound:  # somebody else was first
        return
    changes.deleted += 1
