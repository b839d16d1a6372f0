"""A started authorization, between the Connect button and the callback."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from ..fields import EncryptedTokenField, LazySecret, UTCDateTimeField, utc_now


class AuthorizationRequest(models.Model):
    """A started authorization (RFC 6749 4.1.1): whoever deletes the row may exchange the code."""

    state_digest: models.CharField[str, str] = models.CharField(_("state digest"), max_length=64, unique=True)
    browser_digest: models.CharField[str, str] = models.CharField(_("browser digest"), max_length=64)
    user: models.ForeignKey[Any, Any] = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        related_name="+",
        verbose_name=_("user"),
    )
    code_verifier: LazySecret = EncryptedTokenField(_("code verifier"), blank=True, default="", editable=False)
    redirect_uri: models.TextField[str, str] = models.TextField(_("redirect URI"))
    next_url: models.TextField[str, str] = models.TextField(_("next URL"), blank=True, default="")
    created_at: models.DateTimeField[datetime, datetime] = UTCDateTimeField(
        _("created at"), default=utc_now, editable=False
    )
    expires_at: models.DateTimeField[datetime, datetime] = UTCDateTimeField(_("expires at"), db_index=True)

    class Meta:
        verbose_name = _("authorization request")
        verbose_name_plural = _("authorization requests")

    def __str__(self) -> str:
        return _("authorization request of user %(user)s") % {"user": self.user_id}
