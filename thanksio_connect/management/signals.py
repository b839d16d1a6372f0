"""Ctrl-C and SIGTERM during a sweep: the first finishes what is in flight, the second warns, the third is obeyed.

A terminal that hangs up is as the first.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from ..conf import transport_config


@contextmanager
def stopping_on_signals(
    stop: threading.Event, in_flight: Callable[[], int], say: Callable[[str], object]
) -> Iterator[None]:
    """Set ``stop`` at the first signal. ``in_flight`` counts the requests that thanks.io has not answered yet.

    A request that is given up may cost its customer the connection: thanks.io has spent the refresh token, and nobody
    hears the new one. So the second signal only says so. The third ends the process at once.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    hang_up = _hang_up()
    numbers = {signal.SIGINT, signal.SIGTERM} | hang_up
    previous = {number: signal.getsignal(number) for number in numbers}
    seconds = transport_config().total_deadline_seconds
    heard = 0

    def handle(number: int, frame: Any) -> None:
        nonlocal heard
        stop.set()
        if number in hang_up:
            return  # no sign of impatience: shells send it more than once
        heard += 1
        if heard >= 3:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        elif heard == 2:
            say(_second(in_flight()))
        else:
            say(_first(in_flight(), seconds))

    for number in numbers:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _hang_up() -> set[signal.Signals]:
    """The signal of a terminal that hangs up; none under ``nohup``, where the run outlives its terminal."""
    number = getattr(signal, "SIGHUP", None)  # Windows has none
    return set() if number is None or signal.getsignal(number) is signal.SIG_IGN else {number}


def _first(count: int, seconds: float) -> str:
    if not count:
        return _("Stopping. No request is in flight.")
    words = ngettext(
        "Finishing the request in flight (up to %(seconds)d s)…",
        "Finishing the %(count)d requests in flight (up to %(seconds)d s)…",
        count,
    )
    return words % {"count": count, "seconds": seconds}


def _second(count: int) -> str:
    if not count:
        return _("Nothing is in flight any more, and the run is about to end. Once more ends it at once.")
    words = ngettext(
        "thanks.io has not answered yet. Once more ends the run at once, and one customer may have to connect "
        "again: the old tokens are spent, and the new ones get lost.",
        "thanks.io has not answered yet. Once more ends the run at once, and %(count)d customers may have to connect "
        "again: the old tokens are spent, and the new ones get lost.",
        count,
    )
    return words % {"count": count}
