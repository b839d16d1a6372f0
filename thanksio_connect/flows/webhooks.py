"""Receive an event of thanks.io: whose it is, whether it is the first of its id, and who is told; and the end of it.

thanks.io sends at least once and waits for the answer. So a row says that an event has arrived, and the project is told
after the answer, by whoever has inserted the row.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from functools import partial
from typing import Any

from django.db import DatabaseError, IntegrityError, InterfaceError, router, transaction
from django.views.decorators.debug import sensitive_variables

from .. import signals
from ..client.api import RetryPolicy, ThanksIOClient
from ..client.tokens import Secret
from ..client.transport import Transport, TransportConfig
from ..conf import app_settings
from ..history.announcements import send
from ..models import ConnectionTokens, ReceivedWebhook, ThanksIOConnection
from ..records import record
from ..webhooks import WebhookEvent
from ..webhooks.address import Address, digest
from ..webhooks.registration import register
from .account import AsItIs

# So many rows of a connection are kept, about: an address that has become known must not fill the disk.
KEPT, EVERY = 20_000, 256
_TIME_BUDGET = TransportConfig(connect_timeout_seconds=1.0, read_timeout_seconds=2.0)

Later = Callable[[Callable[[], None]], object]


def connection_at(token: str) -> ThanksIOConnection | None:
    """The connection whose address this is, with its tokens, in one query; None if there is none.

    The database compares digests, which tell nothing of a token; the last comparison takes constant time.
    """
    wanted = digest(token)
    rows = ConnectionTokens._base_manager.using(router.db_for_write(ConnectionTokens))
    tokens = rows.select_related("connection").filter(webhook_digest=wanted).first()
    if tokens is None or not hmac.compare_digest(str(tokens.webhook_digest), wanted):
        return None
    return tokens.connection


def take(connection: ThanksIOConnection, event: WebhookEvent, later: Later) -> bool:
    """Note the event, and give ``later`` what tells the project, once that is committed. False: it was there before.

    Raises the database's error: then nothing is noted, and thanks.io may send the event again.
    """
    using = router.db_for_write(ReceivedWebhook)
    key = hashlib.sha256(event.event_id.encode("utf-8", "surrogatepass")).hexdigest()
    row = ReceivedWebhook(connection_id=connection.pk, event_digest=key)
    try:
        with transaction.atomic(using=using):
            row.save(using=using, force_insert=True)
            transaction.on_commit(partial(later, partial(_tell, connection, event, row)), using=using)
    except IntegrityError:
        return False
    return True


@sensitive_variables()
def end(tokens: ConnectionTokens, user_id: Any) -> None:
    """Delete the webhooks of a connection that is gone: else thanks.io goes on sending its recipients' addresses.

    Never raises, and asks once: the user waits.
    """
    try:
        client = ThanksIOClient(
            api_url=app_settings.api_url,
            transport=Transport(_TIME_BUDGET),
            tokens=AsItIs(Secret(tokens.access_token.reveal())),
            retries=RetryPolicy(attempts=1),
        )
        register(client.webhooks, [], Address(Secret(tokens.webhook_token.reveal())), "")
    except Exception as error:  # noqa: BLE001 - the connection is removed, whatever this is
        code = str(getattr(error, "code", "")) or type(error).__name__
        record("webhooks.not_deleted", connection_id=tokens.connection_id, user_id=user_id, code=code)


def _tell(connection: ThanksIOConnection, event: WebhookEvent, row: ReceivedWebhook) -> None:
    """Send the signal. A receiver that raises is logged by Django and harms nothing."""
    sender = ConnectionTokens._meta.get_field("connection").related_model
    send(signals.webhook_received, sender, connection=connection, event=event)
    if isinstance(row.pk, int) and row.pk % EVERY == 0:
        _keep_the_newest(row)


def _keep_the_newest(row: ReceivedWebhook) -> None:
    rows = ReceivedWebhook._base_manager.using(row._state.db).filter(connection_id=row.connection_id)
    try:
        for last in list(rows.order_by("-pk").values_list("pk", flat=True)[KEPT : KEPT + 1]):
            rows.filter(pk__lte=last).delete()
    except (DatabaseError, InterfaceError) as error:  # the next does it
        record("event.not_deleted:webhooks", code=type(error).__name__)
