"""A rate is held by all threads together, by a clock that the test turns; and every byte is counted."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callsheet import meter
from callsheet.meter import Meter

BURST_S = 0.25
LIMIT = 1000


class Clock:
    """Stands in for `time`: sleeping turns it on, if `turns`."""

    def __init__(self, *, turns: bool = True) -> None:
        self.now_s = 1_000_000.0
        self.slept: list[float] = []
        self._turns = turns
        self._lock = threading.Lock()

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        with self._lock:
            self.slept.append(seconds)
            if self._turns:
                self.now_s += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(meter, "system", made)
    return made


@given(blocks=st.lists(st.integers(0, 5000), min_size=1, max_size=30))
def test_no_more_than_the_rate_passes_but_for_one_burst(blocks: list[int]) -> None:
    clock = Clock()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(meter, "system", clock)
        limited, started_s = Meter(LIMIT), clock.now_s
        for size in blocks:
            limited.pass_on(size)
    assert clock.now_s - started_s == pytest.approx(max(0, sum(blocks) / LIMIT - BURST_S), abs=1e-6)


def test_time_without_traffic_saves_up_no_more_than_a_burst(clock: Clock) -> None:
    limited = Meter(LIMIT)
    limited.pass_on(LIMIT)
    clock.now_s += 3600
    started_s = clock.now_s
    limited.pass_on(10 * LIMIT)
    assert clock.now_s - started_s == pytest.approx(10 - BURST_S)


def test_a_slow_reader_is_not_slowed_down_further(clock: Clock) -> None:
    limited = Meter(LIMIT)
    for _ in range(20):
        limited.pass_on(100)
        clock.now_s += 0.1
    assert clock.slept == []


def test_without_a_limit_nobody_waits(clock: Clock) -> None:
    unlimited = Meter()
    for _ in range(10):
        unlimited.pass_on(1 << 40)
    assert clock.slept == []
    assert unlimited.total_bytes == 10 << 40


@pytest.mark.parametrize("limit", [None, LIMIT])
def test_every_byte_of_every_thread_is_counted(limit: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meter, "system", Clock())
    counted = Meter(limit)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(counted.pass_on, [3] * 4000))
    assert counted.total_bytes == 12_000


def test_threads_share_one_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    """All come at the same instant: each waits until it is its turn, the last as long as all bytes take."""
    clock = Clock(turns=False)
    monkeypatch.setattr(meter, "system", clock)
    limited = Meter(LIMIT)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(limited.pass_on, [LIMIT] * 8))
    assert sorted(clock.slept) == pytest.approx([turn - BURST_S for turn in range(1, 9)])
