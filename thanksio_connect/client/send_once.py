"""Orders under a key: the same key again gives the same order, and no second letter.

thanks.io has no idempotency keys, so a book is kept. Who writes a key into it sends; what came of that is written
after. An entry without an outcome (its sender was killed, or got no answer) is first looked for in thanks.io's list of
orders, and sent again only if it is not there and the attempt is older than ten minutes. This room knows the rule; the
book is given to it.
"""

from __future__ import annotations

import json as jsonlib
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from ..exceptions import (
    APIError,
    Conflict,
    ConnectionStateError,
    NotSent,
    OAuthError,
    OutcomeUnknown,
    SendOnceRefused,
    ServerError,
    ThanksIOConfigurationError,
    ThanksIOError,
    Throttled,
    UnsendableValue,
)
from ..records import record
from .order_book import RESEND_AFTER_SECONDS, Asked, Book, Entry, checked_key, facts_of, order_id_of
from .order_search import ID_NAME, KEY_NAME, Source, is_of, search
from .resources.mailing_lists import MailingLists
from .resources.orders import Orders
from .resources.resource import Operations
from .resources.send import Send

# A request that has not begun so long after its entry (this process was stopped) is not sent: others may soon send it.
LATEST_START_SECONDS = 120.0
# thanks.io refuses the same purchase of addresses for 24 hours. Later nothing tells whether it was made.
REFUSES_DUPLICATES_SECONDS = 23 * 3600.0
MAX_METADATA_BYTES = 8192
# The statuses of 4xx with which something on the way may give up a request that thanks.io goes on with.
_OF_A_PROXY = frozenset({408, 499})


class Once:
    """Makes one call under a key; it is what the resources call."""

    def __init__(self, key: str, book: Book, caller: Operations, source: Source, ready: Callable[[], object]) -> None:
        self._key = checked_key(key)
        self._book = book
        self._caller = caller
        self._ready = ready
        self._source = source

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
        """Return the order of the key: as it was sent before, or now."""
        asked = Asked.of(template, ids, json)
        began = time.monotonic()
        entry = replace(self._book.claim(self._key, asked.fingerprint, asked.operation), began=began)
        if entry.fingerprint != asked.fingerprint:
            raise SendOnceRefused(
                "Other fields were sent under this key. Take another key for another order.", code="other_fields"
            )
        if not entry.is_mine and not entry.is_sent:
            entry = self._settle(entry, asked)
        if entry.is_sent:
            return self._known(entry, asked)
        return self._send(method, entry, asked)

    def _known(self, entry: Entry, asked: Asked) -> dict[str, Any]:
        record("send_once.repeated", **self._facts(entry))
        answer = dict(entry.answer or {})
        if asked.is_listed and "metadata" not in answer:
            answer["metadata"] = self._metadata(entry, asked.body.get("metadata"))
        return answer

    def _settle(self, entry: Entry, asked: Asked) -> Entry:
        """Find out what became of an attempt, or begin another. Raises OutcomeUnknown while neither can be done."""
        if asked.is_listed and (found := self._find(entry, asked)) is not None:
            self._mark(entry, found, asked)
            return replace(entry, is_sent=True, answer=found)
        if not entry.is_same_account:
            raise _unknown(
                "The connection leads to another thanks.io account now than when this key was sent, so nobody can tell "
                "whether it was. Look in the account's orders, and take a new key if it is not there.",
                "other_account",
            )
        if not asked.is_listed and entry.first_age_seconds > REFUSES_DUPLICATES_SECONDS:
            raise _unknown(
                "Nobody can tell any more whether this purchase was made. Look in the account's mailing lists; take "
                "another key if it is not there.",
                "too_old",
            )
        began = time.monotonic()
        taken = self._book.take_over(entry) if entry.age_seconds >= RESEND_AFTER_SECONDS else None
        if taken is None:
            raise OutcomeUnknown(
                "Another attempt under this key is under way, or has broken off. Try again in ten minutes: by then its "
                "order stands in thanks.io's list, or it is sent again.",
                code="unsettled",
            )
        record("send_once.taken_over", **self._facts(taken))
        return replace(taken, began=began)

    def _find(self, entry: Entry, asked: Asked) -> dict[str, Any] | None:
        for sub_account_id in self._sub_accounts(asked):
            order = search(self._source, is_of(entry), since=entry.began_at, sub_account_id=sub_account_id)
            if order is not None:
                return {**order}
        return None

    def _sub_accounts(self, asked: Asked) -> Iterator[int | None]:
        """thanks.io does not say whether its list without a filter has the orders of sub accounts."""
        yield None
        sub_account = asked.body.get("sub_account")
        if asked.is_replay:
            sub_account = self._original(asked).get("sub_account_id")
        if isinstance(sub_account, int):
            yield sub_account

    def _original(self, asked: Asked) -> Mapping[str, Any]:
        """The order that is replayed."""
        assert asked.ids is not None
        tracking: Any = self._source.first.track(asked.ids["order_id"])
        data = tracking.get("data") if isinstance(tracking, dict) else None
        order = data.get("order") if isinstance(data, dict) else None
        if not isinstance(order, dict):
            raise NotSent("thanks.io did not tell the metadata of the order to replay; nothing was sent. Try again.")
        return order

    def _send(self, method: str, entry: Entry, asked: Asked) -> Any:
        with self._freed_if_refused(entry, asked):
            self._ready()
            body = self._body(entry, asked)
            if time.monotonic() - entry.began > LATEST_START_SECONDS:
                raise NotSent("The request began too late after its key was written; nothing was sent. Try again.")
        try:
            answer = self._caller.operation(method, asked.template, asked.ids, json=body)
        except (ThanksIOError, ThanksIOConfigurationError) as error:
            if (bought := _bought_before(error, entry, asked)) is not None:
                answer = bought
            else:
                self._conclude(entry, asked, error)
                raise
        self._mark(entry, answer, asked)
        return answer

    @contextmanager
    def _freed_if_refused(self, entry: Entry, asked: Asked) -> Iterator[None]:
        """Whatever fails inside, the order was not sent. (An interruption leaves the entry: the next call looks.)"""
        try:
            yield
        except (ThanksIOError, ThanksIOConfigurationError) as error:
            self._free(entry, asked, error)
            raise

    def _body(self, entry: Entry, asked: Asked) -> dict[str, Any] | None:
        if not asked.is_listed:
            return {**asked.body}
        own = asked.body.get("metadata")
        if asked.is_replay and "metadata" not in asked.body:
            own = self._original(asked).get("metadata")
        metadata = self._metadata(entry, own)
        if len(jsonlib.dumps(metadata, ensure_ascii=False, separators=(",", ":")).encode()) > MAX_METADATA_BYTES:
            raise UnsendableValue("metadata", f"has more than {MAX_METADATA_BYTES} bytes with the key")
        return {**asked.body, "metadata": metadata}

    def _metadata(self, entry: Entry, own: Any) -> dict[str, Any]:
        return {**(own if isinstance(own, dict) else {}), KEY_NAME: self._key, ID_NAME: entry.id}

    def _conclude(self, entry: Entry, asked: Asked, error: ThanksIOError | ThanksIOConfigurationError) -> None:
        if _is_refusal(error):
            self._free(entry, asked, error)
        else:
            record("send_once.unknown", words={"code": error.code}, **self._facts(entry))

    def _free(self, entry: Entry, asked: Asked, error: ThanksIOError | ThanksIOConfigurationError) -> None:
        """Let the key be sent again. An earlier purchase stays open: only its repetition tells what became of it."""
        if asked.is_listed or entry.attempts == 1:
            self._book.free(entry)
        record("send_once.refused", words={"code": error.code}, **self._facts(entry))

    def _mark(self, entry: Entry, answer: Any, asked: Asked) -> None:
        order_id = order_id_of(answer, asked)
        if order_id is None:
            record("send_once.unknown:no_id", **self._facts(entry))
            raise OutcomeUnknown("thanks.io took the order and gave no id for it; look before you send it again.")
        if self._book.mark_sent(entry, order_id, facts_of(answer)):
            record("send_once.sent", **self._facts(entry, order_id))
        else:
            record("send_once.twice", **self._facts(entry, order_id))

    def _facts(self, entry: Entry, order_id: int | None = None) -> dict[str, Any]:
        """What each log record has."""
        ids = {"connection_id": self._book.connection_id, "order_id": order_id}
        return {"key": self._key, "attempts": entry.attempts, **ids}


