"""The database: reachable, migrated, and able to do what a renewal needs, by a lease that is rolled back."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from django.apps import apps
from django.db import DatabaseError, InterfaceError, connections, router, transaction
from django.db.migrations.loader import MigrationLoader
from django.utils.translation import gettext as _

from ...conf import app_settings
from ...database import facts, sessions
from ...exceptions import RefreshInProgress, ThanksIOConfigurationError, ThanksIOError
from ...models import ConnectionTokens
from ...refresh import statements
from ...refresh.token_row import Key, new_id
from .finding import Finding, ok, problem, warning

LEASE_SECONDS = 1.0
LOCK_WAIT_SECONDS = 1.0
SESSION_PATIENCE_SECONDS = 1.0
SKEW_SECONDS = 30.0


def probe_database() -> Iterator[Finding]:
    """Stops at the first that fails: what follows would fail with it."""
    alias = router.db_for_write(ConnectionTokens)
    connection = connections[alias]
    try:
        connection.ensure_connection()
        missing = _missing_migrations(alias)
    except (DatabaseError, InterfaceError) as error:
        text = _("The database can't be used (%(error)s).") % {"error": type(error).__name__}
        yield problem("database", text, _("Look at DATABASES and at the server."))
        return
    if missing:
        text = _("The tables of thanksio_connect are missing or old (%(names)s).") % {"names": ", ".join(missing)}
        yield problem("migrations", text, _("Run manage.py migrate."))
        return
    yield ok("database", _("The database answers (%(vendor)s) and is migrated.") % {"vendor": connection.vendor})
    yield from _probe_lease(alias)
    yield from _probe_private_session(alias)


def _missing_migrations(alias: str) -> list[str]:
    label = apps.get_app_config("thanksio_connect").label
    loader = MigrationLoader(connections[alias])
    return sorted(
        name for app, name in loader.disk_migrations if app == label and (app, name) not in loader.applied_migrations
    )


def _a_key(alias: str) -> Key:
    """A row's that exists, or of none: the statement is the same."""
    row = ConnectionTokens._base_manager.using(alias).values_list("pk", "connection_id", "version").first()
    return Key(ConnectionTokens, *(row or (new_id(), 0, 1)))


def _probe_lease(alias: str) -> Iterator[Finding]:
    """Claim a row as a renewal does, and undo it. Nobody else sees the claim."""
    try:
        with transaction.atomic(using=alias):
            try:
                key = _a_key(alias)
                statements.claim(alias, key, statements.Lease(new_id(), LEASE_SECONDS, LOCK_WAIT_SECONDS))
            finally:
                transaction.set_rollback(True, using=alias)
    except RefreshInProgress:
        yield warning("lease", _("A row could not be claimed just now: somebody has it locked."), _("Try again."))
        return
    except (DatabaseError, InterfaceError) as error:
        text = _("The database does not do what a renewal needs (%(error)s).") % {"error": type(error).__name__}
        yield problem("lease", text, _("Use PostgreSQL, MariaDB or SQLite, and let the user write the app's tables."))
        return
    yield ok("lease", _("A row can be claimed for a renewal (tried, and undone)."))


def _probe_private_session(alias: str) -> Iterator[Finding]:
    """Whether a renewal inside a transaction finds its row on a session of its own."""
    if facts.obstacle_beside_a_transaction(alias) or facts.in_testcase(alias):
        return
    key, code = _a_key(alias), "private_session"
    is_empty = not ConnectionTokens._base_manager.using(alias).exists()
    try:
        with sessions.private_session(alias, patience_seconds=SESSION_PATIENCE_SECONDS) as using:
            sees = is_empty or statements.load(using, key) is not None
    except (DatabaseError, InterfaceError, ThanksIOError, ThanksIOConfigurationError) as error:
        text = _("A second database session could not be had (%(error)s).") % {"error": type(error).__name__}
        cure = _("Leave room in max_connections: renewals inside transactions hold the caller's locks otherwise.")
        yield warning(code, text, cure)
        return
    if sees:
        yield ok(code, _("A second database session sees the rows, so renewals outlive a rollback."))
        return
    cure = _("Name what prepares a session (tenant, role, search_path) in THANKSIO_PREPARE_SESSION.")
    if app_settings.prepare_session is not None:
        cure = _("Look at the function that THANKSIO_PREPARE_SESSION names.")
    yield warning(code, _("A second database session does not see the rows that this one sees."), cure)


def seconds_ahead(alias: str) -> float:
    """How far this machine's clock is ahead of the database's."""
    connection = connections[alias]
    moment = facts.now(connection)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {moment.sql}", moment.parameters)
        value = cursor.fetchone()[0]
    text = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    return (datetime.now(UTC) - text.replace(tzinfo=UTC)).total_seconds()


def probe_database_clock() -> Iterator[Finding]:
    """Due times are this machine's, leases the database's."""
    seconds = seconds_ahead(router.db_for_write(ConnectionTokens))
    if abs(seconds) > SKEW_SECONDS:
        text = _("This machine's clock and the database's differ by %(seconds)d seconds.") % {"seconds": abs(seconds)}
        yield warning("database_clock", text, _("Let NTP set both."))
