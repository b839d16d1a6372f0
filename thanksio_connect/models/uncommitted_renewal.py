"""What the refresh engine's journal keeps (see :mod:`thanksio_connect.refresh.journal`)."""

from __future__ import annotations

from typing import Any

from django.db import connections, models, transaction
from django.db.models.signals import post_delete
from django.dispatch import receiver
from django.utils.translation import gettext_lazy as _

from ..refresh import journal


class UncommittedRenewal(models.Model):
    """A renewal inside a caller's transaction that holds the connection's row: under way, or with the pair it got.

    Or a pair that waits for such a transaction. The engine alone writes it, and removes it after that transaction.
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


@receiver(post_delete, sender="thanksio_connect.ThanksIOConnection")
def _delete_entries(*, instance: models.Model, using: str, **_details: Any) -> None:
    """What the cascade does not reach: on SQLite the entries stand in another file."""
    if connections[using].vendor == "sqlite":
        pk = instance.pk
        transaction.on_commit(lambda: _delete_from_file(using, pk), using=using, robust=True)


def _delete_from_file(using: str, connection_pk: Any) -> None:
    if journal.may_have_entries(using):
        with journal.entries_of(using, UncommittedRenewal) as entries:
            entries.filter(connection_id=connection_pk)._raw_delete(entries.db)
