"""Each operation of thanks.io's OpenAPI document: it exists here, sends what is documented, and takes the answer."""

from __future__ import annotations

import inspect
import json
import re
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.integration import openapi
from tests.integration.client_server import ScriptedServer, answering
from tests.integration.openapi import Operation
from tests.integration.openapi_methods import OURS, arguments, check_answer, method_of
from thanksio_connect.client.listing import Listing
from thanksio_connect.client.resources.recipients import CreatedRecipients

if not openapi.DOCUMENT.exists():
    pytest.skip("thanks.io's OpenAPI document is not here: set THANKSIO_OPENAPI to its path", allow_module_level=True)

OPERATIONS = list(openapi.operations())
CASES = [pytest.param(operation, example, id=f"{operation}-{number}") for operation in OPERATIONS
         for number, example in enumerate(operation.examples or (b"\x89PNG",))]  # fmt: skip


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
        answer = next(answer.pages()).rows if isinstance(answer, Listing) else answer
    (request,) = server.requests

    verb, target, _version = request.line.split()
    parts = urlsplit(target)
    assert (verb, parts.path) == (operation.method, "/api/v2" + re.sub(r"\{\w+\}", "42", operation.path))
    # The number of the first page is not sent: it is the default.
    assert dict(parse_qsl(parts.query)) == {
        name: str(named[name]) for name in operation.named("query") if (name, named[name]) != ("page", 1)
    }
    check_body(request.body, operation, positional, named)
    check_answer(answer, example, method)


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


def test_errors_inside_a_success_are_shown_for_each_recipient():
    [operation] = [item for item in OPERATIONS if item.path.endswith("/create-multiple")]
    [example] = operation.examples
    result = CreatedRecipients(example)
    assert [row["name"] for row in result.failed] == [row["name"] for row in example if "error" in row]
    assert len(result.created) + len(result.failed) == len(example)
