"""What the resources have in common: they call operations, and list pages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from ...exceptions import ServerError
from ..listing import Listing


class Operations(Protocol):
    """Calls an operation; :class:`~thanksio_connect.client.calls.Caller` does."""

    def operation(
        self,
        method: str,
        template: str,
        ids: Mapping[str, int | str] | None = None,
        *,
        params: Mapping[str, Any] | None = None,
        json: object = None,
        is_read: bool | None = None,
    ) -> Any:
        """Return the decoded answer."""


class Resource:
    """A part of the API. It keeps nothing but its way to call."""

    def __init__(self, caller: Operations) -> None:
        self._ask = caller.operation

    def _call(self, method: str, *request: Any, **options: Any) -> Any:
        """Return the answer, which must be an object. That of a DELETE may be empty."""
        answer = self._ask(method, *request, **options)
        if isinstance(answer, dict) or (answer is None and method == "DELETE"):
            return answer
        raise unreadable("thanks.io accepted the request, but its answer is no object; look before you send it again.")

    def _list(
        self,
        template: str,
        ids: Mapping[str, int | str] | None = None,
        *,
        page: int,
        params: Mapping[str, Any],
    ) -> Listing[Any]:
        """List pages. A parameter that is None is left out, and so is the number of the first page."""
        asked = {name: value for name, value in params.items() if value is not None}

        def fetch(number: int) -> Any:
            return self._ask("GET", template, ids, params=asked if number == 1 else asked | {"page": number})

        return Listing(fetch, page)


def rows_of(answer: Any, name: str) -> Any:
    """Return the rows of a list that comes in one answer, bare or under ``name``. Each must be an object."""
    rows = answer.get(name) if isinstance(answer, dict) else answer
    if isinstance(rows, list) and all(isinstance(row, dict) for row in rows):
        return rows
    raise unreadable("thanks.io answered with something that is no list.")


def unreadable(sentence: str) -> ServerError:
    """Return the error for a success that is not of the documented kind."""
    return ServerError(sentence, status_code=200, code="invalid_response")
