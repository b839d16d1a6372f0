"""``manage.py refresh_thanksio_tokens``: for cron, a systemd timer or Celery beat."""

from __future__ import annotations

import argparse
import json
import re
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, InterfaceError, ProgrammingError, connections, router
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from ...exceptions import ThanksIOConfigurationError
from ...flows.bulk import BulkRefresh, SweptElsewhere
from ...flows.outcome import Summary
from ...flows.selection import Selection
from ...models import ConnectionTokens
from ...refresh import database_facts as facts

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
BAR_WIDTH = 30
LINE_EVERY = 200
DEFAULT_WORKERS, MOST_WORKERS = 4, 64


def duration(text: str) -> timedelta:
    """``90s``, ``30m``, ``12h``, ``7d`` or ``2w``; a bare number is seconds."""
    match = re.fullmatch(r"([0-9]{1,9})([smhdw]?)", text.strip())
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration: write 90s, 30m, 12h, 7d or 2w")
    try:
        length = timedelta(**{UNITS[match[2] or "s"]: int(match[1])})
    except OverflowError:
        length = timedelta.max
    if length > timedelta(days=36500):
        raise argparse.ArgumentTypeError(f"{text!r} is longer than a century")
    return length


def positive(text: str) -> int:
    """A whole number above zero."""
    if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)


def workers(text: str) -> int:
    """A whole number above zero, and not beyond what a machine can do."""
    if (number := positive(text)) > MOST_WORKERS:
        raise argparse.ArgumentTypeError(f"{text!r} is more than {MOST_WORKERS}")
    return number


def default_workers() -> int:
    """Several, so that a slow row does not hold up the others; one where sessions can't write side by side."""
    alias = router.db_for_write(ConnectionTokens)
    return 1 if connections[alias].vendor == "sqlite" or facts.in_transaction(alias) else DEFAULT_WORKERS


def database_problem(error: Exception) -> str:
    """What to do about a database that fails: never its text, which may hold values."""
    if isinstance(error, ProgrammingError) or "no such" in str(error):
        return _("The tables of thanksio_connect are missing or old. Run manage.py migrate; nothing was renewed.")
    return _(
        "The database can't be used (%(error)s). Look at DATABASES and at the server; connections that were not "
        "reached are renewed by the next run."
    ) % {"error": type(error).__name__}


def rate(text: str) -> float:
    """Requests a minute, above zero."""
    if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", text) or float(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return float(text)


class Command(BaseCommand):
    """Exit status: 0 all well, 1 some connections need attention, 2 nothing could be done (configuration)."""

    help = (
        "Renews the thanks.io tokens that are due (a third of their lifetime is left), so that nobody is interrupted. "
        "Run it every few minutes; overlapping runs, on several machines too, are safe. "
        "Exit status: 0 all well, 1 some connections need attention, 2 nothing could be done (configuration)."
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
        parser.add_argument("--limit", type=positive, metavar="N", help="at most so many connections")
        parser.add_argument("--workers", type=workers, metavar="N", help="requests at a time (default: 4; 1 on SQLite)")
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
            self._print(stopped_by="configuration", note=str(error))
            raise CommandError(str(error), returncode=2) from None
        except (DatabaseError, InterfaceError) as error:
            text = database_problem(error)
            self._print(stopped_by="database", note=text)
            raise CommandError(text, returncode=1 if self.summary.refreshed else 2) from None

    def _run(self, options: dict[str, Any]) -> None:
        users = [_user(name) for name in options["user"]]
        selection = Selection(within=options["within"], everything=options["all"], users=users)
        if options["dry_run"]:
            self.summary.remaining = selection.count()
            if options["limit"] is not None:
                self.summary.remaining = min(self.summary.remaining, options["limit"])
            self._print(dry_run=True)
            return
        stop = threading.Event()
        run = BulkRefresh(
            selection,
            limit=options["limit"],
            workers=options["workers"] or default_workers(),
            rate_per_minute=options["rate"],
            time_budget=options["time_budget"],
            stop=stop,
            progress=self._progress(),
        )
        self.summary = run.summary
        with _finishing_on_signals(stop):
            run.run()
        self._print()
        if self.summary.needs_attention:
            raise CommandError(_("Some thanks.io connections need attention. See the log and the admin."), returncode=1)
        if self.summary.stopped_by == "interrupted":
            raise CommandError(self.summary.stopped_by, returncode=1)

    def _print(self, *, dry_run: bool = False, stopped_by: str = "", note: str = "") -> None:
        summary = self.summary
        summary.stopped_by = stopped_by or summary.stopped_by
        if self.is_json:
            self.stdout.write(json.dumps({**summary.as_dict(), "dry_run": dry_run, "note": note}))
            return
        if stopped_by == "swept elsewhere":
            self.stdout.write(note)
            return
        if dry_run:
            count = summary.remaining
            words = ngettext("%(count)d connection would be renewed.", "%(count)d connections would be renewed.", count)
            self.stdout.write(words % {"count": count})
            return
        if self.stdout.isatty():
            self.stdout.write("\r", ending="")
        self.stdout.write(
            _(
                "refreshed %(refreshed)d, skipped %(skipped)d, transient failures %(transient)d, "
                "reconnect required %(reconnect_required)d, undecryptable %(undecryptable)d, remaining %(remaining)d"
            )
            % summary.as_dict()
            + (f" ({summary.stopped_by})" if summary.stopped_by else "")
        )

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
                self.stdout.write(f"\r[{bar}] {summary.done}/{total}", ending="" if summary.remaining else "\n")
                self.stdout.flush()
            elif summary.done % LINE_EVERY == 0:
                self.stdout.write(f"{summary.done}/{total}")

        return (lambda summary: None) if self.is_json else show


def _user(name: str) -> Any:
    users = get_user_model()._default_manager
    user = users.filter(**{users.model.USERNAME_FIELD: name}).first()
    if user is None:
        try:
            user = users.filter(pk=name).first()
        except (ValueError, ValidationError, OverflowError):
            user = None
    if user is None:
        raise CommandError(
            _("No user has the username or primary key %(name)s. Nothing was done.") % {"name": repr(name)},
            returncode=2,
        )
    return user


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
