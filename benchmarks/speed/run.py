"""Runs the measurements of speed. Imported once Django is set up."""

from __future__ import annotations

from django.conf import settings

from benchmarks.measure import Finding
from benchmarks.speed import api, cpu, fresh, refresh, sweep, table, waiters
from thanksio_connect.testing.remote import RemoteThanksIO


def measure(thanksio: RemoteThanksIO, *, quick: bool, only: str | None = None) -> list[Finding]:
    """Everything, or the part named ``only``; ``quick`` takes fewer rounds and a smaller table."""
    findings: list[Finding] = []
    if only in (None, "fresh"):
        findings += fresh.measure(rounds=300 if quick else 1000)
    if only in (None, "cpu"):
        findings += cpu.measure(thanksio, rounds=200 if quick else 600)
    if only in (None, "refresh"):
        findings += refresh.measure(thanksio, rounds=15 if quick else 60)
    if only in (None, "waiters") and settings.DATABASE != "sqlite":
        findings += waiters.measure(thanksio, rounds=5 if quick else 15)
    if only in (None, "api"):
        findings += api.measure(rounds=10 if quick else 30)
    if only in (None, "table"):
        findings += table.measure(rows=20_000 if quick else 100_000)
    if only in (None, "sweep"):
        full = {"due": 300, "rows": 1_000_000, "waiting": 100_000}
        few = {"due": 100, "rows": 50_000, "waiting": 20_000, "over_tls": False}
        findings += sweep.measure(**(few if quick else full))
    return findings
