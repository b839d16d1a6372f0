"""Each operation of thanks.io's OpenAPI document: it exists here, sends what is documented, and takes the answer."""

from __future__ import annotations

import inspect
import json
import re
from operator import attrgetter
from typing import Any, get_args, get_origin, get_type_hints
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.integration import openapi
from tests.integration.client_server import ScriptedServer, answering
from tests.integration.openapi import Operation
from tests.integration.typed_answers import mismatches
from thanksio_connect.client.api import ThanksIOClient
from thanksio_connect.client.listing import Listing
from thanksio_connect.client.resources.recipients import CreatedRecipient, CreatedRecipients

if not openapi.DOCUMENT.exists():
    pytest.skip("thanks.io's OpenAPI document is not here: set THANKSIO_OPENAPI to its path", allow_module_level=True)

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
OPERATIONS = list(openapi.operations())
CASES = [pytest.param(operation, example, id=f"{operation}-{number}") for operation in OPERATIONS
         for number, example in enumerate(operation.examples or (b"\x89PNG",))]  # fmt: skip


def method_of(operation: Operation, url: str = "http://127.0.0.1:1") -> Any:
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


def test_each_operation_of_the_document_is_here_and_no_other():
    assert {str(operation) for operation in OPERATIONS} == set(OURS)


@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
def test_each_documented_field_is_an_argument_and_what_is_required_has_no_default(operation):
    parameters = inspect.signature(method_of(operation)).parameters
    _, named = arguments(operation)
    assert set(named) <= set(parameters)
    body = operation.body or {}
    required = {name for part in [body, *body.get("allOf", [])] for name in part.get("required", [])}
    required |= {name for name, item in operation.named("query").items() if item.get("required")}
    ours = {name for name in named if parameters[name].default is inspect.Parameter.empty}
    always = set.intersection(*({*way["required"]} for way in body["anyOf"])) if "anyOf" in body else set()
    assert ours == (required | always) & set(named)


@pytest.mark.parametrize(("operation", "example"), CASES)
def test_it_sends_what_is_documented_and_takes_the_answer(operation, example):
    positional, named = arguments(operation)
    is_preview = isinstance(example, dict) and "previews" in str(example.get("data"))
    if "preview" in named:
        named["preview"] = is_preview or operation.path.startswith("/estimate/")
    with ScriptedServer(answering(operation.status, example, {"Content-Type": operation.content_type})) as server:
        method = method_of(operation, server.url)
        answer = method(*positional, **named)
        rows = next(answer.pages()).rows if isinstance(answer, Listing) else None
    (request,) = server.requests

    verb, target, _version = request.line.split()
    parts = urlsplit(target)
    assert (verb, parts.path) == (operation.method, "/api/v2" + re.sub(r"\{\w+\}", "42", operation.path))
    # The number of the first page is not sent: it is the default.
    assert dict(parse_qsl(parts.query)) == {
        name: str(named[name]) for name in operation.named("query") if (name, named[name]) != ("page", 1)
    }
    check_body(request.body, operation, positional, named)
    check_answer(answer if rows is None else rows, example, method)


def check_body(body: bytes, operation: Operation, positional: list[Any], named: dict[str, Any]) -> None:
    sent = json.loads(body) if body else {}
    if operation.body is None:
        assert sent == {}
    elif operation.body.get("type") == "array":
        assert sent == positional[0]
    else:
        wanted = {name: named[name] for name in openapi.properties(operation.body)}
        # False is the default, and a real order does not mention previews.
        assert sent == {name: value for name, value in wanted.items() if (name, value) != ("preview", False)}


def check_answer(answer: Any, example: Any, method: Any) -> None:
    hint = get_type_hints(method)["return"]
    if isinstance(answer, CreatedRecipients):
        answer, hint = answer.rows, list[CreatedRecipient]
    if get_origin(hint) is Listing:
        example, hint = example["data"], list[get_args(hint)[0]]
    name = next((key for path, key in UNWRAPPED.items() if method.__qualname__.lower().replace("_", "") ==
                 path.replace("_", "")), None)  # fmt: skip
    assert answer == (example[name] if name else example)
    assert list(mismatches(answer, hint)) == []


def test_errors_inside_a_success_are_shown_for_each_recipient():
    [operation] = [item for item in OPERATIONS if item.path.endswith("/create-multiple")]
    [example] = operation.examples
    result = CreatedRecipients(example)
    assert [row["name"] for row in result.failed] == [row["name"] for row in example if "error" in row]
    assert len(result.created) + len(result.failed) == len(example)
