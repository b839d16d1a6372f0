"""The pair of a connection, and all that the refresh engine writes: a row that no project has a reason to touch."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

from django.db import models
from django.utils.translation import gettext_lazy as _

from ..fields import EncryptedTokenField, LazySecret, UTCDateTimeField, utc_now
from ..refresh.token_row import Status, new_id

if TYPE_CHECKING:
    from .connection import ThanksIOConnection


class ConnectionTokens(models.Model):
    """A connection's access and refresh token. Only the refresh engine and ``objects.connect()`` write it.

    Its primary key stands for the grant: a reconnect gives the row a new one, and whatever is late for the old grant
    finds no row. All moments are UTC.
    """

    Status = Status

    id: models.CharField[str, str] = models.CharField(primary_key=True, max_length=32, default=new_id, editable=False)
    connection: models.OneToOneField[ThanksIOConnection, ThanksIOConnection] = models.OneToOneField(
        "ThanksIOConnection",
        on_delete=models.CASCADE,
        related_name="tokens",
        editable=False,
        verbose_name=_("thanks.io connection"),
    )
    access_token: LazySecret = EncryptedTokenField(_("access token"), editable=False)
    refresh_token: LazySecret = EncryptedTokenField(_("refresh token"), editable=False, blank=True, default="")
    token_type: models.CharField[str, str] = models.CharField(
        _("token type"), max_length=40, default="Bearer", editable=False
    )
    scope: models.TextField[str, str] = models.TextField(_("scope"), blank=True, default="", editable=False)
    expires_at: models.DateTimeField[datetime | None, datetime | None] = UTCDateTimeField(
        _("expires at"), null=True, blank=True, editable=False
    )
    obtained_at: models.DateTimeField[datetime, datetime] = UTCDateTimeField(
        _("obtained at"), default=utc_now, editable=False
    )
    status: models.CharField[str, str] = models.CharField(
        _("status"), max_length=20, choices=Status.choices, default=Status.CONNECTED, editable=False
    )
    version: models.PositiveBigIntegerField[int, int] = models.PositiveBigIntegerField(
        _("version"), default=1, editable=False
    )
    lease_id: models.CharField[str | None, str | None] = models.CharField(
        _("lease"), max_length=32, null=True, blank=True, editable=False
    )
    lease_expires_at: models.DateTimeField[datetime | None, datetime | None] = UTCDateTimeField(
        _("lease expires at"), null=True, blank=True, editable=False
    )
    outcome_unknown: models.BooleanField[bool, bool] = models.BooleanField(
        _("outcome unknown"),
        default=False,
        editable=False,
        help_text=_("A renewal was sent and no answer came: thanks.io may have spent the stored refresh token."),
    )
    next_refresh_at: models.DateTimeField[datetime, datetime] = UTCDateTimeField(
        _("next refresh at"), default=utc_now, editable=False
    )
    failure_count: models.PositiveIntegerField[int, int] = models.PositiveIntegerField(
        _("failures in a row"), default=0, editable=False
    )
    last_error_code: models.CharField[str, str] = models.CharField(
        _("last error"), max_length=40, blank=True, default="", editable=False
    )
    last_failed_at: models.DateTimeField[datetime | None, datetime | None] = UTCDateTimeField(
        _("last failed at"), null=True, blank=True, editable=False
    )
    last_refreshed_at: models.DateTimeField[datetime | None, datetime | None] = UTCDateTimeField(
        _("last refreshed at"), null=True, blank=True, editable=False
    )
    # The address for webhooks (see thanksio_connect.webhooks.address), which a reconnect keeps.
    webhook_token: LazySecret = EncryptedTokenField(_("webhook token"), editable=False, blank=True, default="")
    webhook_digest: models.CharField[str | None, str | None] = models.CharField(
        _("webhook digest"), max_length=64, null=True, blank=True, editable=False, unique=True
    )

    class Meta:
        verbose_name = _("tokens of a thanks.io connection")
        verbose_name_plural = _("tokens of thanks.io connections")
        indexes = [models.Index(fields=["status", "next_refresh_at", "id"], name="thanksio_connect_due")]

    def __str__(self) -> str:
        return _("tokens of thanks.io connection %(connection)s") % {"connection": self.connection_id}

    @classmethod
    def from_db(cls, db: str | None, field_names: Collection[str], values: Collection[Any], **options: Any) -> Self:
        """As in Django; notes when the row was read, if it was read whole."""
        instance = super().from_db(db, field_names, values, **options)
        instance._read_at = time.time() if len(values) == len(cls._meta.concrete_fields) else 0.0
        return instance

    _read_at = 0.0

    def was_read_within(self, seconds: float) -> bool:
        """Whether the whole row was read so lately, in this process or in one that pickled the instance."""
        return abs(time.time() - self._read_at) < seconds

    def doubt(self) -> None:
        """Make the next use read the row again: it may be gone."""
        self._read_at = 0.0

    def adopt(self, values: Mapping[str, Any]) -> None:
        """Take over what the engine wrote or read, without a query and without decrypting anything."""
        self.__dict__.update(values)
        self._read_at = time.time()
