"""A key of ``send_once()`` and what became of it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from ..client.order_book import LONGEST_KEY
from ..fields import UTCDateTimeField
from ..refresh.token_row import new_id


class SentOrder(models.Model):
    """A key under which an order was sent, or is being sent. Only ``send_once()`` writes it.

    By user, so that it outlives a disconnect; gone with the user. No message, no recipient. The foreign key has no
    constraint in the database: a private session inserts the row while the caller's transaction may have the user's
    locked. Its primary key stands in the order's ``metadata``. All moments are UTC, on the database's clock.
    """

    class State(models.TextChoices):
        """Whether the outcome is known."""

        SENDING = "sending", _("sending, or outcome unknown")
        SENT = "sent", _("sent")

    id: models.CharField[str, str] = models.CharField(primary_key=True, max_length=32, default=new_id, editable=False)
    user: models.ForeignKey[Any, Any] = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        related_name="+",
        db_constraint=False,
        editable=False,
        verbose_name=_("user"),
    )
    connection_id: models.CharField[str, str] = models.CharField(
        _("thanks.io connection"), max_length=40, editable=False
    )
    key: models.CharField[str, str] = models.CharField(_("key"), max_length=LONGEST_KEY, editable=False)
    # Databases differ in which texts are equal: this is what is unique.
    key_digest: models.CharField[str, str] = models.CharField(_("key digest"), max_length=64, editable=False)
    operation: models.CharField[str, str] = models.CharField(_("operation"), max_length=40, editable=False)
    fingerprint: models.CharField[str, str] = models.CharField(
        _("fingerprint of the fields"), max_length=64, editable=False
    )
    state: models.CharField[str, str] = models.CharField(
        _("state"), max_length=10, choices=State.choices, default=State.SENDING, editable=False
    )
    order_id: models.BigIntegerField[int | None, int | None] = models.BigIntegerField(
        _("order"), null=True, blank=True, editable=False, help_text=_("Or the mailing list that was bought.")
    )
    # No JSONField: Django's checks would ask the database for one before every command, also while it is down.
    answer: models.TextField[str, str] = models.TextField(_("answer"), blank=True, default="", editable=False)
    attempt_id: models.CharField[str, str] = models.CharField(_("attempt"), max_length=32, editable=False)
    attempts: models.PositiveIntegerField[int, int] = models.PositiveIntegerField(
        _("attempts"), default=1, editable=False
    )
    grant_id: models.CharField[str, str] = models.CharField(_("grant"), max_length=32, editable=False)
    thanksio_user_id: models.CharField[str, str] = models.CharField(
        _("thanks.io user id"), max_length=100, blank=True, default="", editable=False
    )
    created_at: models.DateTimeField[datetime, datetime] = UTCDateTimeField(_("created at"), editable=False)
    attempted_at: models.DateTimeField[datetime, datetime] = UTCDateTimeField(_("last attempt at"), editable=False)
    sent_at: models.DateTimeField[datetime | None, datetime | None] = UTCDateTimeField(
        _("sent at"), null=True, blank=True, editable=False
    )

    class Meta:
        verbose_name = _("order sent once")
        verbose_name_plural = _("orders sent once")
        constraints = [models.UniqueConstraint(fields=["user", "key_digest"], name="thanksio_connect_one_key")]
        indexes = [
            models.Index(fields=["state", "sent_at"], name="thanksio_connect_sent"),
            models.Index(fields=["created_at"], name="thanksio_connect_began"),
        ]

    def __str__(self) -> str:
        return _("order %(key)s of user %(user)s") % {"key": self.key, "user": self.user_id}
