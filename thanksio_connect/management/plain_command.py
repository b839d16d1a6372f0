"""What the app's commands have in common: a sentence and an exit status for whatever fails, and no traceback."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from typing import Any, NoReturn

from django.core.management.base import BaseCommand, CommandError, OutputWrapper
from django.db import DatabaseError, InterfaceError
from django.utils.translation import gettext as _

from ..database import facts
from ..exceptions import ThanksIOConfigurationError

# What a stream raises that is closed, broken or full; a process without one has None.
UNWRITABLE = (OSError, ValueError, AttributeError)


def database_sentence(error: Exception) -> str:
    """What to do about a database that fails: never its text, which may hold values."""
    if facts.is_old_schema(error):
        return _("The tables of thanksio_connect are missing or old. Run manage.py migrate.")
    text = _("The database can't be used (%(error)s). Look at DATABASES and at the server.")
    return text % {"error": type(error).__name__}


class PlainCommand(BaseCommand):
    """Exit status 2 for a database or a configuration that makes the command impossible. The checks don't stop it."""

    requires_system_checks: Any = []

    def handle(self, *args: Any, **options: Any) -> None:
        """Run, and say in a sentence what stopped it."""
        try:
            self.run(options)
        except (DatabaseError, InterfaceError) as error:
            self.fail(database_sentence(error))
        except ThanksIOConfigurationError as error:
            self.fail(str(error))

    def run(self, options: dict[str, Any]) -> None:
        """What the command does."""
        raise NotImplementedError

    def fail(self, text: str, returncode: int = 2) -> NoReturn:
        """End with a sentence."""
        raise CommandError(text, returncode=returncode) from None

    def say(self, text: str) -> None:
        """Print. Nobody may listen any more, or the disk be full: the command keeps its exit status."""
        try:
            self.stdout.write(text)
            self.stdout.flush()
        except UNWRITABLE:
            self.stdout = OutputWrapper(io.StringIO())
            with suppress(*UNWRITABLE):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes it at the end
