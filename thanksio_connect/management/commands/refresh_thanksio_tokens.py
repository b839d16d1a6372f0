"""``manage.py refresh_thanksio_tokens``: for cron, a systemd timer or Celery beat."""

from __future__ import annotations

import io
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser, OutputWrapper
from django.db import DatabaseError, InterfaceError, ProgrammingError
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from ...exceptions import ThanksIOConfigurationError
from ...flows.bulk import BulkRefresh
from ...flows.outcome import Summary
from ...flows.selection import Selection
from ...flows.sent_orders import forget_sent_orders
from ...flows.sweep import SweptElsewhere
from ..arguments import duration, positive, rate, workers

BAR_WIDTH = 30
LINE_EVERY = 200
# What a stream raises that is closed, broken or full; a process without one has None.
UNWRITABLE = (OSError, ValueError, AttributeError)


def database_problem(error: Exception) -> str:
    """What to do about a database that fails: never its text, which may hold values."""
    if isinstance(error, ProgrammingError) or "no such" in str(error):
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
    elif summary.failed:
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
            progress=self._progress(),
        )
        self.summary = run.summary
        with _finishing_on_signals(stop):
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
            self._write(json.dumps({**summary.as_dict(), "dry_run": dry_run, "note": note}))
        elif stopped_by == "swept elsewhere":
            self._write(note)
        elif dry_run:
            count = summary.remaining
            words = ngettext("%(count)d connection would be renewed.", "%(count)d connections would be renewed.", count)
            self._write(words % {"count": count})
        else:
            words = _(
                "refreshed %(refreshed)d, skipped %(skipped)d, transient failures %(transient)d, "
                "reconnect required %(reconnect_required)d, undecryptable %(undecryptable)d, remaining %(remaining)d"
            )
            reason = f" ({summary.stopped_by})" if summary.stopped_by else ""
            self._write(("\r" if self.stdout.isatty() else "") + words % summary.as_dict() + reason)

    def _write(self, text: str, ending: str = "\n") -> None:
        """Print. Nobody may listen any more, or the disk be full: the sweep goes on, and keeps its exit status."""
        try:
            self.stdout.write(text, ending=ending)
            self.stdout.flush()
        except UNWRITABLE:
            self.stdout = OutputWrapper(io.StringIO())
            with suppress(*UNWRITABLE):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes it at the end

    def _progress(self) -> Any:
        is_terminal = self.stdout.isatty()
        shown_at = 0.0

        def show(summary: Summary) -> None:
            nonlocal shown_at
            total = summary.done + summary.remaining
            if is_terminal:
                now = time.monotonic()
                if now - shown_at < 0.1 and summary.remaining:
                    return
                shown_at = now
                filled = BAR_WIDTH * summary.done // max(1, total)
                bar = "#" * filled + "." * (BAR_WIDTH - filled)
                self._write(f"\r[{bar}] {summary.done}/{total}", ending="" if summary.remaining else "\n")
            elif summary.done % LINE_EVERY == 0:
                self._write(f"{summary.done}/{total}")

        return (lambda summary: None) if self.is_json else show


@contextmanager
def _finishing_on_signals(stop: threading.Event) -> Iterator[None]:
    """The first Ctrl-C or SIGTERM lets what is in flight finish and be saved; a second one acts as usual."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def finish(number: int, frame: object) -> None:
        stop.set()
        for each, handler in previous.items():
            signal.signal(each, handler)

    for number in previous:
        signal.signal(number, finish)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
