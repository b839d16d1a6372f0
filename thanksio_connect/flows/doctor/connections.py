"""The connections: how many are due, overdue and failing, and whether the sweep runs."""

from __future__ import annotations

from collections.abc import Iterator

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from ..census import Census, take_census
from .finding import Finding, ok, problem, warning

# Nothing swept for so long although connections are there: the cron job is missing.
QUIET_SECONDS = 24 * 3600.0


def probe_connections() -> Iterator[Finding]:
    """The counts, and the sweep."""
    census = take_census()
    yield _counts(census)
    if census.overdue:
        text = ngettext(
            "%(count)d connection is due for more than an hour.",
            "%(count)d connections are due for more than an hour.",
            census.overdue,
        )
        cure = _(
            "Run manage.py refresh_thanksio_tokens every few minutes (cron, a timer, Celery), and read its output."
        )
        yield warning("overdue", text % {"count": census.overdue}, cure)
    if census.errors:
        codes = ", ".join(f"{code} {count}" for code, count in census.errors.items())
        cure = _("docs/operations.md says what each code means.")
        yield warning("failing", _("Last failures: %(codes)s.") % {"codes": codes}, cure)
    yield from _sweep(census)


def _counts(census: Census) -> Finding:
    text = _(
        "%(connections)d connections: %(connected)d work, %(reconnect_required)d need their owner; %(due)d are due."
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
