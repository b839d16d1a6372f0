"""Values that JSON does not know, as Django encodes them. What is left is refused by its field's name.

This room imports no Django, so a lazy text is told by its class's name.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

from ..exceptions import UnsendableValue

_DEEPEST = 50


def plain(value: object, field: str = "") -> Any:
    """Return the value in the types of JSON.

    Lazy text, UUID and Decimal become text; dates and times ISO 8601, cut to milliseconds, as by Django's
    ``DjangoJSONEncoder``. Raise UnsendableValue for anything else; it names the field and never shows the value.
    """
    return _plain(value, field, 0)


def plain_query(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return query parameters as :func:`plain` does; a boolean is 1 or 0, as Laravel reads it. Objects are refused."""
    return {name: _parameter(value, name) for name, value in plain(params).items()}


def _parameter(value: Any, field: str) -> Any:
    if isinstance(value, list):
        return [_parameter(item, f"{field}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, dict):
        raise UnsendableValue(field, "is an object, which a query can't have")
    return int(value) if isinstance(value, bool) else value


def _plain(value: object, field: str, depth: int) -> Any:
    if depth > _DEEPEST:
        raise UnsendableValue(field.partition(".")[0].partition("[")[0], "is nested too deeply")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Mapping):
        plain_items = {_key(name, field): _plain(item, _below(field, name), depth + 1) for name, item in value.items()}
        if len(plain_items) < len(value):
            raise UnsendableValue(field, "has a key twice, such as 1 and '1'")
        return plain_items
    if isinstance(value, list | tuple):
        return [_plain(item, f"{field}[{index}]", depth + 1) for index, item in enumerate(value)]
    return _scalar(value, field)


def _scalar(value: object, field: str) -> str | int | float:
    if is_lazy_text(value):
        return _text(str(value), field)
    for kind, encode in _ENCODERS:
        if isinstance(value, kind):
            return encode(value, field)
    raise UnsendableValue(field, f"is of the type {type(value).__name__}, which JSON does not know")


def is_lazy_text(value: object) -> bool:
    """Whether the value is what ``gettext_lazy`` gives (``django.utils.functional.Promise``)."""
    return any(
        base.__name__ == "Promise" and base.__module__ == "django.utils.functional" for base in type(value).__mro__
    )


def _key(name: object, field: str) -> str:
    if is_lazy_text(name):
        return _text(str(name), field)
    if isinstance(name, str):
        return _text(name, field)
    if isinstance(name, int) and not isinstance(name, bool):
        return str(int(name))
    raise UnsendableValue(field, "has a key that is no text")


def _below(field: str, name: object) -> str:
    # A key of metadata may be anybody's text: a field's name is shown, and nothing else.
    shown = name if isinstance(name, str) and name.isidentifier() and len(name) <= 40 else "?"
    return f"{field}.{shown}" if field else str(shown)


def _text(value: str, field: str) -> str:
    text = str.__str__(value)
    try:
        text.encode()
    except UnicodeEncodeError:
        pass  # raised outside, so that it carries no piece of the value
    else:
        return text
    raise UnsendableValue(field, "has half a character (a lone surrogate)")


def _number(value: float, field: str) -> float:
    if not math.isfinite(value):
        raise UnsendableValue(field, "is no finite number")
    return float(value)


def _datetime(value: datetime, field: str) -> str:
    text = value.isoformat()
    if value.microsecond:
        text = text[:23] + text[26:]
    return f"{text.removesuffix('+00:00')}Z" if text.endswith("+00:00") else text


def _time(value: time, field: str) -> str:
    if value.tzinfo is not None:
        raise UnsendableValue(field, "is a time with a time zone")
    text = value.isoformat()
    return text[:12] if value.microsecond else text


_ENCODERS: tuple[tuple[type, Callable[[Any, str], str | int | float]], ...] = (
    (str, _text),
    (int, lambda value, field: int(value)),
    (float, _number),
    (Decimal, lambda value, field: str(value)),
    (UUID, lambda value, field: str(value)),
    (datetime, _datetime),
    (date, lambda value, field: value.isoformat()),
    (time, _time),
)
