"""A database of the benchmarks' own, made before and removed after, whose name child processes are told."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import django
from django.conf import settings


@contextmanager
def benchmark_database(kind: str) -> Iterator[None]:
    """Set Django up on a fresh database of that kind, with all tables; the process can use but one."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.settings"
    os.environ["BENCHMARK_DATABASE"] = kind
    with tempfile.TemporaryDirectory(prefix="thanksio-benchmark-") as folder:
        if kind == "sqlite":
            os.environ["BENCHMARK_DATABASE_NAME"] = str(Path(folder) / "benchmark.sqlite3")
        django.setup()
        from django.db import connection, connections

        before = settings.DATABASES["default"]["NAME"]
        os.environ["BENCHMARK_DATABASE_NAME"] = connection.creation.create_test_db(verbosity=0, autoclobber=True)
        try:
            yield
        finally:
            connections.close_all()
            connection.creation.destroy_test_db(before, verbosity=0)
