"""Which events of thanks.io have arrived: thanks.io may send one more than once."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from django.db import models
from django.utils.translation import gettext_lazy as _

from ..fields import UTCDateTimeField, utc_now

if TYPE_CHECKING:
    from .connection import ThanksIOConnection


class ReceivedWebhook(models.Model):
    """One event that a connection has received. Whoever inserts the row tells the project.

    Nothing of the event is kept. ``event_digest`` is the SHA-256 of thanks.io's id: of one length, and the same under
    each database's collation.
    """

    # No constraint: a database that checks one locks the connection's row, which a transaction of the project's may
    # have locked, and thanks.io waits for the answer.
    connection: models.ForeignKey[ThanksIOConnection, ThanksIOConnection] = models.ForeignKey(
        "ThanksIOConnection",
        on_delete=models.CASCADE,
        related_name="+",
        db_constraint=False,
        db_index=False,
        editable=False,
        verbose_name=_("thanks.io connection"),
    )
    event_digest: models.CharField[str, str] = models.CharField(_("event digest"), max_length=64, editable=False)
    at: models.DateTimeField[datetime, datetime] = UTCDateTimeField(_("when"), default=utc_now, editable=False)

    class Meta:
        verbose_name = _("received webhook")
        verbose_name_plural = _("received webhooks")
        constraints = [
            models.UniqueConstraint(fields=["connection", "event_digest"], name="thanksio_connect_event_once"),
        ]
        indexes = [models.Index(fields=["at"], name="thanksio_connect_received_age")]

    def __str__(self) -> str:
        return _("webhook of thanks.io connection %(connection)s") % {"connection": self.connection_id}
