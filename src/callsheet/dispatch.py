"""Handing jobs to an executor, few at a time, for there may be a million: the same job on threads of this process and on a cluster.

Small jobs go several at once: to hand one over costs as much as to look at an actor that has not changed, and on a cluster more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import islice
from queue import SimpleQueue
from typing import Protocol, TypeVar

from callsheet.cluster import Cluster
from callsheet.errors import WorkerLost
from callsheet.run import Stop, never


class Shared(Protocol):
    """What all jobs share. Pickled, it is small; unpickled on a worker, it is what it was here, or raises `ClusterError`."""

    def beacon(self) -> AbstractContextManager[None]:
        """While in its context, workers can tell whether they see the tree that the jobs are about."""
        ...


_S = TypeVar("_S", bound=Shared)
_T = TypeVar("_T")
_R = TypeVar("_R")
_IN_FLIGHT = 64
_MOST_TOGETHER = 16
_TURNS = 4
"""So many times at least each thread of a cluster is to come back for more: else the last ones would be waited for."""

_HERE_TOGETHER = 8
_HERE_TURNS = 128
"""The same for threads of this process, all of them together."""


def each(
    executor: Executor,
    job: Callable[[_S, _T], _R],
    shared: _S,
    tasks: Iterable[_T],
    about: int,
    lost: Callable[[_T, WorkerLost], _R],
    halt: Stop = never,
) -> Iterator[_R]:
    """What `job(shared, task)` returns for all tasks, as they come.

    `about` is how many tasks there may be. What `lost` makes of a task stands for one whose workers were lost. After `halt` said so,
    the results of those tasks only that were begun before.
    """
    waiting = iter(tasks)
    pending: dict[Future[list[_R]], list[_T]] = {}
    done: SimpleQueue[Future[list[_R]]] = SimpleQueue()
    is_cluster = isinstance(executor, Cluster)
    together, in_flight = _lots(executor, about)
    stop = _Halt(halt)

    def begin(some: list[_T]) -> None:
        future = executor.submit(_in_turn, job, shared, some, never if is_cluster else stop)
        pending[future] = some
        future.add_done_callback(done.put)

    def next_done() -> Iterator[_R]:
        future = done.get()
        some = pending.pop(future)
        if future.cancelled():
            return
        try:
            yield from future.result()
        except WorkerLost as error:
            if len(some) == 1:
                yield lost(some[0], error)
            else:  # each for itself, to find the one that it was
                for task in some:
                    begin([task])

    with shared.beacon() if is_cluster else nullcontext():
        try:
            while some := list(islice(waiting, together)):
                if halt():
                    break
                begin(some)
                if len(pending) >= in_flight:
                    yield from next_done()
            while pending:
                if halt():
                    _cancel(pending)
                yield from next_done()
        finally:
            stop.ended = True
            _cancel(pending)


@dataclass(slots=True)
class _Halt:
    """A `Stop` that also says so when nobody waits for results any more."""

    halt: Stop
    ended: bool = False

    def __call__(self) -> bool:
        return self.ended or self.halt()


def _lots(executor: Executor, about: int) -> tuple[int, int]:
    """How many jobs go at once, and how many such lots are under way, of so many in all."""
    if isinstance(executor, Cluster):
        return max(1, min(_MOST_TOGETHER, about // (_TURNS * executor.at_once))), executor.at_once
    together = max(1, min(_HERE_TOGETHER, about // _HERE_TURNS))
    return together, _IN_FLIGHT


def _in_turn(job: Callable[[_S, _T], _R], shared: _S, tasks: Sequence[_T], halt: Stop) -> list[_R]:
    """What the job returns for those of the tasks that come before `halt` says so."""
    return [job(shared, task) for task in tasks if not halt()]


def _cancel(pending: Iterable[Future[list[_R]]]) -> None:
    for future in pending:
        future.cancel()
