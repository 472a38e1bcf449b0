"""How much was tried."""

from __future__ import annotations

import pytest

_TRIED = [0]


@pytest.fixture
def examples() -> list[int]:
    """One number, which counts the examples of all targets."""
    return _TRIED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _TRIED[0]:
        terminalreporter.write_line(f"{_TRIED[0]} examples")
