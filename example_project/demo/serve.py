"""One of the two servers: ``python -m example_project.demo.serve product localhost:8000``.

It ends when its parent does, however that ended: the parent holds the other end of the standard input.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import threading

import django
from django.core.management import call_command

from example_project.demo.prepare import SETTINGS

SECRET = re.compile(r"(?<=\?)\S+|(?<=/webhooks/)[\w-]{20,}")


def serve(part: str, address: str) -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = SETTINGS[part]
    threading.Thread(target=_end_with_parent, daemon=True).start()
    django.setup()
    logging.getLogger("django.server").addFilter(_worth_reading)
    call_command("runserver", address, use_reloader=False, skip_checks=True)


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


def _worth_reading(record: logging.LogRecord) -> bool:
    """Leave inspections out, and what is secret in addresses: codes and states in queries, a webhook's token."""
    if isinstance(record.args, tuple):
        record.args = tuple(SECRET.sub("…", arg) if isinstance(arg, str) else arg for arg in record.args)
    return "/_sandbox/" not in record.getMessage()


if __name__ == "__main__":
    serve(*sys.argv[1:3])
