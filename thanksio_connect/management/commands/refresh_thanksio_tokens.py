"""``manage.py refresh_thanksio_tokens``: for cron, a systemd timer or Celery beat."""

from __future__ import annotations

import io
import json
import os
import sys
import threading
from contextlib import suppress
from typing import Any, NoReturn

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser, OutputWrapper
from django.db import DatabaseError, InterfaceError
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from ...database import facts
from ...exceptions import ThanksIOConfigurationError
from ...flows.bulk import BulkRefresh
from ...flows.outcome import Summary
from ...flows.selection import Selection
from ...flows.sent_orders import forget_sent_orders
from ...flows.sweep import SweptElsewhere
from ..arguments import duration, positive, rate, workers
from ..refresh_report import RefreshReport
from ..signals import stopping_on_signals

# What a stream raises that is closed, broken or full; a process without one has None.
UNWRITABLE = (OSError, ValueError, AttributeError)


def database_problem(error: Exception) -> str:
    """What to do about a database that fails: never its text, which may hold values."""
    if facts.is_old_schema(error):
        return _("The tables of thanksio_connect are missing or old. Run manage.py migrate; nothing was renewed.")
    return _(
        "The database can't be used (%(error)s). Look at DATABASES and at the server; connections that were not "
        "reached are renewed by the next run."
    ) % {"error": type(error).__name__}


def attention(summary: Summary) -> str:
    """What a person should know; empty if all is well."""
    sentences = []
    if summary.stopped_by == "throttled":
        sentences.append(_("thanks.io asks to send fewer requests."))
    elif summary.stopped_by == "unavailable":
        sentences.append(_("thanks.io can't be reached, or does not answer as it should."))
    elif summary.stopped_by == "interrupted":
        sentences.append(_("The run was interrupted; what was in flight is saved."))
    if summary.renewed_nothing:
        sentences.append(_("Nothing of what is due was renewed."))
    elif summary.alarming:
        sentences.append(_("Some thanks.io connections need attention. See the log and the admin."))
    if sentences and summary.remaining:
        sentences.append(_("The next run goes on with the rest."))
    return " ".join(sentences)


