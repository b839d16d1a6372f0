"""The one row by which bulk refreshes know of each other, and of thanks.io's wish to wait."""

from __future__ import annotations

import json
from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _

from ..fields import UTCDateTimeField

ONLY = 1


class Sweep(models.Model):
    """Who is sweeping the table now, until when thanks.io asked to wait, and what the last sweep came to.

    All moments are on the database's clock.
    """

    id = models.PositiveSmallIntegerField(primary_key=True, default=ONLY, editable=False)
    holder = models.CharField(_("holder"), max_length=200, blank=True, default="", editable=False)
    lease_id = models.CharField(_("lease"), max_length=32, null=True, blank=True, editable=False)
    lease_expires_at = UTCDateTimeField(_("lease expires at"), null=True, blank=True, editable=False)
    wait_until = UTCDateTimeField(_("thanks.io asked to wait until"), null=True, blank=True, editable=False)
    requests_until = UTCDateTimeField(_("requests are given out until"), null=True, blank=True, editable=False)
    dealt_until = UTCDateTimeField(_("chunks were dealt out until"), null=True, blank=True, editable=False)
    chunks_left = models.PositiveIntegerField(_("chunks that are not done"), default=0, editable=False)
    resume_after = models.CharField(_("last row that was renewed early"), max_length=32, default="", editable=False)
    started_at = UTCDateTimeField(_("started at"), null=True, blank=True, editable=False)
    finished_at = UTCDateTimeField(_("finished at"), null=True, blank=True, editable=False)
    # No JSONField: Django's checks would ask the database for one before every command, also while it is down.
    counts = models.TextField(_("counts of the last sweep"), default="{}", blank=True, editable=False)

    class Meta:
        verbose_name = _("sweep")
        verbose_name_plural = _("sweeps")

    def __str__(self) -> str:
        return _("sweep by %(holder)s") % {"holder": self.holder or "-"}

    @property
    def last_counts(self) -> dict[str, Any]:
        """What the last sweep came to."""
        return dict(json.loads(self.counts or "{}"))
