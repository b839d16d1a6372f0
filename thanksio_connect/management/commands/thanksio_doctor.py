"""``manage.py thanksio_doctor``: can this installation work?"""

from __future__ import annotations

import json
import sys
from typing import Any

from django.core.management.base import CommandParser
from django.utils.translation import gettext as _

from ...flows.doctor.examination import examine
from ...flows.doctor.finding import Finding, Level, worst
from ..plain_command import PlainCommand

STATUS = {Level.OK: 0, Level.WARNING: 1, Level.PROBLEM: 2}
WIDTH = max(map(len, Level))


class Command(PlainCommand):
    """Exit status: the worst finding's, 0 ok, 1 warning, 2 problem."""

    help = (
        "Says in ten seconds whether this installation can work: settings, key, database, thanks.io. It changes "
        "nothing, spends no token and prints no secret. Exit status: 0 all well, 1 warnings, 2 problems."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """The options; see ``--help``."""
        parser.add_argument("--all", action="store_true", help="decrypt the tokens of every connection, not a sample")
        parser.add_argument("--json", action="store_true", help="print the findings as one JSON object")

    def run(self, options: dict[str, Any]) -> None:
        """Examine, print, end with the worst finding's status."""
        findings = []
        for finding in examine(everything=options["all"]):
            findings.append(finding)
            if not options["json"]:
                self._show(finding)
        level = worst(findings)
        if options["json"]:
            self.say(json.dumps({"level": level, "findings": [finding.as_dict() for finding in findings]}, indent=2))
        else:
            self._sum_up(findings, level)
        if STATUS[level]:
            sys.exit(STATUS[level])

    def _show(self, finding: Finding) -> None:
        paint = {Level.OK: self.style.SUCCESS, Level.WARNING: self.style.WARNING, Level.PROBLEM: self.style.ERROR}
        self.say(f"{paint[finding.level](finding.level.ljust(WIDTH))}  {finding.text}")
        if finding.cure:
            self.say(f"{' ' * WIDTH}  → {finding.cure}")

    def _sum_up(self, findings: list[Finding], level: Level) -> None:
        counts = {each.value: sum(finding.level is each for finding in findings) for each in Level}
        if level is Level.OK:
            self.say(_("All well."))
        else:
            self.say(_("%(problem)d problems, %(warning)d warnings.") % counts)
