"""The rows: one connection for a user, and one authorization request for each flow that was started."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.exceptions import FieldError
from django.db import IntegrityError, models, router, transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_variables

from . import signals
from .client.api import ThanksIOClient
from .client.tokens import TokenSet
from .client.transport import Transport
from .conf import app_settings, transport_config
from .exceptions import NotConnected
from .fields import EncryptedTokenField, EncryptedValue
from .refresh import connections as databases
from .refresh import engine, schedule
from .refresh.rows import ASSIGNABLE_COLUMNS, ENGINE_COLUMNS, Status, granted_values

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser
    from django.db.models.query import QuerySet

GUARDED_COLUMNS = ENGINE_COLUMNS - ASSIGNABLE_COLUMNS
# ``update_or_create()`` saves every datetime column, assigned or not: these are left out rather than refused.
_WRITTEN_BY_DJANGO = {"lease_expires_at", "last_refreshed_at", "connected_at"}


def _refuse(columns: Iterable[str]) -> None:
    if guarded := sorted(GUARDED_COLUMNS.intersection(columns)):
        raise FieldError(
            f"{', '.join(guarded)}: written by the refresh engine alone, for a stale write would lose the connection. "
            "Call ThanksIOConnection.objects.connect(user, token_set) to store tokens, connection.refresh() to renew "
            "them, connection.disconnect() to remove them."
        )


def _differ(value: object, loaded: object) -> bool:
    return value is not loaded and (isinstance(loaded, EncryptedValue) or value != loaded)


class ThanksIOConnectionQuerySet(models.QuerySet["ThanksIOConnection"]):
    """A queryset that can't overwrite tokens."""

    def update(self, **kwargs: Any) -> int:
        """As in Django, but refuses the engine's columns with :class:`~django.core.exceptions.FieldError`."""
        _refuse(kwargs)
        return super().update(**kwargs)

    def bulk_update(self, objs: Iterable[ThanksIOConnection], fields: Iterable[str], *args: Any, **kwargs: Any) -> int:
        """As in Django, but refuses the engine's columns with :class:`~django.core.exceptions.FieldError`."""
        fields = list(fields)
        _refuse(fields)
        return super().bulk_update(objs, fields, *args, **kwargs)

    def bulk_create(self, objs: Iterable[ThanksIOConnection], *args: Any, **kwargs: Any) -> list[ThanksIOConnection]:
        """As in Django, but a conflict can't update the engine's columns."""
        _refuse(kwargs.get("update_fields") or (args[3] if len(args) > 3 else None) or ())
        return super().bulk_create(objs, *args, **kwargs)

    bulk_create.alters_data = True  # type: ignore[attr-defined]


class ThanksIOConnectionManager(models.Manager["ThanksIOConnection"].from_queryset(ThanksIOConnectionQuerySet)):  # type: ignore[misc]
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
        rows = self.model._base_manager.using(using).filter(user_id=user.pk)
        known = "" if callable(thanksio_user_id) else thanksio_user_id
        values = granted_values(token_set, now=timezone.now())
        for name in ("access_token", "refresh_token"):  # masked in every frame, encrypted once
            values[name] = EncryptedValue(plaintext=values[name])
        if known:  # else an earlier one stays: nothing says that it is another account
            values["thanksio_user_id"] = known
        before = rows.values_list("thanksio_user_id", flat=True).first()
        write = partial(self._grant, user.pk, values)
        created = write(using) if databases.in_transaction(using) else databases.persist(using, write)
        connection: ThanksIOConnection = rows.get()
        if callable(thanksio_user_id) and (known := thanksio_user_id()):
            # Not by version: a renewal in between keeps the account, a reconnect does not.
            rows.filter(connected_at=connection.connected_at).update(thanksio_user_id=known)
            connection.adopt({"thanksio_user_id": known})
        changed = before != known if before and known else None
        transaction.on_commit(
            lambda: engine.announce(signals.connected, connection, created=created, account_changed=changed),
            using=using,
        )
        return connection

    def _grant(self, user_pk: Any, values: Mapping[str, Any], using: str) -> bool:
        """Replace the user's row, or insert one. Returns whether it was inserted."""
        rows = self.model._base_manager.using(using)
        changes = {**values, "version": models.F("version") + 1, "updated_at": timezone.now()}
        if rows.filter(user_id=user_pk).update(**changes):
            return False
        try:
            with transaction.atomic(using=using):
                rows.create(user_id=user_pk, **values)
        except IntegrityError:
            if not rows.filter(user_id=user_pk).update(**changes):
                raise
            return False
        return True


