"""The same client for ``async`` code: each call runs in a thread, so the event loop goes on.

There is no second HTTP stack: what the synchronous client promises of tokens, deadlines and repeats holds as it is.
asgiref's thread-sensitive thread is used, as by Django's own ORM: under ASGI each request has one of its own, so the
calls of one request run one after another, and none waits for another request's.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from asgiref.sync import sync_to_async

from .listing import Listing, Page
from .rate_limit import DOCUMENTED_PER_MINUTE
from .resources.resource import Resource

if TYPE_CHECKING:
    from .api import ThanksIOClient

T = TypeVar("T")
Row = TypeVar("Row")


class AsyncThanksIOClient:
    """``await client.orders.track(17)``, ``async for order in client.orders.list()``, or a function of the client.

    A call that is cancelled is not taken back: thanks.io may have acted on it, and a renewal under way is stored.
    Raises what the synchronous client raises; AttributeError at once for a resource or an operation that is none.
    """

    def __init__(self, client: ThanksIOClient) -> None:
        self._client = client

    async def __call__(self, call: Callable[[ThanksIOClient], T]) -> T:
        """Run several calls in one go, known to type checkers: ``await client(lambda api: api.orders.track(17))``."""
        return await _in_thread(lambda: call(self._client))

    def paced(self, *, per_minute: float = DOCUMENTED_PER_MINUTE) -> AsyncThanksIOClient:
        """The same client for a sweep in the background; see :meth:`ThanksIOClient.paced`."""
        return AsyncThanksIOClient(self._client.paced(per_minute=per_minute))

    def __getattr__(self, name: str) -> Any:
        return _mirrored(self._client, name)


class _AsyncResource:
    def __init__(self, resource: Resource) -> None:
        self._resource = resource

    def __getattr__(self, name: str) -> Any:
        return _mirrored(self._resource, name)


class AsyncListing(Generic[Row]):
    """The rows of all pages, one page in memory at a time; each iteration asks anew."""

    def __init__(self, listing: Listing[Row]) -> None:
        self._listing = listing

    async def __aiter__(self) -> AsyncIterator[Row]:
        async for page in self.pages():
            for row in page.rows:
                yield row

    async def pages(self) -> AsyncIterator[Page[Row]]:
        """The pages instead of the rows."""
        pages = self._listing.pages()
        while (page := await _in_thread(lambda: next(pages, None))) is not None:
            yield page

    async def count(self) -> int:
        """What thanks.io says of all pages; TypeError if it does not say."""
        return await _in_thread(lambda: len(self._listing))


def _mirrored(thing: object, name: str) -> Any:
    """A resource, an operation, or a plain value, for code that awaits."""
    if name.startswith("_"):
        raise AttributeError(name)
    value = getattr(thing, name)
    if isinstance(value, Resource):
        return _AsyncResource(value)
    return _operation(value) if callable(value) else value


def _operation(method: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        return _Call(method.__qualname__, lambda: method(*args, **kwargs))

    return call


class _Call(Coroutine[Any, Any, Any]):
    """What an operation gives: a coroutine, which runs once; where it gives a list, it can be iterated as well.

    As any coroutine it makes a task, warns if it is not awaited, and can't be awaited again: that would send again.
    """

    def __init__(self, name: str, call: Callable[[], Any]) -> None:
        self._coroutine = _answer(call)
        self._coroutine.__qualname__ = name  # type: ignore[attr-defined]  # Python's warning shows it
        self._listing: Any = None

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._coroutine.__await__()

    def send(self, value: Any) -> Any:
        return self._coroutine.send(value)

    def throw(self, *error: Any) -> Any:
        return self._coroutine.throw(*error)

    def close(self) -> None:
        self._coroutine.close()

    async def __aiter__(self) -> AsyncIterator[Any]:
        self._listing = self._listing or await self
        async for row in self._listing:
            yield row


async def _answer(call: Callable[[], Any]) -> Any:
    answer = await _in_thread(call)
    return AsyncListing(answer) if isinstance(answer, Listing) else answer


def _in_thread(call: Callable[[], T]) -> Awaitable[T]:
    return sync_to_async(call, thread_sensitive=True)()