class Command(BaseCommand):
    """Exit status: 0 all well, 1 some connections need attention, 2 nothing could be done (configuration)."""

    requires_system_checks: Any = []  # on MySQL they need the database, and what stops a run is a sentence of its own

    help = (
        "Renews the thanks.io tokens that are due (a third of their lifetime is left), so that nobody is interrupted. "
        "Run it every few minutes, on several machines too: one run works at a time, the others say so and end. "
        "It names those that it could not renew (-v 2: all), by user and connection; with -v 0 it is "
        "silent while all is well. "
        "Exit status: 0 all well; 1 some connections need attention, or nothing of what was due was renewed; "
        "2 nothing could be done (configuration)."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """The options; see ``--help``."""
        which = parser.add_mutually_exclusive_group()
        which.add_argument(
            "--within", type=duration, metavar="TIME", help="also tokens that expire within 90s, 30m, 12h, 7d, 2w"
        )
        which.add_argument("--all", action="store_true", help="every connection that works, due or not")
        which.add_argument(
            "--user",
            action="append",
            default=[],
            metavar="USER",
            help="this user's connection, due or not: a username (USERNAME_FIELD) or primary key; may be repeated",
        )
        parser.add_argument("--dry-run", action="store_true", help="say how many, and renew none")
        parser.add_argument("--limit", type=positive, metavar="N", help="ask thanks.io for at most so many")
        parser.add_argument("--workers", type=workers, metavar="N", help="requests at a time (default: up to 16)")
        parser.add_argument(
            "--rate", type=rate, metavar="N", help="requests a minute (default: THANKSIO_RATE_LIMIT_PER_MINUTE)"
        )
        parser.add_argument(
            "--time-budget", type=duration, metavar="TIME", help="start no request after so long: 90s, 10m, 1h"
        )
        parser.add_argument("--json", action="store_true", help="print the summary as one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        """Parse, run, print."""
        self.is_json = options["json"]
        self.is_silent = not options["verbosity"]
        self.report = RefreshReport(
            self._write, is_json=self.is_json, is_terminal=self.stdout.isatty(), verbosity=options["verbosity"]
        )
        self.summary = Summary()
        try:
            self._run(options)
        except SweptElsewhere as error:
            self._print(stopped_by="swept elsewhere", note=_("Another run is at it: %(holder)s.") % vars(error.held))
        except ThanksIOConfigurationError as error:
            self._fail("configuration", str(error), returncode=2)
        except (DatabaseError, InterfaceError) as error:
            self._fail("database", database_problem(error), returncode=1 if self.summary.refreshed else 2)

    def _run(self, options: dict[str, Any]) -> None:
        users = [self._user(name) for name in options["user"]]
        selection = Selection(within=options["within"], everything=options["all"], users=users)
        if options["dry_run"] or users:
            count = selection.count()
            if users and not count:
                self._fail("nobody", _("None of these users is connected to thanks.io. Nothing was done."), 2)
        if options["dry_run"]:
            self.summary.remaining = min(count, options["limit"] or count)
            self._print(dry_run=True)
            return
        stop = threading.Event()
        run = BulkRefresh(
            selection,
            limit=options["limit"],
            workers=options["workers"],
            rate_per_minute=options["rate"],
            time_budget=options["time_budget"],
            stop=stop,
            progress=self.report.progress,
            on_row=self.report.row,
        )
        self.summary, self.report.per_minute = run.summary, run.pace.per_minute
        with stopping_on_signals(stop, lambda: run.in_flight, self._say_at_once):
            run.run()
            if not users:
                forget_sent_orders()
        text = attention(self.summary)
        self._print(note=text)
        if text:
            raise CommandError(text, returncode=1)

    def _fail(self, stopped_by: str, text: str, returncode: int) -> NoReturn:
        self._print(stopped_by=stopped_by, note=text)
        raise CommandError(text, returncode=returncode) from None

    def _user(self, name: str) -> Any:
        users = get_user_model()._default_manager
        for look in ({users.model.USERNAME_FIELD: name}, {"pk": name}):
            with suppress(ValueError, ValidationError, OverflowError):
                if (user := users.filter(**look).first()) is not None:
                    return user
        text = _("No user has the username or primary key %(name)s. Nothing was done.") % {"name": repr(name)}
        return self._fail("unknown user", text, returncode=2)

    def _print(self, *, dry_run: bool = False, stopped_by: str = "", note: str = "") -> None:
        summary = self.summary
        summary.stopped_by = stopped_by or summary.stopped_by
        if self.is_json:
            told = {**summary.as_dict(), **self.report.as_dict(), "dry_run": dry_run, "note": note}
            self._write(json.dumps(told))
        elif stopped_by == "swept elsewhere":
            if not self.is_silent:
                self._write(note)
        elif dry_run:
            count = summary.remaining
            words = ngettext("%(count)d connection would be renewed.", "%(count)d connections would be renewed.", count)
            self._write(words % {"count": count})
        elif note or not self.is_silent:
            words = _(
                "refreshed %(refreshed)d, skipped %(skipped)d, transient failures %(transient)d, "
                "reconnect required %(reconnect_required)d, undecryptable %(undecryptable)d, remaining %(remaining)d"
            )
            reason = f" ({summary.stopped_by})" if summary.stopped_by else ""
            self.report.clear()
            self._write(f"{words % summary.as_dict()}{reason}; {self.report.took()}")

    def _write(self, text: str, ending: str = "\n") -> None:
        """Print. Nobody may listen any more, or the disk be full: the sweep goes on, and keeps its exit status."""
        try:
            encoding = getattr(self.stdout, "encoding", None) or "utf-8"
            self.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding), ending=ending)
            self.stdout.flush()
        except UNWRITABLE:
            self.stdout = OutputWrapper(io.StringIO())
            with suppress(*UNWRITABLE):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes it at the end

    def _say_at_once(self, text: str) -> None:
        """Print from a signal handler, which may have interrupted a write: past Python's buffers."""
        try:
            os.write(self.stderr.fileno(), f"\n{text}\n".encode(self.stderr.encoding, "backslashreplace"))
        except UNWRITABLE:  # no file: a test's, or nobody's
            with suppress(*UNWRITABLE):
                self.stderr.write(text)
