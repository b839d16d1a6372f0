"""Markdown tables on standard output."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmarks.measure import Finding


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table; the first column to the left, the others to the right."""
    lines = [f"| {' | '.join(header)} |", f"|---|{'---:|' * (len(header) - 1)}"]
    lines += [f"| {' | '.join(str(cell) for cell in row)} |" for row in rows]
    return "\n".join(lines)


def findings_table(findings: Iterable[Finding]) -> str:
    """What was measured, its target, and whether it was reached."""
    rows = []
    for finding in findings:
        value = f"{finding.value:.0f}" if finding.is_count else f"{finding.value:.2f}"
        limit = f"{finding.limit:.0f}" if finding.is_count else f"{finding.limit:.2f}"
        rows.append((finding.what, value, f"≤ {limit}", "yes" if finding.is_met else "**no**", finding.detail))
    return table(("what", "measured", "target", "reached", "detail"), rows)
