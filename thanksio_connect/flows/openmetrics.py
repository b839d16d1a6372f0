"""The census as OpenMetrics text, which a node-exporter's textfile collector and Prometheus read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from .census import Census

Sample = tuple[dict[str, str], float]


def openmetrics(census: Census) -> str:
    """Return the whole exposition, with the end mark. What is not known has no sample."""
    lines = [line for name, words, samples in _families(census) for line in _family(name, words, samples)]
    return "\n".join([*lines, "# EOF", ""])


def _families(census: Census) -> Iterator[tuple[str, str, list[Sample]]]:
    states = {"connected": census.connected, "reconnect_required": census.reconnect_required}
    yield "connections", "Connections by state.", [({"state": name}, count) for name, count in states.items()]
    for name, words in (
        ("due", "Connections whose renewal is due."),
        ("overdue", "Connections whose renewal is due for more than an hour."),
        ("failing", "Connections that work, and whose last renewal failed."),
        ("expired", "Connections that work, and whose access token is past its lifetime."),
    ):
        yield f"connections_{name}", words, [({}, getattr(census, name))]
    yield (
        "connections_last_error",
        "Connections by the code of their last failure.",
        [({"code": code}, count) for code, count in census.errors.items()],
    )
    sweep = census.sweep
    for name, words, moment in (
        ("oldest_success", "When the oldest pair of tokens was obtained.", census.oldest_success),
        ("next_due", "When the next renewal is due, or was.", census.next_due),
        ("sweep_started", "When the last sweep began.", sweep.started_at),
        ("sweep_finished", "When the last sweep ended.", sweep.finished_at),
    ):
        yield f"{name}_timestamp_seconds", words, _at(moment)
    yield "sweep_running", "Whether a sweep runs.", [({}, int(sweep.is_running))]
    yield "sweep_connections", "What the last sweep came to.", list(_counts(sweep.counts))


def _at(moment: datetime | None) -> list[Sample]:
    return [] if moment is None else [({}, moment.timestamp())]


def _counts(counts: Any) -> Iterator[Sample]:
    for outcome, count in counts.items():
        if isinstance(count, int) and not isinstance(count, bool):
            yield {"outcome": str(outcome)}, count


def _family(name: str, words: str, samples: Iterable[Sample]) -> Iterator[str]:
    yield f"# TYPE thanksio_{name} gauge"
    yield f"# HELP thanksio_{name} {words}"
    for labels, value in samples:
        text = ",".join(f'{label}="{_escaped(value_)}"' for label, value_ in labels.items())
        yield f"thanksio_{name}{'{' + text + '}' if text else ''} {value}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
