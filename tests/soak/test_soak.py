"""A short soak; ``python -m tests.soak`` runs a long one."""

from __future__ import annotations

import os
from typing import Any

import pytest

from tests.integration.refresh import databases
from tests.integration.refresh.databases import Database
from tests.soak.soak import Soak


@pytest.mark.parametrize("variant", databases.VARIANTS[:1])
def test_no_connection_is_lost_without_a_cause(
    tmp_path: Any, django_db_blocker: Any, variant: str, capsys: Any
) -> None:
    database = Database(tmp_path, f"test_thanksio_soak_{os.getpid()}")
    seed = int(os.environ.get("THANKSIO_SOAK_SEED", "1"))
    operations = int(os.environ.get("THANKSIO_SOAK_OPERATIONS", "180"))
    with django_db_blocker.unblock():
        database.create()
        values = database.copy(variant)
        with databases.using(values):
            report = Soak(values, seed=seed, operations=operations, processes=3, threads=3, users=5).run()
        database.destroy()
    with capsys.disabled():
        print(f"\n{report.summary()}")
    assert report.violations == []
    assert report.operations >= operations * 0.5
