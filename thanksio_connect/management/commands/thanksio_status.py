"""``manage.py thanksio_status``: how all connections are, for a person or for what watches."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from typing import Any

from django.core.management.base import CommandParser
from django.utils.translation import gettext as _

from ...flows.census import Census, take_census
from ...flows.openmetrics import openmetrics
from ..plain_command import PlainCommand


class Command(PlainCommand):
    """Exit status: 0 it was printed, 2 the database can't be asked."""

    help = (
        "Prints how many thanks.io connections work, need their owner, are due, overdue and failing, and when the last "
        "sweep ran. Asks the database four times, at any number of connections, and thanks.io never."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """The options; see ``--help``."""
        form = parser.add_mutually_exclusive_group()
        form.add_argument("--json", action="store_true", help="print one JSON object")
        form.add_argument("--openmetrics", action="store_true", help="print OpenMetrics text, for Prometheus")

    def run(self, options: dict[str, Any]) -> None:
        """Count and print."""
        census = take_census()
        if options["openmetrics"]:
            self.say(openmetrics(census).rstrip("\n"))
        elif options["json"]:
            self.say(json.dumps(asdict(census), default=_isoformat))
        else:
            for words, value in _lines(census):
                self.say(f"{words}: {value}")


def _isoformat(value: datetime) -> str:
    return value.isoformat()


def _lines(census: Census) -> list[tuple[str, object]]:
    lines: list[tuple[str, object]] = [
        (_("connections"), census.connections),
        (_("connected"), census.connected),
        (_("need their owner"), census.reconnect_required),
        (_("due"), census.due),
        (_("due for more than an hour"), census.overdue),
        (_("failing"), census.failing),
        (_("access token expired"), census.expired),
        (_("oldest success"), _when(census.oldest_success)),
        (_("next due"), _when(census.next_due)),
    ]
    if census.errors:
        lines.append((_("last failures"), ", ".join(f"{code} {count}" for code, count in census.errors.items())))
    lines.append((_("last sweep"), _sweep(census)))
    if census.sweep.wait_until is not None:
        lines.append((_("thanks.io asked to wait until"), _when(census.sweep.wait_until)))
    return lines


def _when(moment: datetime | None) -> str:
    return "-" if moment is None else moment.isoformat(timespec="seconds")


def _sweep(census: Census) -> str:
    sweep = census.sweep
    if sweep.is_running:
        values = {"when": _when(sweep.started_at), "holder": sweep.holder}
        return _("running since %(when)s (%(holder)s)") % values
    return _when(sweep.finished_at or sweep.started_at)
