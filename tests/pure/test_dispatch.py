"""Jobs are handed to threads several at once where there are many, and none is lost, done twice, or begun after all was stopped."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext

import pytest

from callsheet.dispatch import each
from callsheet.errors import WorkerLost


class _Shared:
    """What the jobs did, and after how many of them they are told to stop."""

    def __init__(self, most: int) -> None:
        self.done: Counter[int] = Counter()
        self.most = most

    def beacon(self) -> AbstractContextManager[None]:
        return nullcontext()

    def stops(self) -> bool:
        return self.done.total() >= self.most


def _job(shared: _Shared, task: int) -> int:
    shared.done[task] += 1
    return -task


def _lost(task: int, error: WorkerLost) -> int:
    raise AssertionError(task) from error


@pytest.mark.parametrize("about", [0, 10, 3_000])
def test_each_task_is_done_once(about: int) -> None:
    shared = _Shared(10_000)
    with ThreadPoolExecutor(3) as executor:
        results = list(each(executor, _job, shared, range(3_001), about, _lost))
    assert sorted(results) == sorted(-task for task in range(3_001))
    assert shared.done == Counter(range(3_001))


@pytest.mark.parametrize("about", [10, 100_000])
@pytest.mark.parametrize("most", [1, 3, 20])
def test_after_a_stop_no_task_is_begun(most: int, about: int) -> None:
    shared = _Shared(most)
    with ThreadPoolExecutor(1) as executor:
        results = list(each(executor, _job, shared, range(3_000), about, _lost, shared.stops))
    assert results == [-task for task in sorted(shared.done)]
    assert len(results) == most


def test_when_whoever_asked_has_gone_no_task_is_begun() -> None:
    shared = _Shared(100_000)
    with ThreadPoolExecutor(1) as executor:
        asked = each(executor, _job, shared, range(100_000), 100_000, _lost)
        next(asked)
        asked.close()  # type: ignore[attr-defined]
        at_most = shared.done.total() + 1
    assert shared.done.total() <= at_most
