"""What the refresh engine's journal keeps (see :mod:`thanksio_connect.refresh.journal`)."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class UncommittedRenewal(models.Model):
    """A renewal inside a caller's transaction that holds the connection's row: under way, or with the pair it got.

    The engine alone writes it, and removes it after that transaction.
    """

    connection = models.ForeignKey(
        "ThanksIOConnection",
        on_delete=models.CASCADE,
        related_name="uncommitted_renewals",
        db_constraint=False,  # the database would wait for the connection's row, which the caller has locked
        db_index=False,
        verbose_name=_("thanks.io connection"),
    )
    version = models.PositiveBigIntegerField(_("version"))  # the one whose refresh token is spent
    grant_id = models.UUIDField()  # the connection's
    lease_id = models.UUIDField(_("lease"))
    lease_expires_at = models.DateTimeField(_("lease expires at"))
    pair = models.TextField(null=True, editable=False)  # what the row is to have, as JSON, its tokens encrypted

    class Meta:
        verbose_name = _("uncommitted renewal")
        verbose_name_plural = _("uncommitted renewals")
        constraints = [
            models.UniqueConstraint(fields=["connection", "version"], name="thanksio_connect_uncommitted"),
        ]

    def __str__(self) -> str:
        return _("uncommitted renewal of connection %(connection)s") % {"connection": self.connection_id}
