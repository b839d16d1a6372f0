"""Keyword arguments under thanks.io's own names: one that was not given, and one that does not exist."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable
from enum import Enum
from typing import Any, Final, ParamSpec, TypeVar, get_args, get_type_hints

P = ParamSpec("P")
R = TypeVar("R")


class Unset(Enum):
    """Tells an argument that was not given from one that is None: None is sent, as JSON's null."""

    UNSET = "not given"

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final = Unset.UNSET


def given(**fields: Any) -> dict[str, Any]:
    """Return the fields that were given."""
    return {name: value for name, value in fields.items() if value is not UNSET}


def named_fields(method: Callable[P, R]) -> Callable[P, R]:
    """Make ``**fields: Unpack[SomeTypedDict]`` take those names alone, and show them in the signature.

    A type checker holds the names already; this raises TypeError for one that it could not see.
    """
    names = list(get_type_hints(get_args(get_type_hints(method)["fields"])[0]))
    signature = inspect.signature(method)
    own = [item for item in signature.parameters.values() if item.kind is not inspect.Parameter.VAR_KEYWORD]
    kind = inspect.Parameter.KEYWORD_ONLY
    shown = signature.replace(parameters=[*own, *(inspect.Parameter(name, kind, default=UNSET) for name in names)])

    @functools.wraps(method)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        for name in kwargs:
            if name not in shown.parameters:
                raise TypeError(f"{method.__name__}() has no field {name!r}.{_hint(name, shown)}")
        return method(*args, **{name: value for name, value in kwargs.items() if value is not UNSET})  # type: ignore[arg-type]

    checked.__signature__ = shown  # type: ignore[attr-defined]
    return checked


def _hint(name: str, signature: inspect.Signature) -> str:
    close = difflib.get_close_matches(name, signature.parameters, n=1)
    return f" Did you mean {close[0]!r}?" if close else ""
