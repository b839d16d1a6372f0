"""Where each step of a renewal touches the database. Chosen before anything is sent.

=====================  ===================================================================================
the caller stands      the engine works
=====================  ===================================================================================
in autocommit          on the caller's connection; a store that fails goes on over private connections
in a transaction       on private connections (PostgreSQL, MariaDB), so a rollback of the caller's changes nothing
in a transaction that  on the caller's connection, in savepoints, waiting for nobody, with a guard that writes the pair
holds the row, or on   again after a rollback, and with an entry in the journal that tells others meanwhile
SQLite
in a TestCase          as above, without the journal: nobody else sees the rows
=====================  ===================================================================================
"""

from __future__ import annotations

import logging

from django.db import connections

from . import connections as databases
from .callers_transaction import CallersTransaction, InTestCase
from .place import OwnConnections, Place
from .row import Key

logger = logging.getLogger("thanksio_connect")

# MariaDB locks the row for a child of it: two transactions with a child each would wait for one another.
SHARED_LOCK_SECONDS = 5.0


def choose(alias: str, key: Key, lease_seconds: float, *, must_renew: bool) -> Place | None:
    """The place for this caller. None: only the caller's transaction would do, and the token still lives, so use it."""
    if not databases.in_transaction(alias):
        return Place(alias, key, lease_seconds)
    if databases.testcase_blocks(alias):
        return InTestCase(alias, key, lease_seconds)
    callers = CallersTransaction(alias, key, lease_seconds)
    if connections[alias].vendor != "sqlite":
        own = OwnConnections(alias, key, lease_seconds)
        reached = own.probe() or own.reaches_row()
        if reached:
            return own
        if not must_renew:
            return None
        if not callers.probe() and reached is None:
            own.probed = None
            if not connections[alias].features.has_select_for_no_key_update:
                own.patience_seconds = SHARED_LOCK_SECONDS
            return own  # somebody else's lock: wait for it there
        reason = "the transaction holds, or has just created, the connection's row"
    elif not must_renew:
        return None
    else:
        reason = "SQLite has one writer at a time"
    logger.warning(
        "thanks.io tokens of connection %s are renewed inside a database transaction, because %s. Its locks are held "
        "until thanks.io answers. Call connection.get_access_token() before the transaction begins.",
        key.pk,
        reason,
    )
    return callers
