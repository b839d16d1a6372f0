"""A server made of thanks.io's OpenAPI document: it knows nothing of ours, and refuses what is not documented."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from jsonschema import Draft202012Validator

from tests.integration.client_server import Received, ScriptedServer, reply
from tests.integration.openapi import Operation, operations

PREFIX = "/api/v2"
PNG = b"\x89PNG\r\n\x1a\n"
_UNDOCUMENTED = {f"custom{number}": {"type": "string"} for number in range(5, 11)}
"""Of a recipient: in thanks.io's changelog of June 2026, and not in the document."""
_IN_AN_EXAMPLE = {"mailing_list": {"type": "integer"}}
"""What the example of ``create-multiple`` calls ``mailing_list_id``."""


@dataclass(frozen=True)
class Refusal:
    """What is wrong with a request: where, and by which rule of the document."""

    place: str
    rule: str


class DocumentedServer(ScriptedServer):
    """Answers each operation with a documented example, or with 422 and the ``refusals``.

    ``failure`` is a documented refusal to answer with instead.
    """

    def __init__(self) -> None:
        super().__init__(self._answer)
        self.refusals: list[Refusal] = []
        self.answered: Any = None
        self.failure: tuple[int, Any] | None = None
        self._operations = [(item, _path_pattern(item)) for item in operations()]

    def _answer(self, connection: socket.socket, received: Received) -> None:
        verb, target, _version = received.line.split()
        parts = urlsplit(target)
        operation, match = self._find(verb, parts.path)
        if operation is None or match is None:
            self.refusals = [Refusal(f"{verb} {parts.path}", "operation")]
            status, self.answered, content_type = 404, {"message": "Not Found"}, "application/json"
        else:
            self.refusals = list(_refusals(operation, match, parts.query, received))
            status, self.answered, content_type = self._chosen(operation, received)
        connection.sendall(reply(status, self.answered, {"Content-Type": content_type, "Connection": "close"}))

    def _find(self, verb: str, path: str) -> tuple[Operation | None, re.Match[str] | None]:
        for operation, pattern in self._operations:
            if operation.method == verb and (match := pattern.fullmatch(path)):
                return operation, match
        return None, None

    def _chosen(self, operation: Operation, received: Received) -> tuple[int, Any, str]:
        if self.refusals:
            errors = {refusal.place: [f"Breaks {refusal.rule}."] for refusal in self.refusals}
            return 422, {"message": "The given data was invalid.", "errors": errors}, "application/json"
        if self.failure is not None:
            return *self.failure, "application/json"
        is_preview = b'"preview": true' in received.body and operation.path.startswith("/send/")
        suitable = [each for each in operation.examples if is_preview == ("previews" in json.dumps(each))]
        return operation.status, (suitable or operation.examples or [PNG])[0], operation.content_type


def _path_pattern(operation: Operation) -> re.Pattern[str]:
    return re.compile(PREFIX + re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", operation.path))


def _refusals(operation: Operation, match: re.Match[str], query: str, received: Received) -> Iterator[Refusal]:
    if not operation.is_public and received.headers.get("authorization") != "Bearer TOKEN":
        yield Refusal("header.Authorization", "security")
    for name, value in match.groupdict().items():
        yield from _breaches(operation.named("path")[name]["schema"], unquote(value), f"path.{name}")
    yield from _query_refusals(operation, query)
    yield from body_refusals(operation, received.body, received.headers.get("content-type", ""))


def _query_refusals(operation: Operation, query: str) -> Iterator[Refusal]:
    documented = operation.named("query")
    given = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query), errors="strict")
    names = [name for name, _value in given]
    for name, value in given:
        if name not in documented or names.count(name) > 1:
            yield Refusal(f"query.{name}", "unknown")
        else:
            yield from _breaches(documented[name]["schema"], value, f"query.{name}")
    for name, item in documented.items():
        if item.get("required") and name not in names:
            yield Refusal(f"query.{name}", "required")


def _breaches(schema: dict[str, Any], text: str, place: str) -> Iterator[Refusal]:
    """What is wrong with a value that HTTP carries as text."""
    value: Any = text
    if schema.get("type") == "integer" and re.fullmatch(r"-?[0-9]+", text):
        value = int(text)
    for error in Draft202012Validator(schema).iter_errors(value):
        yield Refusal(place, error.validator)


def body_refusals(operation: Operation, body: bytes, content_type: str) -> Iterator[Refusal]:
    """What is wrong with a request's body."""
    if operation.body is None:
        if body:
            yield Refusal("body", "unknown")
        return
    if not body:
        if operation.is_body_required:
            yield Refusal("body", "required")
        return
    if content_type != "application/json":
        yield Refusal("header.Content-Type", "application/json")
    for error in Draft202012Validator(strict(operation.body)).iter_errors(json.loads(body)):
        yield Refusal(".".join(["body", *map(str, error.absolute_path)]), error.validator)


def strict(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema, of whose objects none takes a property that is not documented."""
    made = dict(schema)
    parts = [schema, *(part for part in schema.get("allOf", []) if "properties" in part)]
    named = {name: strict(item) for part in parts for name, item in part.get("properties", {}).items()
             if not item.get("readOnly")}  # fmt: skip
    if named:
        made["properties"] = named | (_UNDOCUMENTED | _IN_AN_EXAMPLE if "custom4" in named else {})
        made.setdefault("additionalProperties", False)
        made["allOf"] = [part for part in schema.get("allOf", []) if "properties" not in part]
        if "mailing_list_id" not in named:  # the recipients of a mail piece must name one, and in no example they do
            made.pop("anyOf", None)
    if any(example not in made["enum"] for example in made.get("examples", []) if "enum" in made):
        del made["enum"]  # the colours have names, and by its own example also numbers
    if "items" in made:
        made["items"] = strict(made["items"])
    return made
