"""A process of callers: each thread has its own database connection, waits for the others, and asks for a token."""

from __future__ import annotations

import threading
import time
from typing import Any

import django

django.setup()  # a spawned process imports this module first

from django.db import connections  # noqa: E402

from benchmarks.measure import statements  # noqa: E402
from thanksio_connect.models import ThanksIOConnection  # noqa: E402

THREADS = 8


def run_process(inbox: Any, results: Any, barrier: Any) -> None:
    """Serve rounds: each thread takes a user's primary key from ``inbox``; None ends it."""
    threads = [threading.Thread(target=_serve, args=(inbox, results, barrier)) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _serve(inbox: Any, results: Any, barrier: Any) -> None:
    while (user_pk := inbox.get()) is not None:
        row = ThanksIOConnection.objects.select_related("tokens").get(user_id=user_pk)
        error = ""
        with statements() as seen:
            barrier.wait(60)
            started, worked = time.perf_counter(), time.thread_time()
            try:
                row.get_access_token()
            except Exception as problem:
                error = repr(problem)
            seconds, cpu_seconds = time.perf_counter() - started, time.thread_time() - worked
        results.put({"seconds": seconds, "cpu_seconds": cpu_seconds, "queries": len(seen), "error": error})
    connections.close_all()
