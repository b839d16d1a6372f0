"""How all connections are, on top of the list: counts that lead to their rows, the reasons of failures, the sweep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.utils.timesince import timesince, timeuntil
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from ..flows.census import Census, take_census
from ..flows.diagnosis import diagnosis_of
from ..flows.standing import Standing

# Nothing swept for so long although there is something to renew: nobody runs the command.
QUIET_SECONDS = 24 * 3600.0
REASONS_SHOWN = 12
# The filters, as the addresses name them.
STANDING, TROUBLE, RENEWAL = "standing", "trouble", "renewal"
_KEPT_AT = "_thanksio_census"


@dataclass(frozen=True)
class Count:
    """A number in words, and the filter that shows its rows."""

    words: str
    query: str
    tone: str = ""


@dataclass(frozen=True)
class Reason:
    """Why connections failed last, and the cure."""

    count: int
    short: str
    what: str
    cure: str
    query: str


@dataclass(frozen=True)
class Health:
    """What the list says on top. ``is_open``: the reasons are spelled out."""

    counts: list[Count]
    reasons: list[Reason]
    reasons_left_out: int
    failed: int
    sweep: str
    sweep_is_missing: bool
    wait: str
    is_open: bool


def census_of(request: HttpRequest) -> Census:
    """Return the census, taken once for a request."""
    census = getattr(request, _KEPT_AT, None)
    if census is None:
        census = take_census()
        setattr(request, _KEPT_AT, census)
    return census


def health_of(request: HttpRequest) -> Health:
    """Return what to say on top of the list; the reason that is filtered by alone, if one is."""
    census = census_of(request)
    asked = request.GET.get(TROUBLE)
    reasons = sorted(
        (_reason(code, count) for code, count in census.errors.items() if asked in (None, "", code)),
        key=lambda reason: -reason.count,
    )
    return Health(
        counts=_counts(census),
        reasons=reasons[:REASONS_SHOWN],
        reasons_left_out=max(0, len(reasons) - REASONS_SHOWN),
        failed=sum(reason.count for reason in reasons),
        sweep=last_sweep(census),
        sweep_is_missing=is_missing(census),
        wait=_wait(census),
        is_open=bool(asked) or not request.GET,
    )


def _reason(code: str, count: int) -> Reason:
    diagnosis = diagnosis_of(code)
    return Reason(count, str(diagnosis.short), str(diagnosis.what), str(diagnosis.cure), f"{TROUBLE}={code}")


def _counts(census: Census) -> list[Count]:
    works, fails, needs = census.connected - census.failing, census.failing, census.reconnect_required
    due, overdue, expired = census.due, census.overdue, census.expired
    lines = (
        (works, ngettext("%(count)d connected", "%(count)d connected", works), f"{STANDING}={Standing.CONNECTED}", ""),
        (fails, ngettext("%(count)d failing", "%(count)d failing", fails), f"{STANDING}={Standing.FAILING}", "failing"),
        (
            needs,
            ngettext("%(count)d needs its owner", "%(count)d need their owners", needs),
            f"{STANDING}={Standing.NEEDS_OWNER}",
            "needs_owner",
        ),
        (due, ngettext("%(count)d due", "%(count)d due", due), f"{RENEWAL}=due", ""),
        (overdue, ngettext("%(count)d overdue", "%(count)d overdue", overdue), f"{RENEWAL}=overdue", "failing"),
        (expired, ngettext("%(count)d expired", "%(count)d expired", expired), f"{RENEWAL}=expired", "failing"),
    )
    return [Count(words % {"count": number}, query, tone if number else "") for number, words, query, tone in lines]


def is_missing(census: Census) -> bool:
    """Whether there is something to renew and nobody has done so for a day."""
    seconds = census.seconds_since_sweep()
    return bool(census.connected) and not census.sweep.is_running and (seconds is None or seconds > QUIET_SECONDS)


def last_sweep(census: Census) -> str:
    """Return when connections were renewed last, as a sentence."""
    sweep = census.sweep
    moment = sweep.finished_at or sweep.started_at
    if sweep.is_running:
        return _("Connections are being renewed just now.")
    if moment is None:
        return _("No renewal run has been seen yet.")
    return _("The last renewal run ended %(time)s ago.") % {"time": timesince(moment, census.taken_at, depth=1)}


def _wait(census: Census) -> str:
    until: Any = census.sweep.wait_until
    if until is None:
        return ""
    return _("thanks.io asked to wait; renewals go on in %(time)s.") % {"time": timeuntil(until, depth=1)}
