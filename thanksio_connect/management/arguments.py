"""What the commands' arguments may look like. Each function raises ``ArgumentTypeError`` with a sentence."""

from __future__ import annotations

import argparse
import re
from datetime import timedelta

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
MOST_WORKERS = 64


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


def rate(text: str) -> float:
    """Requests a minute, 1 or more: the turn that a slower run reserves would keep everybody waiting after it."""
    if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", text) or float(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 on")
    return float(text)
