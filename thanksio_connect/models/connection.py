"""A user's connection to a thanks.io account. Its methods are doors into the refresh engine."""

from __future__ import annotations

import uuid

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import models, router, transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_variables

from .. import signals
from ..client.api import ThanksIOClient
from ..client.transport import Transport
from ..conf import app_settings, transport_config
from ..fields import EncryptedTokenField
from ..refresh import engine, schedule
from ..refresh.row import Status
from .manager import ThanksIOConnectionManager
from .stale_writes import GuardedModel


class ThanksIOConnection(GuardedModel):
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
    grant_id = models.UUIDField(default=uuid.uuid4, editable=False)  # tells apart grants that came to use one version
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
            connection_id=self.pk,
        )
