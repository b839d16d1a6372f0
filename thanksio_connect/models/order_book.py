"""The book of keys in the database: each of its steps is committed before the request, or after the answer.

In a transaction of the caller's a step runs on a private session (PostgreSQL, MariaDB), so that a rollback does not
undo it. SQLite has one writer at a time, so there nothing can be durable inside a transaction, and nothing is sent.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from django.db import DatabaseError, IntegrityError, InterfaceError, models, router, transaction

from ..client.order_book import RESEND_AFTER_SECONDS, Entry
from ..database import facts, sessions
from ..database.moments import DatabaseMoment
from ..exceptions import NotConnected, OutcomeUnknown, SendOnceRefused
from ..records import record
from ..refresh import doors, places, statements
from ..refresh.token_row import Key, new_id
from .sent_order import SentOrder
from .tokens import ConnectionTokens

if TYPE_CHECKING:
    from .connection import ThanksIOConnection


T = TypeVar("T")
# An entry that is there at the insert and gone at the look was freed in between.
_TRIES = 5


class OrderBook:
    """The book of one connection's user."""

    def __init__(self, connection: ThanksIOConnection) -> None:
        self.connection_id: object = connection.pk
        self._connection = connection
        self._alias = router.db_for_write(SentOrder, instance=connection)
        self._account: dict[str, str] = {}  # as the columns have it

    def claim(self, key: str, fingerprint: str, operation: str) -> Entry:
        """Write the key, or return the entry that it has.

        Raises SendOnceRefused in a transaction beside which nothing can be committed, NotConnected for a connection
        that is gone, and ReconnectRequired for one without tokens.
        """
        is_beside = self._is_beside_a_transaction()
        now: Any = DatabaseMoment()
        row = SentOrder(
            user_id=self._connection.user_id,
            key=key,
            key_digest=digest(key),
            operation=operation,
            fingerprint=fingerprint,
            attempt_id=new_id(),
            created_at=now,
            attempted_at=now,
        )

        def step(using: str) -> Entry:
            if is_beside:
                self._check_visible(using)
            self._look_whose(using)
            for name, value in self._account.items():
                setattr(row, name, value)
            for _try in range(_TRIES):
                if _insert(using, row):
                    return Entry(row.id, fingerprint, row.attempt_id, is_mine=True)
                if (found := self._rows(using).filter(key_digest=row.key_digest).first()) is not None:
                    return self._entry(found, row.attempt_id)
            raise OutcomeUnknown(code="unsettled")

        return self._commit(step)

    def look_up(self, key: str) -> Entry | None:
        """Return the key's entry."""
        row = self._rows(self._alias).filter(key_digest=digest(key)).first()
        return None if row is None else self._entry(row)

    def take_over(self, entry: Entry) -> Entry | None:
        """Begin another attempt, if the entry's is still the last one and old enough."""
        attempt_id = new_id()
        values: dict[str, Any] = {**self._account, "attempt_id": attempt_id, "attempted_at": DatabaseMoment()}
        values["attempts"] = models.F("attempts") + 1

        def step(using: str) -> bool:
            rows = _open(using, entry.id)
            last = rows.filter(attempt_id=entry.attempt_id, attempted_at__lte=DatabaseMoment(-RESEND_AFTER_SECONDS))
            return bool(last.update(**values)) or rows.filter(attempt_id=attempt_id).exists()

        if not self._commit(step):
            return None
        return replace(entry, attempt_id=attempt_id, attempts=entry.attempts + 1, is_mine=True)

    def mark_sent(self, entry: Entry, order_id: int, answer: Mapping[str, Any]) -> bool:
        """Write the outcome, whosever attempt it is. Returns False if another order stands there.

        A database that fails loses nothing: the entry stays open, and the order is found in thanks.io's list.
        """
        values = {
            "state": SentOrder.State.SENT,
            "order_id": order_id,
            "answer": json.dumps(dict(answer)),
            "sent_at": DatabaseMoment(),
        }

        def step(using: str) -> bool:
            if _open(using, entry.id).update(**values):
                return True
            row = SentOrder._base_manager.using(using).filter(pk=entry.id).first()
            return row is None or row.order_id == order_id

        try:
            return self._commit(step, budget_seconds=sessions.STORE_BUDGET_SECONDS)
        except (DatabaseError, InterfaceError) as error:
            words = {"error": type(error).__name__}
            record("send_once.not_marked", words=words, connection_id=self.connection_id, order_id=order_id)
            return True

    def free(self, entry: Entry) -> None:
        """Remove the entry of this attempt. If the database fails, it stays open for ten minutes."""

        def step(using: str) -> None:
            _open(using, entry.id).filter(attempt_id=entry.attempt_id).delete()

        try:
            self._commit(step)
        except (DatabaseError, InterfaceError) as error:
            words = {"error": type(error).__name__}
            record("send_once.not_freed", words=words, connection_id=self.connection_id)

    def _look_whose(self, using: str) -> None:
        """Read which account the connection leads to: the owner may have reconnected since the instance was loaded.

        The instance follows, so that the request goes to that account.
        """
        tokens = self._connection._tokens_to_use()
        rows = ConnectionTokens._base_manager.using(using).filter(connection_id=self._connection.pk)
        found = rows.values_list("pk", "connection__thanksio_user_id").first()
        if found is None:
            raise NotConnected
        if tokens.pk != found[0] and not (doors.reread(tokens) and tokens.pk == found[0]):
            raise NotConnected
        self._account = {
            "connection_id": str(self._connection.pk),
            "grant_id": found[0],
            "thanksio_user_id": found[1],
        }

    def _rows(self, using: str) -> models.QuerySet[SentOrder]:
        rows = SentOrder._base_manager.using(using).filter(user_id=self._connection.user_id)
        return rows.annotate(now=DatabaseMoment())

    def _entry(self, row: Any, attempt_id: str = "") -> Entry:
        return Entry(
            id=row.id,
            fingerprint=row.fingerprint,
            attempt_id=row.attempt_id,
            attempts=row.attempts,
            is_mine=row.attempt_id == attempt_id,  # an insert whose reply was lost
            is_sent=row.state == SentOrder.State.SENT,
            age_seconds=(row.now - row.attempted_at).total_seconds(),
            first_age_seconds=(row.now - row.created_at).total_seconds(),
            began_at=row.created_at,
            is_same_account=self._is_same_account(row),
            answer=json.loads(row.answer) if row.answer else None,
        )

    def _is_same_account(self, row: SentOrder) -> bool:
        """By thanks.io's user id where both are known; else the grant must be the same."""
        here = self._account.get("thanksio_user_id")
        if here and row.thanksio_user_id:
            return here == row.thanksio_user_id
        return self._account.get("grant_id") == row.grant_id

    def _is_beside_a_transaction(self) -> bool:
        """Whether the steps run on private sessions. Raises SendOnceRefused where the transaction allows none."""
        if not facts.in_transaction(self._alias) or facts.in_testcase(self._alias):
            return False
        if facts.has_one_writer(self._alias):
            raise SendOnceRefused(
                "send_once() was called inside a transaction on SQLite, where nothing can be committed before the "
                "request. Call it outside of atomic() and ATOMIC_REQUESTS.",
                code="in_transaction",
            )
        return True

    def _check_visible(self, using: str) -> None:
        """A private session that sees other rows than the caller would write the key where nobody finds it."""
        tokens = self._connection._tokens_to_use()
        key = Key(ConnectionTokens, tokens.pk, tokens.connection_id, tokens.version)
        row = statements.load(using, key)
        if row is None or places.is_another(row, key, vars(tokens)):
            raise SendOnceRefused(
                "send_once() was called inside a transaction, and a database session beside it does not see the "
                "connection (made in this transaction, or see THANKSIO_PREPARE_SESSION). Call it outside of atomic().",
                code="in_transaction",
            )

    def _commit(self, step: Callable[[str], T], *, budget_seconds: float = sessions.STEP_BUDGET_SECONDS) -> T:
        if not facts.in_transaction(self._alias):
            return sessions.committed(self._alias, step, budget_seconds=budget_seconds)
        is_test = facts.in_testcase(self._alias)
        return sessions.committed(
            self._alias, step, on_callers=is_test, on_private=not is_test, budget_seconds=budget_seconds
        )


def digest(key: str) -> str:
    """Return what the key is found by."""
    return hashlib.sha256(key.encode()).hexdigest()


def _open(using: str, entry_id: str) -> models.QuerySet[SentOrder]:
    return SentOrder._base_manager.using(using).filter(pk=entry_id, state=SentOrder.State.SENDING)


def _insert(using: str, row: SentOrder) -> bool:
    try:
        with transaction.atomic(using=using):
            SentOrder._base_manager.using(using).bulk_create([row])  # which sends no signal
    except IntegrityError:
        return False
    return True
