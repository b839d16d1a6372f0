"""Finds connections, and makes them: the only other writer of tokens beside the refresh engine."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from django.db import DatabaseError, IntegrityError, InterfaceError, models, router, transaction
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from .. import signals
from ..client.tokens import TokenSet
from ..exceptions import NotConnected
from ..fields import EncryptedValue
from ..refresh import connections as databases
from ..refresh import engine
from ..refresh.row import granted_values
from .stale_writes import GuardedQuerySet

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser

    from .connection import ThanksIOConnection

logger = logging.getLogger("thanksio_connect")

ACCOUNT_BUDGET_SECONDS = 5.0


class ThanksIOConnectionManager(models.Manager["ThanksIOConnection"].from_queryset(GuardedQuerySet)):  # type: ignore[misc]
    """Finds and makes connections."""

    def for_user(self, user: AbstractBaseUser) -> ThanksIOConnection:
        """The user's connection. Raises :class:`~thanksio_connect.exceptions.NotConnected`."""
        connection: ThanksIOConnection | None = self.filter(user_id=user.pk).first() if user.pk else None
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
        :class:`~thanksio_connect.exceptions.InvalidTokenResponse` for a mapping that is no token response.
        """
        if not isinstance(token_set, TokenSet):
            token_set = TokenSet.from_response(token_set)
        using = self._db or router.db_for_write(self.model)
        nested = databases.in_transaction(using)
        known = "" if callable(thanksio_user_id) else thanksio_user_id
        values = granted_values(token_set, now=timezone.now())
        for name in ("access_token", "refresh_token"):  # masked in every frame, encrypted once
            values[name] = EncryptedValue(plaintext=values[name])
        if known:  # else an earlier one stays: nothing says that it is another account
            values["thanksio_user_id"] = known
        write = partial(self._grant, user.pk, values)
        created, before, connection = write(using) if nested else databases.persist(using, write)
        connection._state.db = using
        if callable(thanksio_user_id) and (known := thanksio_user_id()):
            self._name_account(connection, known, using)
        changed = before != known if before and known else None
        transaction.on_commit(
            lambda: engine.announce(signals.connected, connection, created=created, account_changed=changed),
            using=using,
        )
        return connection

    def _grant(
        self, user_pk: Any, values: Mapping[str, Any], using: str
    ) -> tuple[bool, str | None, ThanksIOConnection]:
        """Replace the user's row, or insert one. Returns whether it was inserted, the account before, and the row."""
        rows = self.model._base_manager.using(using).filter(user_id=user_pk)
        changes = {**values, "version": models.F("version") + 1, "updated_at": timezone.now()}
        before = rows.values_list("thanksio_user_id", flat=True).first()
        if rows.update(**changes):
            return False, before, rows.get()
        try:
            with transaction.atomic(using=using):
                self.model._base_manager.using(using).create(user_id=user_pk, **values)
        except IntegrityError:
            if not rows.update(**changes):
                raise
            return False, before, rows.get()
        return True, before, rows.get()

    def _name_account(self, connection: ThanksIOConnection, thanksio_user_id: str, using: str) -> None:
        """Write down whose account it is: good to know, but the tokens are stored, and nothing may hide that."""

        def write(using: str) -> None:
            # Not by version: a renewal in between keeps the account, a reconnect does not.
            rows = self.model._base_manager.using(using).filter(pk=connection.pk)
            rows.filter(grant_id=connection.grant_id).update(thanksio_user_id=thanksio_user_id)

        if databases.in_transaction(using):
            write(using)
        else:
            try:
                databases.persist(using, write, budget_seconds=ACCOUNT_BUDGET_SECONDS)
            except (DatabaseError, InterfaceError) as error:
                logger.warning("The thanks.io account's name could not be stored (%s).", type(error).__name__)
        connection.adopt({"thanksio_user_id": thanksio_user_id})