class SendOnce(Send):
    """``connection.send_once(key)``: the methods of ``api.send``, ``replay`` and ``buy_radius_search``, each once.

    A key stands for one order. Called again with the same fields, a method returns that order and sends nothing.
    Beside what ``api.send`` raises: OutcomeUnknown (``unsettled``: try again in ten minutes) and SendOnceRefused.
    """

    def __init__(self, once: Once) -> None:
        super().__init__(once)
        self.replay = Orders(once).replay
        self.buy_radius_search = MailingLists(once).buy_radius_search

    def _send(self, path: str, preview: bool, fields: Any) -> Any:
        radius_search = fields.get("radius_search")
        if preview or (isinstance(radius_search, Mapping) and radius_search.get("preview")):
            raise SendOnceRefused("A preview is no order: take connection.api.send for it.", code="preview")
        return super()._send(path, preview, fields)


def _unknown(sentence: str, code: str) -> OutcomeUnknown:
    """An outcome that no waiting tells."""
    error = OutcomeUnknown(sentence, code=code)
    error.retryable = False
    return error


def _is_refusal(error: ThanksIOError | ThanksIOConfigurationError) -> bool:
    """Whether the error says that nothing was ordered.

    Those of the token (``ConnectionStateError``, ``OAuthError``, ``Throttled``) come before the request, or after
    thanks.io has refused it with a 401.
    """
    if isinstance(error, APIError):
        is_of_a_proxy = error.status_code in _OF_A_PROXY
        return not isinstance(error, ServerError) and 400 <= error.status_code < 500 and not is_of_a_proxy
    before = (NotSent, Throttled, UnsendableValue, ConnectionStateError, OAuthError, ThanksIOConfigurationError)
    return isinstance(error, before)


def _bought_before(error: Exception, entry: Entry, asked: Asked) -> dict[str, Any] | None:
    """What an earlier attempt bought, where thanks.io refuses its repetition as a duplicate."""
    if asked.is_listed or entry.attempts == 1 or not isinstance(error, Conflict):
        return None
    mailing_list_id = error.details.get("mailing_list_id")
    if mailing_list_id is None:
        return None
    return {"message": "success", "mailing_list_id": mailing_list_id, "failure": False}
