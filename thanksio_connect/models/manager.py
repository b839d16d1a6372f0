"""Finds connections, and makes them: the only other writer of tokens beside the refresh engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from django.db import DatabaseError, IntegrityError, InterfaceError, connections, models, router, transaction
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from .. import signals
from ..client.tokens import TokenSet
from ..database import facts, sessions
from ..exceptions import NotConnected
from ..fields import utc_now
from ..history.announcements import send
from ..history.events import Kind, writer_after_commit
from ..records import record
from ..refresh import statements
from ..refresh.rollback_guard import GRANT_ID
from ..refresh.token_row import Status, granted_values
from .tokens import ConnectionTokens

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser
    from django.contrib.auth.models import AnonymousUser

    from .connection import ThanksIOConnection


@dataclass(frozen=True)
class _Granted:
    """A grant as it was written."""

    connection: ThanksIOConnection
    created: bool
    account_before: str


class ThanksIOConnectionQuerySet(models.QuerySet["ThanksIOConnection"]):
    """Connections by their state. Each brings its tokens along."""

    def connected(self) -> ThanksIOConnectionQuerySet:
        """Those that work."""
        return self.select_related("tokens").filter(tokens__status=Status.CONNECTED)

    def needing_reconnect(self) -> ThanksIOConnectionQuerySet:
        """Those that only their owners can make work again."""
        is_theirs = models.Q(tokens=None) | models.Q(tokens__status=Status.RECONNECT_REQUIRED)
        return self.select_related("tokens").filter(is_theirs)

    def due(self) -> ThanksIOConnectionQuerySet:
        """Those that ``refresh_thanksio_tokens`` would renew now."""
        return self.connected().filter(tokens__next_refresh_at__lte=utc_now())


class ThanksIOConnectionManager(models.Manager["ThanksIOConnection"]):
    """Finds and makes connections. The query set's methods are spelled out, for type checkers that run no plugin."""

    _queryset_class = ThanksIOConnectionQuerySet

    def get_queryset(self) -> ThanksIOConnectionQuerySet:
        """As in Django."""
        return cast("ThanksIOConnectionQuerySet", super().get_queryset())

    def connected(self) -> ThanksIOConnectionQuerySet:
        """Those that work."""
        return self.get_queryset().connected()

    def needing_reconnect(self) -> ThanksIOConnectionQuerySet:
        """Those that only their owners can make work again."""
        return self.get_queryset().needing_reconnect()

    def due(self) -> ThanksIOConnectionQuerySet:
        """Those that ``refresh_thanksio_tokens`` would renew now."""
        return self.get_queryset().due()

    def for_user(self, user: AbstractBaseUser | AnonymousUser) -> ThanksIOConnection:
        """The user's connection, with its tokens, in one query. Raises ``NotConnected``."""
        user_pk: Any = user.pk
        connection = self.select_related("tokens").filter(user_id=user_pk).first() if user_pk else None
        if connection is None:
            raise NotConnected
        return connection

    @sensitive_variables()
    def connect(
        self,
        user: AbstractBaseUser,
        token_set: TokenSet | Mapping[str, object],
        *,
        thanksio_user_id: str | Callable[[], str] = "",
    ) -> ThanksIOConnection:
        """Create the user's connection or replace its tokens; sends ``connected`` after the commit.

        ``token_set`` may be the token endpoint's JSON (RFC 6749 5.1). A refresh that is in flight for the old grant
        can't overwrite the new one. In autocommit a write that fails is tried again for a minute; in a transaction
        of the caller's it is part of that. A callable ``thanksio_user_id`` is asked once the tokens are stored. Raises
        :class:`~thanksio_connect.exceptions.InvalidTokenResponse` for a mapping that is no token response, and the
        database's error, with a log record of level CRITICAL, if the tokens could not be stored.
        """
        if not isinstance(token_set, TokenSet):
            token_set = TokenSet.from_response(token_set)
        using = self._db or router.db_for_write(self.model)
        known = "" if callable(thanksio_user_id) else thanksio_user_id
        granted = self._store(user.pk, granted_values(token_set), known, using)
        connection = granted.connection
        if callable(thanksio_user_id) and (known := thanksio_user_id()):
            self._name_account(connection, known, using)
        changed = granted.account_before != known if granted.account_before and known else None
        write_down = writer_after_commit(using, connection.user_id, connection_id=connection.pk)
        announce = partial(_announce, connection, write_down, created=granted.created, account_changed=changed)
        setattr(announce, GRANT_ID, connection.tokens.pk)
        transaction.on_commit(announce, using=using)
        return connection

    def _store(self, user_pk: Any, values: Mapping[str, Any], account: str, using: str) -> _Granted:
        """Store a grant durably, or as a part of the caller's transaction."""
        try:
            if facts.in_transaction(using):
                granted = self._grant(user_pk, values, account, using)
            else:
                granted = sessions.committed(
                    using,
                    lambda session: self._grant(user_pk, values, account, session),
                    budget_seconds=sessions.STORE_BUDGET_SECONDS,
                )
        except (DatabaseError, InterfaceError) as error:
            record("tokens.lost:granted", connection_id=None, user_id=user_pk, code=type(error).__name__)
            raise
        for row in (granted.connection, granted.connection.tokens):
            row._state.db = using
        return granted

    def _grant(self, user_pk: Any, values: Mapping[str, Any], account: str, using: str) -> _Granted:
        """Replace the user's grant, or insert one."""
        nested = facts.in_transaction(using)
        rows = self._rows_of(user_pk, using)
        now = timezone.now()
        with transaction.atomic(using=using):
            waits = facts.lock_wait(connections[using], statements.LOCK_WAIT_SECONDS)
            with nullcontext() if nested else waits:
                created = not rows.update(connected_at=now, updated_at=now) and self._insert(user_pk, now, using)
            before: str = rows.values_list("thanksio_user_id", flat=True).get()
            if account:  # else an earlier one stays: nothing says that it is another account
                rows.update(thanksio_user_id=account)
            pk = rows.values_list("pk", flat=True).get()
            tokens = ConnectionTokens._base_manager.using(using)
            if not tokens.filter(connection_id=pk).update(**values):
                tokens.bulk_create([ConnectionTokens(connection_id=pk, **values)])  # which sends no signal
            mine = self.model._base_manager.using(using).filter(pk=pk).select_related("tokens").first()
            return _Granted(mine or rows.select_related("tokens").get(), created, before)

    @staticmethod
    def _rows_of(user_pk: Any, using: str) -> models.QuerySet[ThanksIOConnection]:
        """The user's connection, which a subclass of the project's may not know yet."""
        model: Any = ConnectionTokens._meta.get_field("connection").related_model
        rows: models.QuerySet[ThanksIOConnection] = model._base_manager.using(using).filter(user_id=user_pk)
        return rows

    def _insert(self, user_pk: Any, now: Any, using: str) -> bool:
        """Insert the connection. Returns False if another session did just now."""
        try:
            with transaction.atomic(using=using):
                self.model._base_manager.using(using).create(user_id=user_pk, connected_at=now)
        except IntegrityError:
            if not self._rows_of(user_pk, using).update(connected_at=now):
                raise
            return False
        return True

    def _name_account(self, connection: ThanksIOConnection, thanksio_user_id: str, using: str) -> None:
        """Write down whose account it is: good to know, but the tokens are stored, and nothing may hide that."""

        def write(session: str) -> None:
            # By the grant: a renewal in between keeps the account, a reconnect does not.
            grant = ConnectionTokens._base_manager.using(session).filter(pk=connection.tokens.pk)
            if grant.exists():
                rows = self.model._base_manager.using(session).filter(pk=connection.pk)
                rows.update(thanksio_user_id=thanksio_user_id)

        if facts.in_transaction(using):
            write(using)
        else:
            try:
                sessions.committed(using, write)
            except (DatabaseError, InterfaceError) as error:
                ids: dict[str, Any] = {"connection_id": connection.pk, "user_id": connection.user_id}
                record("connection.account_not_stored", code=type(error).__name__, **ids)
        connection.thanksio_user_id = thanksio_user_id


def _announce(
    connection: ThanksIOConnection,
    write_down: Callable[[Kind], object],
    *,
    created: bool,
    account_changed: bool | None,
) -> None:
    """Write the event down, log it and send the signal: the tokens are committed."""
    kind = Kind.CONNECTED if created else Kind.ACCOUNT_CHANGED if account_changed else Kind.RECONNECTED
    try:
        write_down(kind)
    finally:  # whatever interrupts
        _tell(connection, kind, created=created, account_changed=account_changed)


def _tell(connection: ThanksIOConnection, kind: Kind, *, created: bool, account_changed: bool | None) -> None:
    record("connection.connected", connection_id=connection.pk, user_id=connection.user_id, code=kind.value)
    send(
        signals.connected,
        ConnectionTokens._meta.get_field("connection").related_model,
        connection=connection,
        created=created,
        account_changed=account_changed,
    )
