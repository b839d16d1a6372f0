"""The app's log records: each has a stable name and fields that are JSON. ``docs/log-records.md`` lists them."""

from __future__ import annotations

import logging
from typing import Any

LOGGER = logging.getLogger("thanksio_connect")
_JSON = (str, int, float, bool, type(None))


def record(level: int, event: str, text: str, *args: object, logger: logging.Logger = LOGGER, **fields: Any) -> None:
    """Log ``text % args``, with ``thanksio_event`` and the fields as ``extra``.

    Each field's name gets the prefix ``thanksio_``: Python's own attributes stay, and a JSON formatter needs no other.
    """
    if not logger.isEnabledFor(level):
        return
    values = {"event": event, **fields}
    extra = {f"thanksio_{name}": value if isinstance(value, _JSON) else str(value) for name, value in values.items()}
    logger.log(level, text, *args, extra=extra, stacklevel=2)
