"""Whether a value is what a type hint says: JSON's types, unions, lists and ``TypedDict`` (unknown fields pass)."""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Any, Union, get_args, get_origin, get_type_hints, is_typeddict


def mismatches(value: object, hint: Any, where: str = "answer") -> Iterator[str]:
    """Each place where the value is not of the hint's type."""
    if hint is Any:
        return
    if is_typeddict(hint):
        yield from _members(value, hint, where)
    elif get_origin(hint) in (Union, types.UnionType):
        found = [list(mismatches(value, one, where)) for one in get_args(hint)]
        yield from min(found, key=len)
    elif get_origin(hint) is list:
        if not isinstance(value, list):
            yield f"{where} is {type(value).__name__}, not a list"
            return
        for index, item in enumerate(value):
            yield from mismatches(item, get_args(hint)[0], f"{where}[{index}]")
    elif get_origin(hint) is dict:
        if not isinstance(value, dict):
            yield f"{where} is {type(value).__name__}, not an object"
            return
        for name, item in value.items():
            yield from mismatches(item, get_args(hint)[1], f"{where}.{name}")
    elif not isinstance(value, hint) or (isinstance(value, bool) and hint is int):
        yield f"{where} is {type(value).__name__}, not {hint.__name__}"


def _members(value: object, hint: Any, where: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{where} is {type(value).__name__}, not {hint.__name__}"
        return
    for name, kind in get_type_hints(hint).items():
        if name in value:
            yield from mismatches(value[name], kind, f"{where}.{name}")
