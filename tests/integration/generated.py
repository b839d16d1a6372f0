"""Arguments for a method, by the types in its signature alone."""

from __future__ import annotations

import inspect
import types
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, Literal, NotRequired, Required, Union, get_args, get_origin, get_type_hints, is_typeddict

from hypothesis import strategies as st

from thanksio_connect.client.arguments import Unset

NUMBERS = st.integers(1, 18)  # within every documented range
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
JSON_VALUES = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXTS
_SIMPLE: dict[Any, st.SearchStrategy[Any]] = {
    str: TEXTS,
    int: NUMBERS,
    bool: st.booleans(),
    datetime: st.datetimes(),
    date: st.dates(),
    Any: JSON_VALUES,
}


def calls(method: Any) -> st.SearchStrategy[tuple[list[Any], dict[str, Any]]]:
    """Positional and named arguments. Ids are numbers, and a list starts at its first page."""
    hints = get_type_hints(inspect.unwrap(method), include_extras=True)
    positional, required, optional = [], {}, {}
    for name, parameter in inspect.signature(inspect.unwrap(method)).parameters.items():
        if name == "self":
            continue
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            fields_required, fields_optional = _members(get_args(hints[name])[0])
            required |= fields_required
            optional |= fields_optional
        elif parameter.kind is not inspect.Parameter.KEYWORD_ONLY:
            positional.append(NUMBERS if name.endswith("_id") else values(hints[name]))
        elif name != "page":
            part = required if parameter.default is inspect.Parameter.empty else optional
            part[name] = values(hints[name])
    return st.tuples(st.tuples(*positional).map(list), st.fixed_dictionaries(required, optional=optional))


def values(hint: Any) -> st.SearchStrategy[Any]:
    """Values of a type. None is left out: it is sent as null, of which the document says nothing."""
    if hint in _SIMPLE:
        return _SIMPLE[hint]
    if is_typeddict(hint):
        required, optional = _members(hint)
        return st.fixed_dictionaries(required, optional=optional)
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Literal:
        return st.sampled_from(inner)
    if origin in (Union, types.UnionType):
        return st.one_of([values(one) for one in inner if one not in (types.NoneType, Unset)])
    if issubclass(origin, Mapping):
        return st.dictionaries(TEXTS, values(inner[1]), max_size=3)
    if issubclass(list, origin) or issubclass(origin, Sequence):
        return st.lists(values(inner[0]), min_size=1, max_size=2)
    raise TypeError(f"no values for {hint}")


def _members(typed_dict: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    hints = get_type_hints(typed_dict, include_extras=True)
    made = {name: values(_bare(hint)) for name, hint in hints.items()}
    required = typed_dict.__required_keys__
    return ({name: made[name] for name in made if name in required},
            {name: made[name] for name in made if name not in required})  # fmt: skip


def _bare(hint: Any) -> Any:
    return get_args(hint)[0] if get_origin(hint) in (Required, NotRequired) else hint
