"""Paths of the API: how an id comes into one, and how one stands in a log."""

from __future__ import annotations

import re
from collections.abc import Mapping

_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")
_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")
_WORD = re.compile(r"[a-z]{1,40}(?:-[a-z]{1,40}){0,5}")


def fill(template: str, ids: Mapping[str, int | str]) -> str:
    """Return the path of a template such as ``/orders/{order_id}/track``.

    An id is an int, or text of letters, digits, ``-`` and ``_``: none can leave its place in the path. Raise
    TypeError or ValueError, which names the id and never shows it.
    """
    missing = [name for name in _PLACEHOLDER.findall(template) if name not in ids]
    if missing:
        raise ValueError(f"The path needs ids[{missing[0]!r}].")
    return _PLACEHOLDER.sub(lambda match: _segment(match[1], ids[match[1]]), template)


def _segment(name: str, value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise TypeError(f"{name} must be an int or a str.")
    text = str(int(value)) if isinstance(value, int) else str.__str__(value)
    if not _ID.fullmatch(text):
        raise ValueError(f"{name} must have 1 to 100 letters, digits, '-' and '_', and nothing else.")
    return text


def loggable(path: str) -> str:
    """Return a raw path without what may be somebody's: ids become ``{}``, and the query is left out.

    A segment stands in the log only if it looks like a word of the vendor's, such as ``mailing-lists``.
    """
    bare = path.partition("?")[0].partition("#")[0]
    return "/".join(part if not part or _WORD.fullmatch(part) else "{}" for part in bare.split("/"))
