"""Which method of ours is which operation of thanks.io's OpenAPI document, and whether its answer is what was sent."""

from __future__ import annotations

from operator import attrgetter
from typing import Any, get_args, get_origin, get_type_hints

from tests.integration import openapi
from tests.integration.openapi import Operation
from tests.integration.typed_answers import mismatches
from thanksio_connect.client.api import ThanksIOClient
from thanksio_connect.client.listing import Listing
from thanksio_connect.client.resources.recipients import CreatedRecipient, CreatedRecipients

MAIL_PIECES = ("postcard", "windowedletter", "windowlessletter", "notecard", "magnacard", "giftcard")
OURS = {
    **{f"POST /{family}/{piece}": f"{family}.{piece}" for family in ("send", "estimate") for piece in MAIL_PIECES},
    "GET /recipients/{recipientId}": "recipients.get",
    "PUT /recipients/{recipientId}": "recipients.update",
    "DELETE /recipients/{recipientId}": "recipients.delete",
    "POST /recipients": "recipients.create",
    "POST /recipients-utils/create-multiple": "recipients.create_multiple",
    "POST /recipients-utils/delete-by-address": "recipients.delete_by_address",
    "GET /mailing-lists/": "mailing_lists.list",
    "POST /mailing-lists/": "mailing_lists.create",
    "GET /mailing-lists/{mailingListId}": "mailing_lists.get",
    "DELETE /mailing-lists/{mailingListId}": "mailing_lists.delete",
    "GET /mailing-lists-utils/recipients/{mailingListId}": "mailing_lists.recipients",
    "POST /mailing-lists-utils/buy-radius-search": "mailing_lists.buy_radius_search",
    "POST /mailing-lists-utils/count-radius-search": "mailing_lists.count_radius_search",
    "GET /build/image-template": "build_image_template",
    "GET /handwriting-styles": "handwriting_styles.list",
    "GET /giftcard-brands": "giftcard_brands.grouped",
    "GET /giftcard-brands-list": "giftcard_brands.list",
    "GET /sub-accounts/": "sub_accounts.list",
    "POST /sub-accounts/": "sub_accounts.create",
    "GET /sub-accounts/{subAccountId}": "sub_accounts.get",
    "PUT /sub-accounts/{subAccountId}": "sub_accounts.update",
    "DELETE /sub-accounts/{subAccountId}": "sub_accounts.delete",
    "GET /image-templates/": "image_templates.list",
    "GET /message-templates/": "message_templates.list",
    "POST /message-templates/": "message_templates.create",
    "GET /message-templates/{messageTemplateId}": "message_templates.get",
    "PATCH /message-templates/{messageTemplateId}": "message_templates.update",
    "DELETE /message-templates/{messageTemplateId}": "message_templates.delete",
    "GET /webhooks": "webhooks.list",
    "POST /webhooks": "webhooks.create",
    "PUT /webhooks/{webhookId}": "webhooks.update",
    "DELETE /webhooks/{webhookId}": "webhooks.delete",
    "GET /orders/list": "orders.list",
    "GET /orders/{orderId}/track": "orders.track",
    "GET /orders/{orderId}/items": "orders.items",
    "PUT /orders/{orderId}/cancel": "orders.cancel",
    "POST /orders/{orderId}/replay": "orders.replay",
    "PUT /order-items/{orderItemId}/invalidate-giftcard": "order_items.invalidate_giftcard",
}
UNWRAPPED = {"sub_accounts.list": "data", "handwriting_styles.list": "data", "giftcard_brands.list": "brands"}


def method_of(operation: Operation, url: str = "http://127.0.0.1:1") -> Any:
    """The method, of a client that speaks to ``url``."""
    return attrgetter(OURS[str(operation)])(ThanksIOClient.with_bearer_token("TOKEN", api_url=f"{url}/api/v2"))


def arguments(operation: Operation) -> tuple[list[Any], dict[str, Any]]:
    """Everything that is documented, as arguments of our method."""
    positional: list[Any] = [42 for _ in operation.named("path")]
    named = {name: openapi.sample(item["schema"]) for name, item in operation.named("query").items()}
    if operation.body and operation.body.get("type") == "array":
        positional.append([openapi.sample(operation.body["items"])])
    elif operation.body:
        named |= {name: openapi.sample(item) for name, item in openapi.properties(operation.body).items()}
    return positional, named


def check_answer(answer: Any, example: Any, method: Any) -> None:
    """Assert that the method gave back what the server sent, and that it is of the types that it promises."""
    hint = get_type_hints(method)["return"]
    if isinstance(answer, CreatedRecipients):
        answer, hint = answer.rows, list[CreatedRecipient]
    if get_origin(hint) is Listing:
        example, hint = example["data"], list[get_args(hint)[0]]
    name = next((key for path, key in UNWRAPPED.items() if method.__qualname__.lower().replace("_", "") ==
                 path.replace("_", "")), None)  # fmt: skip
    assert answer == (example[name] if name else example)
    assert list(mismatches(answer, hint)) == []
