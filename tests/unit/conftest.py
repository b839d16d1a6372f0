"""Adds to the summary how much the interleaving tests explored (also under xdist: reports carry it)."""

import pytest
from hypothesis import settings

# The same examples in each run, and no clock: a busy machine is no failure.
settings.register_profile("thanksio_connect", derandomize=True, database=None, deadline=None, max_examples=60)
settings.load_profile("thanksio_connect")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line a scenario, and the sum."""
    explored = [
        dict(report.user_properties)
        for report in terminalreporter.getreports("passed")
        if any(name == "schedules" for name, _value in report.user_properties)
    ]
    if not explored:
        return
    terminalreporter.section("interleavings explored")
    for numbers in explored:
        terminalreporter.write_line(
            f"{numbers['scenario']}: {numbers['schedules']:,} schedules "
            f"({numbers['states']:,} states, {numbers['steps']:,} steps)"
        )
    total = {name: sum(numbers[name] for numbers in explored) for name in ("schedules", "states", "steps")}
    terminalreporter.write_line(
        f"in all: {total['schedules']:,} schedules ({total['states']:,} states, {total['steps']:,} steps)"
    )
