"""A user's connection to a thanks.io account. Its methods are doors into the refresh engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from functools import partial
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import models, router, transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_variables

from .. import signals
from ..client.api import ThanksIOClient
from ..client.asynchronous import AsyncThanksIOClient
from ..client.order_book import checked_key
from ..client.order_search import PAGES_PER_MINUTE, Source, has_key, is_of, search
from ..client.resources.shapes import Order
from ..client.resources.webhooks import WebhookType
from ..client.send_once import Once, SendOnce
from ..client.tokens import Secret
from ..client.transport import Transport
from ..conf import app_settings, transport_config
from ..exceptions import ReconnectRequired
from ..fields import as_the_project_has_it
from ..history.announcements import send
from ..history.events import Kind, writer_after_commit
from ..records import record
from ..refresh import doors
from ..refresh.token_row import Status
from ..webhooks.address import address_of, base_url
from ..webhooks.registration import register, wanted_types
from .manager import ThanksIOConnectionManager
from .order_book import OrderBook
from .tokens import ConnectionTokens


class ThanksIOConnection(models.Model):
    """A user's connection to a thanks.io account: whose it is. The project may join, lock, save and show it.

    What the refresh engine knows is in :class:`ConnectionTokens`, and read through the properties. A connection without
    tokens (made by hand, or half of a fixture) needs its owner to connect again.
    """

    Status = Status

    user: models.OneToOneField[Any, Any] = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        related_name="thanksio_connection",
        verbose_name=_("user"),
    )
    thanksio_user_id: models.CharField[str, str] = models.CharField(
        _("thanks.io user id"), max_length=100, blank=True, default="", editable=False
    )
    connected_at: models.DateTimeField[datetime, datetime] = models.DateTimeField(
        _("connected at"), default=timezone.now, editable=False
    )
    created_at: models.DateTimeField[datetime, datetime] = models.DateTimeField(_("created at"), auto_now_add=True)
    updated_at: models.DateTimeField[datetime, datetime] = models.DateTimeField(_("updated at"), auto_now=True)

    tokens: ConnectionTokens
    objects = ThanksIOConnectionManager()

    class Meta:
        verbose_name = _("thanks.io connection")
        verbose_name_plural = _("thanks.io connections")
        permissions = [
            ("refresh_thanksioconnection", "Can refresh thanks.io connection"),
            ("disconnect_thanksioconnection", "Can disconnect thanks.io connection"),
        ]

    def __str__(self) -> str:
        """By the user's name where the user is loaded, else by key: this never costs a query."""
        if type(self)._meta.get_field("user").is_cached(self):
            return _("thanks.io connection of %(name)s") % {"name": self.user.get_username()}
        return _("thanks.io connection of user %(user)s") % {"user": self.user_id}

    @property
    def _tokens(self) -> ConnectionTokens | None:
        try:
            return self.tokens
        except ConnectionTokens.DoesNotExist:
            return None

    @property
    def status(self) -> str:
        """``connected`` or ``reconnect_required``, as loaded."""
        return Status.RECONNECT_REQUIRED if self._tokens is None else Status(self._tokens.status)

    @property
    def is_connected(self) -> bool:
        """Whether the connection, as loaded, is in order."""
        return self.status == Status.CONNECTED

    @property
    def needs_reconnect(self) -> bool:
        """Whether only the owner can make it work again: show the Reconnect button."""
        return self.status == Status.RECONNECT_REQUIRED

    @property
    def expires_at(self) -> datetime | None:
        """When the access token expires, if that is known; aware or naive as the project's ``USE_TZ`` says."""
        return None if self._tokens is None else as_the_project_has_it(self._tokens.expires_at)

    @property
    def next_refresh_at(self) -> datetime | None:
        """When the command renews the tokens."""
        return None if self._tokens is None else as_the_project_has_it(self._tokens.next_refresh_at)

    @property
    def last_refreshed_at(self) -> datetime | None:
        """When the tokens were last renewed; None if they are the first."""
        return None if self._tokens is None else as_the_project_has_it(self._tokens.last_refreshed_at)

    @property
    def last_error_code(self) -> str:
        """Why the last renewal failed; empty after one that went well."""
        return "no_tokens" if self._tokens is None else self._tokens.last_error_code

    @sensitive_variables()
    def get_access_token(self) -> str:
        """A usable access token, renewed first if less than the leeway is left.

        Costs no query while it is fresh and was read within a minute. Raises
        :class:`~thanksio_connect.exceptions.ReconnectRequired`, ``RefreshInProgress``, ``TokenUndecryptable``,
        ``NotConnected``, a ``TransportError`` or ``InvalidTokenResponse`` when the token has expired and could not be
        renewed, and ``ThanksIOConfigurationError``. Inside ``atomic()`` the new pair survives a rollback.
        """
        return doors.access_token(self._tokens_to_use())

    async def aget_access_token(self) -> str:
        """As :meth:`get_access_token`; a cancelled request does not lose a renewal that is under way."""
        return await sync_to_async(self.get_access_token, thread_sensitive=True)()

    def refresh(self, force: bool = False) -> None:
        """Renew now, once for all callers: a newer token in the database is taken instead.

        With ``force`` a connection that needs its owner, or that thanks.io asked to leave alone for a while, is tried
        too. Always raises when the renewal fails; see :meth:`get_access_token` for what.
        """
        doors.renew(self._tokens_to_use(), force=force)

    def _tokens_to_use(self) -> ConnectionTokens:
        if (tokens := self._tokens) is None:
            raise ReconnectRequired(code="no_tokens")
        return tokens

    def disconnect(self) -> None:
        """Delete the connection; sends ``disconnected`` after the commit. A refresh in flight can't bring it back.

        thanks.io documents no revocation: the user can remove the access in the thanks.io dashboard. The app's own page
        and the admin go by :func:`thanksio_connect.flows.disconnect.disconnect`, which asks ``THANKSIO_REVOKE_URL``.
        """
        using = router.db_for_write(type(self), instance=self)
        pk = self.pk
        if (tokens := self._state.fields_cache.get("tokens")) is not None:
            tokens.doubt()
        deleted, _rows = self.delete(using=using)
        self.pk = pk  # receivers can tell which one it was
        if deleted:
            write_down = writer_after_commit(using, self.user_id, connection_id=pk)
            transaction.on_commit(partial(self._announce_disconnect, write_down), using=using)

    def _announce_disconnect(self, write_down: Callable[[Kind], object]) -> None:
        """Write the event down, log it and send the signal: the row is gone."""
        try:
            write_down(Kind.DISCONNECTED)
        finally:  # whatever interrupts
            record("connection.disconnected", connection_id=self.pk, user_id=self.user_id)
            send(signals.disconnected, ThanksIOConnection, connection=self)

    @property
    def api(self) -> ThanksIOClient:
        """A client for API v2 with this connection's bearer token, renewed when thanks.io refuses it."""
        return ThanksIOClient(
            api_url=app_settings.api_url,
            transport=Transport(transport_config()),
            tokens=_Bearer(self),
            connection_id=self.pk,
        )

    @property
    def aapi(self) -> AsyncThanksIOClient:
        """The same for ``async`` code: ``await connection.aapi.orders.track(17)``. It runs in a thread."""
        return AsyncThanksIOClient(self.api)

    def send_once(self, key: str) -> SendOnce:
        """Order under a key: ``connection.send_once("invoice-17").postcard(...)``. The key stands for one order.

        The same key again returns that order, and sends nothing. The key is committed before the request, whatever
        transaction the caller is in. Its methods raise what ``api.send`` raises, and
        :class:`~thanksio_connect.exceptions.SendOnceRefused` (other fields under the key; a transaction on SQLite).
        After ``OutcomeUnknown`` and ``ServerError`` call it again: the order is looked for in thanks.io's list, and
        sent again if it is not there after ten minutes. Raises TypeError or ValueError for a key that is none.
        """
        api = self.api
        return SendOnce(Once(key, OrderBook(self), api._caller, _order_source(api), self.get_access_token))

    def find_order(self, key: str, *, sub_account_id: int | None = None) -> Order | None:
        """Look for a key's order in thanks.io's list, newest first, back to the attempt. None if it is not there.

        A key that this site does not know (any more) is looked for in the whole list. Raises what any read raises.
        A long list takes as long as thanks.io's rate limit lets it.
        """
        entry = OrderBook(self).look_up(checked_key(key))
        matches, since = (has_key(key), None) if entry is None else (is_of(entry), entry.began_at)
        return search(_order_source(self.api), matches, since=since, sub_account_id=sub_account_id)

    def receive_webhooks(self, types: Iterable[WebhookType], *, url: str = "") -> None:
        """Let thanks.io send these types of events to this connection's own address, and no others.

        Registers what is missing, updates what points elsewhere and deletes what is no longer wanted; an empty list
        ends all. Other webhooks of the account stay. May be called again at any time. ``url`` is where
        ``thanksio_connect.webhook_urls`` is included, if that is not ``THANKSIO_WEBHOOKS_URL``. Raises ``ValueError``
        for a type that thanks.io does not document and for plain http, ``ThanksIOConfigurationError``, ``Forbidden``
        without a paid plan, and what else a call of ``api`` raises: then call it again, it goes on where it stood.
        """
        wanted, base = wanted_types(types), base_url(url)
        changes = register(self.api.webhooks, wanted, address_of(self._tokens_to_use()), base)
        if changes:
            record(
                "webhooks.registered",
                connection_id=self.pk,
                user_id=self.user_id,
                created=changes.created,
                updated=changes.updated,
                deleted=changes.deleted,
            )


def _order_source(api: ThanksIOClient) -> Source:
    return Source(first=api.orders, further=api.paced(per_minute=PAGES_PER_MINUTE).orders)


class _Bearer:
    """What the API client asks for tokens (see :class:`thanksio_connect.client.api.TokenSource`)."""

    def __init__(self, connection: ThanksIOConnection) -> None:
        self._connection = connection

    def get_access_token(self) -> str:
        return self._connection.get_access_token()

    def renew(self, rejected_access_token: Secret) -> None:
        doors.renew_rejected(self._connection._tokens_to_use(), rejected_access_token)
