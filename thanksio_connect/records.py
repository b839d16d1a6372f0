"""The app's log records: each has a stable name, a level, a sentence, and fields that are JSON.

``docs/log-records.md`` lists them.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from logging import CRITICAL, DEBUG, ERROR, INFO, WARNING
from typing import Any

LOGGER = logging.getLogger("thanksio_connect")
_JSON = (str, int, float, bool, type(None))


def record(
    name: str,
    *,
    level: int | None = None,
    logger: logging.Logger = LOGGER,
    words: Mapping[str, object] | None = None,
    **fields: Any,
) -> None:
    """Log an event of the catalogue, with ``thanksio_event`` and the fields as ``extra``.

    Each field's name gets the prefix ``thanksio_``: Python's own attributes stay, and a JSON formatter needs no other.
    The fields fill the sentence; ``words`` are what it needs beside them. ``level``: another than the event's own.
    """
    usual_level, sentence = EVENTS[name]
    level = usual_level if level is None else level
    if not logger.isEnabledFor(level):
        return
    values = {"event": name.partition(":")[0], **fields}
    extra = {f"thanksio_{field}": each if isinstance(each, _JSON) else str(each) for field, each in values.items()}
    logger.log(level, sentence, {**values, **(words or {})}, extra=extra, stacklevel=2)


# What follows a colon tells the sentences of one event apart, and is no part of its name.
EVENTS: dict[str, tuple[int, str]] = {
    # A connection's transitions
    "connection.connected": (INFO, "thanks.io connection %(connection_id)s of user %(user_id)s: %(code)s."),
    "connection.failing": (
        WARNING,
        "Renewals of thanks.io connection %(connection_id)s of user %(user_id)s begin to fail (%(code)s)%(why)s",
    ),
    "connection.recovered": (INFO, "thanks.io connection %(connection_id)s of user %(user_id)s recovered."),
    "connection.reconnect_required": (
        WARNING,
        "thanks.io connection %(connection_id)s of user %(user_id)s needs its owner to reconnect (%(code)s).",
    ),
    "connection.disconnected": (INFO, "thanks.io connection %(connection_id)s of user %(user_id)s was disconnected."),
    # Pairs that are lost
    "tokens.lost:granted": (
        CRITICAL,
        "The tokens that thanks.io gave for user %(user_id)s could not be stored (%(code)s): the user has to connect "
        "again. If a table or a column is missing or too short, run manage.py migrate.",
    ),
    "tokens.lost:interrupted": (
        CRITICAL,
        "The tokens that thanks.io gave for user %(user_id)s were not stored, for %(interruption)s kept interrupting: "
        "the user has to connect again.",
    ),
    "tokens.lost:renewed": (
        CRITICAL,
        "Renewed tokens of thanks.io connection %(connection_id)s of user %(user_id)s could not be stored (%(code)s): "
        "its owner must connect again once the database is back. If a table or column is missing or too short, run "
        "manage.py migrate. If database sessions of this project need a tenant, a role or a variable, name a function "
        "that sets it in THANKSIO_PREPARE_SESSION.",
    ),
    "tokens.lost:rolled_back": (
        CRITICAL,
        "Renewed tokens of thanks.io connection %(connection_id)s of user %(user_id)s could not be written after a "
        "rollback (%(why)s): its owner must connect again. If database sessions of this project need a tenant, a role "
        "or a variable, name a function that sets it in THANKSIO_PREPARE_SESSION.",
    ),
    # Renewals
    "renewal.refreshed": (DEBUG, "The tokens of thanks.io connection %(connection_id)s were renewed."),
    "renewal.failed": (
        INFO,
        "The tokens of thanks.io connection %(connection_id)s of user %(user_id)s were not renewed (%(code)s)%(why)s",
    ),
    "renewal.unexpected_error": (ERROR, "The token request failed unexpectedly: %(code)s at %(file)s:%(line)s."),
    "renewal.database_failed": (
        WARNING,
        "thanks.io tokens of connection %(connection_id)s were not renewed: the database can't be used (%(code)s).",
    ),
    "renewal.lease_not_given_back": (WARNING, "The renewal's lease could not be given back (%(code)s); it expires."),
    "renewal.interrupted_again": (
        WARNING,
        "Interrupted again while thanks.io answers: once more loses the connection's tokens (%(connection_id)s).",
    ),
    "token.living_used": (
        WARNING,
        "thanks.io tokens of connection %(connection_id)s were not renewed (%(code)s); the current one still lives.",
    ),
    "token.not_read_again": (WARNING, "thanks.io tokens could not be read again (%(code)s)."),
    "transaction.renewed_inside": (
        WARNING,
        "thanks.io tokens of connection %(connection_id)s are renewed inside a database transaction, because "
        "%(reason)s. Its locks are held until thanks.io answers. Call connection.get_access_token() before the "
        "transaction begins.",
    ),
    "transaction.store_failed": (WARNING, "Storing renewed tokens failed (%(code)s); the rollback will store them."),
    "rollback.store_failed": (WARNING, "Storing renewed tokens after a rollback failed (%(code)s); trying again."),
    "database.step_failed": (WARNING, "A step on the thanks.io tokens failed (%(code)s); trying again."),
    "event.not_deleted": (WARNING, "Old events could not be deleted (%(code)s)."),
    "event.not_deleted:webhooks": (WARNING, "Old webhooks could not be deleted (%(code)s)."),
    "event.not_written": (
        WARNING,
        "An event of thanks.io connection %(connection_id)s could not be written down (%(code)s: %(error)s). Nothing "
        "else depends on it.",
    ),
    # The browser flow
    "authorization.denied": (INFO, "User %(user_id)s did not allow the connection at thanks.io."),
    "authorization.failed": (WARNING, "The thanks.io authorization of user %(user_id)s was not finished: %(cause)s"),
    "authorization.failed:no_cookie": (
        WARNING,
        "A callback of user %(user_id)s came without the cookie that the start had set. %(hint)s",
    ),
    "authorization.refused": (
        ERROR,
        "thanks.io refused an authorization request: error=%(code)r, error_description=%(description)r. If it names "
        "the client or the redirect URI, compare THANKSIO_CLIENT_ID and %(redirect_uri)s with what is registered at "
        "thanks.io.",
    ),
    "authorization.impossible": (ERROR, "User %(user_id)s can't connect to thanks.io: %(cause)s"),
    "authorization.error": (ERROR, "Unexpected error in the thanks.io browser flow, user %(user_id)s: %(cause)s"),
    "connection.account_unknown": (
        INFO,
        "The thanks.io account of user %(user_id)s's new connection is not known: %(code)s.",
    ),
    "connection.account_not_stored": (WARNING, "The thanks.io account's name could not be stored (%(code)s)."),
    "connection.not_revoked": (
        WARNING,
        "thanks.io was not told of the disconnect of connection %(connection_id)s (%(error)s %(reason)s). Its tokens "
        "live on there until they expire, or until the user removes the access.",
    ),
    "connection.not_revoked:configuration": (ERROR, "thanks.io is not told of disconnects: %(cause)s"),
    "pages.urls_missing": (ERROR, "The Connect button leads nowhere: %(cause)s"),
    "pages.style_missing": (ERROR, "The pages of thanksio_connect have no style: %(cause)s"),
    "pages.address_unknown": (ERROR, "%(setting)s names no URL: users land on the status page."),
    # The sweep
    "sweep.lease_not_kept": (WARNING, "The sweep's lease could not be kept (%(code)s)."),
    "sweep.lease_not_given_back": (WARNING, "The sweep's lease could not be given back (%(code)s); it expires."),
    "sweep.turns_not_given_back": (WARNING, "The sweep's turns could not be given back (%(code)s)."),
    # The admin
    "admin.made_due": (INFO, "An operator (user %(operator_id)s) made %(count)d thanks.io connections due."),
    # Webhooks
    "webhooks.registered": (
        INFO,
        "thanks.io connection %(connection_id)s of user %(user_id)s: %(created)s webhooks created, %(updated)s "
        "updated, %(deleted)s deleted.",
    ),
    "webhooks.not_deleted": (
        WARNING,
        "The webhooks of connection %(connection_id)s, which was disconnected, are perhaps not deleted at thanks.io "
        "(%(code)s). They get a 404; the user can remove them in the thanks.io dashboard.",
    ),
    "webhook.received": (DEBUG, "thanks.io connection %(connection_id)s received an event."),
    "webhook.refused": (WARNING, "A request to a webhook's address was refused (%(code)s)."),
    "webhook.not_noted": (
        ERROR,
        "A webhook of thanks.io could not be noted (%(code)s): thanks.io was told to send it again.",
    ),
    # The API
    "api.call": (
        INFO,
        "%(method)s %(path)s: %(answer)s in %(milliseconds)d ms (attempts: %(attempts)d, connection: "
        "%(connection_id)s)",
    ),
    # Orders under a key
    "send_once.sent": (INFO, "Key %(key)s of thanks.io connection %(connection_id)s is an order."),
    "send_once.repeated": (
        INFO,
        "Key %(key)s of thanks.io connection %(connection_id)s was sent before; nothing is sent.",
    ),
    "send_once.refused": (INFO, "Key %(key)s of thanks.io connection %(connection_id)s was not sent (%(code)s)."),
    "send_once.unknown": (
        WARNING,
        "Key %(key)s of thanks.io connection %(connection_id)s has no known outcome (%(code)s); the next call looks.",
    ),
    "send_once.unknown:no_id": (
        WARNING,
        "Key %(key)s of thanks.io connection %(connection_id)s was answered without an id.",
    ),
    "send_once.taken_over": (
        WARNING,
        "Key %(key)s of thanks.io connection %(connection_id)s is not in thanks.io's list after ten minutes; sending "
        "again.",
    ),
    "send_once.not_marked": (
        ERROR,
        "Order %(order_id)s of thanks.io connection %(connection_id)s was sent, and could not be marked (%(error)s). "
        "Under the same key it is found in thanks.io's list.",
    ),
    "send_once.not_freed": (WARNING, "A key of send_once() could not be freed (%(error)s)."),
    "send_once.twice": (
        CRITICAL,
        "Key %(key)s of thanks.io connection %(connection_id)s has two orders: cancel one of them.",
    ),
    "send_once.forgotten": (INFO, "Keys of send_once() removed, whose orders were sent long ago: %(count)d."),
    "send_once.not_forgotten": (WARNING, "Old keys of send_once() stay (%(code)s)."),
}
