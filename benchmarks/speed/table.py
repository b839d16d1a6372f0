"""A large table: the admin's list decrypts nothing, and the bulk refresh finds its rows by an index in flat memory."""

from __future__ import annotations

import gc
import tracemalloc
from datetime import UTC, datetime, timedelta

from django.contrib import admin
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client

from benchmarks.measure import Finding, decryptions, statements
from thanksio_connect.fields import LazySecret
from thanksio_connect.flows.selection import PAGE_SIZE, Selection
from thanksio_connect.models import ConnectionTokens, ThanksIOConnection
from thanksio_connect.testing.minting import mint_access_token, mint_opaque

INDEX = "thanksio_connect_due"


def measure(*, rows: int, small: int = 2000, listed: int = 10_000) -> list[Finding]:
    """Fill the table step by step: ``small`` rows, ``listed`` rows, ``rows`` rows, a hundredth of them due."""
    ThanksIOConnection.objects.all().delete()
    _fill(small)
    few = _peak_bytes()
    _fill(listed)
    findings = [_listing(listed)]
    _fill(rows)
    many = _peak_bytes()
    ratio = many / few
    detail = f"{few / 1e6:.1f} and {many / 1e6:.1f} MB, pages of {PAGE_SIZE}"
    findings.append(Finding(f"all {rows:,} rows / {small:,} rows: peak memory", ratio, 1.25, detail=detail))
    plan = _plan()
    findings.append(
        Finding(f"due rows of {rows:,}: index not used", 0 if INDEX in plan else 1, 0, is_count=True, detail=plan[:90])
    )
    return findings


def _fill(count: int) -> None:
    """Bring the table to that many rows."""
    now = datetime.now(UTC)
    have = ThanksIOConnection.objects.count()
    token = mint_access_token(user_id="1", client_id="9", issued_at=now.timestamp(), expires_at=now.timestamp() + 60)
    # One of each: what is encrypted once is not encrypted for every row.
    access, refresh = LazySecret(clear=token), LazySecret(clear=mint_opaque(720))
    for start in range(have, count, 2000):
        numbers = range(start, min(start + 2000, count))
        users = User.objects.bulk_create([User(username=f"row-{number}", password="!") for number in numbers])
        rows = ThanksIOConnection.objects.bulk_create(ThanksIOConnection(user=user) for user in users)
        ConnectionTokens.objects.bulk_create(
            ConnectionTokens(
                connection=row,
                access_token=access,
                refresh_token=refresh,
                expires_at=now + timedelta(hours=1),
                next_refresh_at=now + timedelta(hours=-1 if number % 100 == 0 else 1),
            )
            for number, row in zip(numbers, rows, strict=True)
        )
    with connection.cursor() as cursor:
        for model in (ThanksIOConnection, ConnectionTokens):
            table = connection.ops.quote_name(model._meta.db_table)
            cursor.execute(f"ANALYZE TABLE {table}" if connection.vendor == "mysql" else f"ANALYZE {table}")


def _listing(count: int) -> Finding:
    """The admin's list with every row on one page."""
    options = admin.site._registry[ThanksIOConnection]
    options.list_max_show_all = count
    client = Client()
    client.force_login(User.objects.create_superuser("admin"))
    with decryptions() as seen, statements() as queries:
        page = client.get("/admin/thanksio_connect/thanksioconnection/?all=")
    assert page.status_code == 200, page.status_code
    assert page.content.count(b'class="action-select"') == count
    return Finding(
        f"admin list of {count:,} rows: decryptions", len(seen), 0, is_count=True, detail=f"{len(queries)} queries"
    )


def _peak_bytes() -> int:
    """The most memory that walking over all rows takes."""
    selection = Selection(everything=True)
    tracemalloc.start()
    for _page in selection.pages():
        gc.collect()  # a row and its connection know each other: what is counted is what is still held
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def _plan() -> str:
    """How the database finds the first page of due rows."""
    queryset = Selection().due_rows("default").order_by("next_refresh_at", "pk")[:PAGE_SIZE]
    return " ".join(queryset.explain().split())
