"""The connections: how many are due, overdue and failing, and whether the sweep runs."""

from __future__ import annotations

from collections.abc import Iterator

from django.utils.translation import gettext as _

from ..census import NO_TOKENS, Census, take_census
from .finding import Finding, ok, problem, warning

# Nothing swept for so long although connections are there: the cron job is missing.
QUIET_SECONDS = 24 * 3600.0


def probe_connections() -> Iterator[Finding]:
    """The counts, and the sweep."""
    census = take_census()
    yield _counts(census)
    if census.overdue:
        text = _("Connections that are due for more than an hour: %(count)d.")
        cure = _("Run manage.py refresh_thanksio_tokens every few minutes (cron, a timer, Celery).")
        yield warning("overdue", text % {"count": census.overdue}, cure)
    if census.errors:
        codes = ", ".join(f"{code} {count}" for code, count in census.errors.items())
        yield _failures(_("Last failures: %(codes)s.") % {"codes": codes}, census)
    yield from _sweep(census)


def _failures(text: str, census: Census) -> Finding:
    """Customers who took the access away are none of the operator's troubles."""
    if census.failing or NO_TOKENS in census.errors:
        return warning("failing", text, _("docs/operations.md says what each code means."))
    return ok("failing", text)


def _counts(census: Census) -> Finding:
    text = _(
        "Connections: %(connections)d; working: %(connected)d; need their owner: %(reconnect_required)d; due: %(due)d."
    )
    return ok("connections", text % vars(census))


def _sweep(census: Census) -> Iterator[Finding]:
    seconds = census.seconds_since_sweep()
    cure = _("Run manage.py refresh_thanksio_tokens every few minutes (cron, a timer, Celery).")
    if seconds is None:
        if census.connected:
            yield warning("sweep", _("No sweep has run yet."), cure)
        else:
            yield ok("sweep", _("No sweep has run yet, and none is needed."))
        return
    when = (census.sweep.finished_at or census.sweep.started_at or census.taken_at).isoformat(timespec="seconds")
    if census.sweep.is_running:
        yield ok("sweep", _("A sweep is running (%(holder)s).") % {"holder": census.sweep.holder})
    elif seconds > QUIET_SECONDS and census.connected:
        found = problem if census.overdue else warning
        yield found("sweep", _("The last sweep ended %(when)s, more than a day ago.") % {"when": when}, cure)
    else:
        yield ok("sweep", _("The last sweep ended %(when)s.") % {"when": when})
    if census.sweep.wait_until is not None:
        until = census.sweep.wait_until.isoformat(timespec="seconds")
        yield warning("wait", _("thanks.io asked to wait until %(when)s.") % {"when": until})
