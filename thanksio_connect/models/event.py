"""What happened to a user's connection, for the operator: the transitions, and no token."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from ..fields import UTCDateTimeField, utc_now
from ..history.events import Kind


class ConnectionEvent(models.Model):
    """One transition of a user's connection. A renewal that goes well is none.

    By user and not by connection, so that it outlives a disconnect. The newest of each user are kept, and none for
    ever: the refresh command deletes what is old.
    """

    Kind = Kind

    # No constraint and no index of its own: a database that checks one locks the user's row, which the caller's
    # transaction may have locked; and the timeline's index begins with the user.
    user: models.ForeignKey[Any, Any] = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        related_name="+",
        db_constraint=False,
        db_index=False,
        editable=False,
        verbose_name=_("user"),
    )
    kind: models.CharField[str, str] = models.CharField(
        _("what happened"), max_length=20, choices=Kind.choices, editable=False
    )
    code: models.CharField[str, str] = models.CharField(
        _("code"), max_length=40, blank=True, default="", editable=False
    )
    at: models.DateTimeField[datetime, datetime] = UTCDateTimeField(_("when"), default=utc_now, editable=False)

    class Meta:
        verbose_name = _("event of a thanks.io connection")
        verbose_name_plural = _("events of thanks.io connections")
        indexes = [
            models.Index(fields=["user", "-at"], name="thanksio_connect_timeline"),
            models.Index(fields=["at"], name="thanksio_connect_event_age"),
        ]

    def __str__(self) -> str:
        return _("%(what)s (user %(user)s)") % {"what": self.get_kind_display(), "user": self.user_id}
