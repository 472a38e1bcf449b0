"""Jobs are handed to threads several at once where there are many, and none is lost, done twice, or begun after all was stopped."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from threading import Barrier, Event

import pytest

from callsheet import dispatch
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
    """Not even of those that a thread was handed with the one that it is at."""
    shared, at_it, go_on = _Shared(100_000), Event(), Event()

    def job(shared: _Shared, task: int) -> int:
        if shared.done.total() == _FIRST:
            at_it.set()
            go_on.wait(20)
        return _job(shared, task)

    with ThreadPoolExecutor(1) as executor:
        asked = each(executor, job, shared, range(100_000), 100_000, _lost)
        next(asked)
        assert at_it.wait(20)
        asked.close()  # type: ignore[attr-defined]
        go_on.set()
    assert shared.done.total() == _FIRST + 1


_FIRST = dispatch._HERE_TOGETHER + 2
"""So many tasks are done when a thread is held: those of the first lot, and some of the second."""


def test_all_threads_of_a_large_pool_have_work() -> None:
    meeting = Barrier(32)

    def job(_: _Shared, task: int) -> int:
        if task % dispatch._HERE_TOGETHER == 0 and task < 32 * dispatch._HERE_TOGETHER:
            meeting.wait(20)  # until as many threads are here as there are
        return task

    with ThreadPoolExecutor(32) as executor:
        results = list(each(executor, job, _Shared(0), range(3_000), 3_000, _lost))
    assert sorted(results) == list(range(3_000))
