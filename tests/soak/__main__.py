"""``python -m tests.soak --operations 10000 --seed 1``: the soak on the database that THANKSIO_TEST_DATABASE names.

Exits 0 if no invariant was broken, else 1.
"""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import tempfile
from pathlib import Path

import django


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--operations", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=None, help="default: a random one, which is printed")
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--threads", type=int, default=3)
    parser.add_argument("--users", type=int, default=6)
    parser.add_argument("--variant", default=None, help="how the database is configured, see tests/integration/refresh")
    options = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()
    from tests.integration.refresh.databases import KIND, VARIANTS, Database, using
    from tests.soak.soak import Soak

    seed = secrets.randbelow(10**6) if options.seed is None else options.seed
    variant = options.variant or VARIANTS[0]
    print(f"soak: {KIND}/{variant}, {options.operations} operations, seed {seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        database = Database(Path(folder), f"test_thanksio_soak_{os.getpid()}")
        database.create()
        values = database.copy(variant)
        with using(values):
            soak = Soak(
                values,
                seed=seed,
                operations=options.operations,
                processes=options.processes,
                threads=options.threads,
                users=options.users,
            )
            report = soak.run()
        database.destroy()
    print(report.summary(), flush=True)
    for violation in report.violations:
        print(f"violation: {violation}", flush=True)
    return 1 if report.violations else 0


if __name__ == "__main__":
    sys.exit(main())
