"""``python manage.py demo``: the product and the sandbox, ready to try; with ``--walkthrough``, tried already."""

from __future__ import annotations

import argparse
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext as _

from example_project.demo import run, walkthrough
from example_project.demo.processes import DemoError, interrupt_on

INTERRUPTED = 130


class Command(BaseCommand):
    help = "Run the example product beside a stand-in for thanks.io. Needs no thanks.io account and mails nothing."
    requires_system_checks = []

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--port", type=_port, help="The product's port (8000; a free one for --walkthrough).")
        parser.add_argument(
            "--sandbox-port", type=_port, help="The sandbox's port (8001; a free one for --walkthrough)."
        )
        parser.add_argument(
            "--walkthrough",
            action="store_true",
            help="Play the whole story over HTTP on fresh databases, check both sides after each step, and end.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        interrupt_on("SIGINT", "SIGTERM", "SIGHUP")  # a shell starts what runs in the background deaf to SIGINT
        use_case = walkthrough.run if options["walkthrough"] else run.run
        try:
            use_case(options["port"], options["sandbox_port"], self._say)
        except DemoError as error:
            raise CommandError(str(error)) from None
        except KeyboardInterrupt:
            self._say("\n" + _("Stopped."))
            if options["walkthrough"]:
                raise SystemExit(INTERRUPTED) from None

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()


def _port(value: str) -> int:
    if value.isdecimal() and 0 < int(value) < 65536:
        return int(value)
    raise argparse.ArgumentTypeError(_("%(value)r is no port number (1 to 65535)") % {"value": value})