class ThanksIOConnection(models.Model):
    """A user's connection to a thanks.io account.

    Its token columns are written by the refresh engine and by ``objects.connect()`` alone: ``save()`` leaves them out.
    """

    Status = Status

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        related_name="thanksio_connection",
        verbose_name=_("user"),
    )
    access_token: str = EncryptedTokenField(_("access token"), editable=False)
    refresh_token: str = EncryptedTokenField(_("refresh token"), editable=False, blank=True, default="")
    token_type = models.CharField(_("token type"), max_length=40, default="Bearer", editable=False)
    scope = models.TextField(_("scope"), blank=True, default="", editable=False)
    expires_at = models.DateTimeField(_("expires at"), null=True, blank=True, editable=False)
    status = models.CharField(
        _("status"), max_length=20, choices=Status.choices, default=Status.CONNECTED, editable=False
    )
    version = models.PositiveBigIntegerField(_("version"), default=1, editable=False)
    lease_id = models.UUIDField(_("lease"), null=True, blank=True, editable=False)
    lease_expires_at = models.DateTimeField(_("lease expires at"), null=True, blank=True, editable=False)
    outcome_unknown = models.BooleanField(
        _("outcome unknown"),
        default=False,
        editable=False,
        help_text=_("A renewal was sent and no answer came: thanks.io may have spent the stored refresh token."),
    )
    rejection_count = models.PositiveSmallIntegerField(_("rejections in a row"), default=0, editable=False)
    next_refresh_at = models.DateTimeField(_("next refresh at"), default=timezone.now, editable=False)
    failure_count = models.PositiveIntegerField(_("failures in a row"), default=0, editable=False)
    last_error_code = models.CharField(_("last error"), max_length=40, blank=True, default="", editable=False)
    last_refreshed_at = models.DateTimeField(_("last refreshed at"), null=True, blank=True, editable=False)
    connected_at = models.DateTimeField(_("connected at"), default=timezone.now, editable=False)
    thanksio_user_id = models.CharField(_("thanks.io user id"), max_length=100, blank=True, default="", editable=False)
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    updated_at = models.DateTimeField(_("updated at"), auto_now=True)

    objects = ThanksIOConnectionManager()

    class Meta:
        verbose_name = _("thanks.io connection")
        verbose_name_plural = _("thanks.io connections")
        indexes = [models.Index(fields=["status", "next_refresh_at"], name="thanksio_connect_due")]

    def __str__(self) -> str:
        return _("thanks.io connection of user %(user)s") % {"user": self.user_id}

    # What the product asks.

    @property
    def is_connected(self) -> bool:
        """Whether the row, as loaded, is in order."""
        return self.status == Status.CONNECTED

    @property
    def needs_reconnect(self) -> bool:
        """Whether only the owner can make it work again: show the Reconnect button."""
        return self.status == Status.RECONNECT_REQUIRED

    @sensitive_variables()
    def get_access_token(self) -> str:
        """A usable access token, renewed first if less than the leeway is left; costs no query while it is fresh.

        Raises :class:`~thanksio_connect.exceptions.ReconnectRequired`, ``RefreshInProgress``, ``TokenUndecryptable``,
        ``NotConnected``, a ``TransportError`` or ``InvalidTokenResponse`` when the token has expired and could not be
        renewed, and ``ThanksIOConfigurationError``. Inside ``atomic()`` the new pair survives a rollback.
        """
        if schedule.needs_renewal(self):
            engine.renew_if_needed(self)
        return self.access_token

    async def aget_access_token(self) -> str:
        """As :meth:`get_access_token`; a cancelled request does not lose a renewal that is under way."""
        return await sync_to_async(self.get_access_token, thread_sensitive=True)()

    def refresh(self, force: bool = False) -> None:
        """Renew now, once for all callers: a newer token in the database is taken instead.

        With ``force`` a connection that needs its owner, or that thanks.io asked to leave alone for a while, is tried
        too. Always raises when the renewal fails; see :meth:`get_access_token` for what.
        """
        engine.renew(self, force=force)

    def disconnect(self) -> None:
        """Delete the connection; sends ``disconnected`` after the commit. A refresh in flight can't bring it back.

        thanks.io documents no revocation: the user can remove the access in the thanks.io dashboard.
        """
        using = router.db_for_write(type(self), instance=self)
        pk = self.pk
        deleted, _rows = self.delete(using=using)
        self.pk = pk  # receivers can tell which one it was
        if deleted:
            transaction.on_commit(lambda: engine.announce(signals.disconnected, self), using=using)

    @property
    def api(self) -> ThanksIOClient:
        """A client for API v2 with this connection's bearer token, renewed when thanks.io refuses it."""
        return ThanksIOClient(
            api_url=app_settings.api_url,
            transport=Transport(transport_config()),
            tokens=engine.TokenSource(self),
        )

    # What the ORM does.

    @classmethod
    def from_db(cls, *args: Any, **kwargs: Any) -> Self:
        """As in Django; remembers what was loaded, so that ``save()`` can tell an assignment from a stale value."""
        instance = super().from_db(*args, **kwargs)
        instance._remember()
        return instance

    def _remember(self) -> None:
        self._loaded = {name: self.__dict__[name] for name in ENGINE_COLUMNS if name in self.__dict__}

    def save(self, *args: Any, **kwargs: Any) -> None:
        """As in Django, but an existing row's engine-owned columns are left out.

        A token that was assigned is refused with :class:`~django.core.exceptions.FieldError`; ``expires_at``,
        ``next_refresh_at`` and ``thanksio_user_id`` are written when they were assigned.
        """
        _refuse(set(kwargs.get("update_fields") or ()) - _WRITTEN_BY_DJANGO)
        _refuse(self._assigned())  # here, where the caller's transaction is not marked for rollback
        super().save(*args, **kwargs)
        self._remember()

    def _save_table(
        self,
        raw: bool = False,
        cls: type[models.Model] | None = None,
        force_insert: bool = False,
        force_update: bool = False,
        using: str | None = None,
        update_fields: Iterable[str] | None = None,
    ) -> bool:
        """As in Django; the common end of ``save()`` and ``loaddata``, which keeps an existing row's tokens too."""
        if not force_insert and self._row_exists(using):
            assigned = set() if raw else self._assigned() & ASSIGNABLE_COLUMNS
            fields = [field for field in self._meta.concrete_fields if not field.primary_key]
            if update_fields is not None:
                fields = [field for field in fields if field.name in update_fields or field.attname in update_fields]
            update_fields = frozenset(
                field.name for field in fields if field.attname not in ENGINE_COLUMNS or field.attname in assigned
            )
            if not update_fields:
                return True  # Django would take "none" for "all"
        saved: bool = super()._save_table(raw, cls, force_insert, force_update, using, update_fields)  # type: ignore[misc]
        return saved

    def _assigned(self) -> set[str]:
        """The engine-owned columns that the project set to another value than was loaded."""
        if self._state.adding:
            return set()
        loaded: dict[str, Any] = self.__dict__.get("_loaded", {})
        held = {name: value for name, value in self.__dict__.items() if name in ENGINE_COLUMNS}
        return {name for name, value in held.items() if name not in loaded or _differ(value, loaded[name])}

    def clean_fields(self, exclude: Iterable[str] | None = None) -> None:
        """As in Django; stored tokens are neither decrypted nor assigned again, so ``full_clean(); save()`` works."""
        tokens = () if self._state.adding else ("access_token", "refresh_token")
        super().clean_fields(exclude={*(exclude or ()), *tokens})

    def _row_exists(self, using: str | None) -> bool:
        if not self._state.adding:
            return True
        if self.pk is None:
            return False
        using = using or router.db_for_write(type(self), instance=self)
        return type(self)._base_manager.using(using).filter(pk=self.pk).exists()

    def refresh_from_db(
        self,
        using: str | None = None,
        fields: Iterable[str] | None = None,
        from_queryset: QuerySet[Self] | None = None,
    ) -> None:
        """As in Django; the engine-owned columns are read together, and no token is decrypted."""
        if fields is None:
            self.__dict__["_prefetched_objects_cache"] = {}
            names = {field.attname for field in self._meta.concrete_fields} - self.get_deferred_fields()
        else:
            names = set(fields)
        if owned := names & ENGINE_COLUMNS:
            rows = type(self)._base_manager.using(using or self._state.db) if from_queryset is None else from_queryset
            fresh = rows.only(*owned).get(pk=self.pk)
            self.adopt({name: fresh.__dict__[name] for name in owned})
        super().refresh_from_db(using=using, fields=names - owned, from_queryset=from_queryset)

    def adopt(self, values: Mapping[str, Any]) -> None:
        """Take over what the engine wrote or read, without a query and without decrypting anything."""
        self.__dict__.update(values)
        self._loaded = {**self.__dict__.get("_loaded", {}), **values}  # a copy of the instance shares the old dict


class AuthorizationRequest(models.Model):
    """A started authorization (RFC 6749 4.1.1): whoever deletes the row may exchange the code."""

    state_digest = models.CharField(_("state digest"), max_length=64, unique=True)
    browser_digest = models.CharField(_("browser digest"), max_length=64)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        related_name="+",
        verbose_name=_("user"),
    )
    code_verifier: str = EncryptedTokenField(_("code verifier"), blank=True, default="", editable=False)
    redirect_uri = models.TextField(_("redirect URI"))
    next_url = models.TextField(_("next URL"), blank=True, default="")
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    expires_at = models.DateTimeField(_("expires at"), db_index=True)

    class Meta:
        verbose_name = _("authorization request")
        verbose_name_plural = _("authorization requests")

    def __str__(self) -> str:
        return _("authorization request of user %(user)s") % {"user": self.user_id}
