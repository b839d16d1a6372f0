"""All probes, in the order in which a person would ask."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from django.db import DatabaseError, InterfaceError
from django.utils.translation import gettext as _

from . import configuration, connections, database, key
from .finding import Finding, Level, problem
from .network import NetworkProbes

Probe = Callable[[], Iterator[Finding]]


def examine(*, everything: bool = False) -> Iterator[Finding]:
    """Yield what is found, as it is found. ``everything``: try to decrypt every row, not a sample.

    Takes ten seconds at most, apart from ``everything`` and from a database that does not answer.
    """
    network = NetworkProbes()  # which are on their way while the rest is looked at
    for probe in (configuration.probe_settings, configuration.probe_redirect_uri, configuration.probe_checks):
        yield from _guarded(probe)
    yield from _guarded(key.probe_key)
    found = list(_guarded(database.probe_database))
    yield from found
    if all(finding.level is not Level.PROBLEM for finding in found):
        yield from _guarded(lambda: key.probe_tokens(everything=everything))
        yield from _guarded(connections.probe_connections)
        yield from _guarded(database.probe_database_clock)
    yield from _guarded(network.findings)


def _guarded(probe: Probe) -> Iterator[Finding]:
    """A probe that fails is a finding, too; the others go on. Its text is not shown: it could hold anything."""
    try:
        yield from probe()
    except (DatabaseError, InterfaceError) as error:
        text = _("The database can't be used (%(error)s).") % {"error": type(error).__name__}
        yield problem("database", text, _("Look at DATABASES and at the server."))
    except Exception as error:  # noqa: BLE001 - the project's code takes part: URLs, checks, routers
        text = _("A probe failed unexpectedly (%(error)s).") % {"error": type(error).__name__}
        yield problem("unexpected", text, _("Run manage.py check, and report this if that finds nothing."))
