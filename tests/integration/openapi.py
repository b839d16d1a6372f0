"""thanks.io's OpenAPI document, which is the vendor's and is not shipped here."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = Path(os.environ.get("THANKSIO_OPENAPI") or ROOT.parent / "shared" / "thanksio-openapi.json")
METHODS = ("get", "post", "put", "patch", "delete")


@dataclass(frozen=True, repr=False)
class Operation:
    """One operation, with all references resolved."""

    method: str
    path: str
    parameters: tuple[dict[str, Any], ...]
    body: dict[str, Any] | None
    status: int
    content_type: str
    answer: dict[str, Any]
    examples: tuple[Any, ...]
    failures: tuple[tuple[int, Any], ...]
    is_public: bool
    is_body_required: bool
    body_examples: tuple[Any, ...]

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    __repr__ = __str__

    def named(self, place: str) -> dict[str, dict[str, Any]]:
        """Its parameters in the path or the query, by name."""
        return {item["name"]: item for item in self.parameters if item["in"] == place}


@cache
def document() -> dict[str, Any]:
    return json.loads(DOCUMENT.read_text(encoding="utf-8"))


def operations() -> Iterator[Operation]:
    """Each operation of the document."""
    for path, item in document()["paths"].items():
        for method in METHODS:
            if method in item:
                yield _operation(method, path, item)


def properties(schema: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The properties of an object that a client sends, those of ``allOf`` included."""
    found = {}
    for part in [schema, *schema.get("allOf", [])]:
        found |= {name: item for name, item in part.get("properties", {}).items() if not item.get("readOnly")}
    return found


def sample(schema: dict[str, Any]) -> Any:
    """A value that the schema would take."""
    for name in ("example", "default"):
        if name in schema:
            return schema[name]
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema.get("type")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "array":
        return [sample(schema.get("items", {}))]
    if kind == "object" or "properties" in schema:
        return {name: sample(item) for name, item in properties(schema).items()}
    return {"integer": 7, "boolean": True}.get(kind, "text")


def _operation(method: str, path: str, item: dict[str, Any]) -> Operation:
    operation = _resolved(item[method])
    request = operation.get("requestBody", {})
    content = request.get("content", {}).get("application/json")
    status, answer = next((int(code), reply) for code, reply in operation["responses"].items() if code[0] == "2")
    content_type, media = next(iter(answer["content"].items()))
    return Operation(
        method=method.upper(),
        path=path,
        parameters=tuple(_resolved([*item.get("parameters", []), *operation.get("parameters", [])])),
        body=content["schema"] if content else None,
        status=status,
        content_type=content_type,
        answer=media.get("schema", {}),
        examples=_examples(media),
        failures=tuple(_failures(operation["responses"])),
        is_public=any("noauthAuth" in way for way in operation.get("security", [])),
        is_body_required=request.get("required", False),
        body_examples=_examples(content or {}),
    )


def _failures(responses: dict[str, Any]) -> Iterator[tuple[int, Any]]:
    """Each documented refusal: its status and a body."""
    for code, answer in responses.items():
        if code[0] != "2":
            media = answer.get("content", {}).get("application/json", {})
            for body in _examples(media) or [sample(media["schema"]) if "schema" in media else {}]:
                yield int(code), body


def _examples(media: dict[str, Any]) -> tuple[Any, ...]:
    named = [example["value"] for example in media.get("examples", {}).values()]
    return tuple(named or [media["example"]] if named or "example" in media else [])


def _resolved(value: Any) -> Any:
    if isinstance(value, list):
        return [_resolved(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "$ref" in value:
        target: Any = document()
        for part in value["$ref"].removeprefix("#/").split("/"):
            target = target[part.replace("~1", "/").replace("~0", "~")]
        return _resolved(target)
    return {name: _resolved(item) for name, item in value.items()}
