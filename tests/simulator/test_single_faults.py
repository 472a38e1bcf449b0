"""No single fault, wherever it comes in a run, loses anything; and where that makes sense the same run, again, finishes what was begun."""

from __future__ import annotations

import pytest

from simulator import single


@pytest.mark.parametrize("mode", single.MODES)
@pytest.mark.parametrize("name", single.SCENES)
def test_no_single_fault_breaks_a_promise(name: str, mode: str) -> None:
    assert single.check(name, mode) >= 20
