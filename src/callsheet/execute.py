"""Carrying out a plan: many actions at once, each on its own, every outcome in the journal as it is known.

Rules of this module: it writes no status. What was touched is looked at again by whoever called, and reconciled.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, wait
from dataclasses import dataclass, replace

from callsheet import again, folders, system
from callsheet.action import Action, Op, Outcome
from callsheet.cluster import Cluster
from callsheet.dispatch import each
from callsheet.download import download
from callsheet.errors import CallsheetError, WorkerLost
from callsheet.journal import Recorder
from callsheet.layout import printable
from callsheet.model import Problem
from callsheet.perform import perform
from callsheet.report import Moved
from callsheet.run import Stop
from callsheet.site import Site

OnMoved = Callable[[Moved], None]
OnOutcome = Callable[[Outcome], None]

_LOOKED_EVERY_S = 0.02
_TOLD_EVERY_S = 0.1
_BATCH_IMAGES = 32
_BATCH_BYTES = 8 << 20


def execute(
    site: Site,
    actions: Sequence[Action],
    executor: Executor,
    recorder: Recorder,
    *,
    at_once: int,
    stop: Stop,
    on_moved: OnMoved,
    on_outcome: OnOutcome,
) -> tuple[list[Outcome], tuple[str, ...]]:
    """What each action came to, in the order of `actions`, and the notes of the stores that were used (`Remote.notes`).

    Those actions that were not begun when `stop` said so have no outcome, and are left out at the end.

    Actions about the same image follow one another. `at_once` of them are under way at a time; what is under way when `stop` says so is finished.
    """
    line: _Line | _Cluster
    if isinstance(executor, Cluster):
        line = _Cluster(site, actions, executor)
    else:
        line = _Line(site, actions, executor, at_once)
    outcomes: dict[int, Outcome] = {}
    total_bytes = sum(action.transferred_bytes for action in actions)
    failed, told_s = 0, 0.0
    try:
        for some in line.finished(stop):
            outcomes |= some
            recorder.outcomes(some)
            for outcome in some.values():
                on_outcome(outcome)
                failed += outcome.problem is not None
            if system.monotonic() - told_s > _TOLD_EVERY_S or len(outcomes) == len(actions):
                told_s = system.monotonic()
                moved_bytes = min(site.meter.total_bytes, total_bytes)  # what was sent again was counted again
                on_moved(Moved(len(outcomes), len(actions), moved_bytes, total_bytes, failed))
    finally:
        line.halt()
    return [outcomes[number] for number in sorted(outcomes)], line.notes()


class _Line:
    """The images that wait, for jobs that each take the next one until there is none, or they are to stop."""

    def __init__(self, site: Site, actions: Sequence[Action], executor: Executor, at_once: int) -> None:
        self._site = site
        self._actions = actions
        groups = _in_batches(actions, _by_image(actions), at_once)
        self._waiting = iter(groups)
        self._lock = threading.Lock()
        self._halted = threading.Event()
        self._done: deque[tuple[list[int], list[Outcome]]] = deque()
        self._jobs = [executor.submit(self._work) for _ in range(min(at_once, len(groups)))]

    def notes(self) -> tuple[str, ...]:
        return self._site.remote.notes()

    def halt(self) -> None:
        """No job begins another image."""
        self._halted.set()

    def _work(self) -> None:
        """One job."""
        while not self._halted.is_set():
            with self._lock:
                group = next(self._waiting, None)
            if group is None:
                return
            self._done.append((group, _carried_out(self._site, [self._actions[number] for number in group])))

    def finished(self, stop: Stop) -> Iterator[dict[int, Outcome]]:
        """What actions came to, by their numbers: those that have ended since the last time, which may be none, until all jobs have ended.

        Who waited for each of them would be woken for each, and keep those who work from Python's lock.
        """
        ended = not self._jobs
        while not ended:
            ended = not wait(self._jobs, _LOOKED_EVERY_S).not_done
            some: dict[int, Outcome] = {}
            while self._done:
                group, outcomes = self._done.popleft()
                some.update(zip(group, outcomes, strict=True))
            yield some
            if stop():
                self.halt()
        for job in self._jobs:
            job.result()


@dataclass(frozen=True, slots=True)
class _Task:
    """The actions about one image, or a batch of downloads, and their numbers."""

    numbers: tuple[int, ...]
    actions: tuple[Action, ...]


@dataclass(frozen=True, slots=True)
class _Result:
    """What a task came to on a worker, and what that has learnt of the store so far."""

    numbers: tuple[int, ...]
    outcomes: tuple[Outcome, ...]
    notes: tuple[str, ...] = ()


class _Cluster:
    """The same for the workers of a cluster: an image is a task, or a batch of downloads."""

    def __init__(self, site: Site, actions: Sequence[Action], cluster: Cluster) -> None:
        self._site = site
        self._cluster = cluster
        batches = _in_batches(actions, _by_image(actions), cluster.at_once)
        self._tasks = [_Task(tuple(some), tuple(actions[number] for number in some)) for some in batches]
        self._notes: dict[str, None] = {}

    def halt(self) -> None:
        """Nothing waits here that would have to be kept from beginning."""

    def notes(self) -> tuple[str, ...]:
        return tuple(self._notes)

    def finished(self, stop: Stop) -> Iterator[dict[int, Outcome]]:
        """What the actions of a task came to, by their numbers, as it is known. Of what is begun when `stop` says so, all; of the rest none."""
        for result in each(self._cluster, _on_worker, self._site, self._tasks, len(self._tasks), _lost, stop):
            self._notes |= dict.fromkeys(result.notes)
            done = [outcome.action for outcome in result.outcomes if outcome.problem is None]
            self._site.meter.count(sum(action.transferred_bytes for action in done))
            yield dict(zip(result.numbers, result.outcomes, strict=True))


def _on_worker(site: Site, task: _Task) -> _Result:
    """Carry out a task, durably, and no matter whether a worker that was lost has begun or done it."""
    outcomes = [
        again.settled(site, outcome) if outcome.problem else outcome
        for outcome in _carried_out(site, list(task.actions))
    ]
    unsafe = {told.actor: told for told in make_durable(site, outcomes)}
    outcomes = [_unless(outcome, unsafe.get(outcome.action.actor)) for outcome in outcomes]
    return _Result(task.numbers, tuple(outcomes), site.remote.notes())


def _unless(outcome: Outcome, told: Problem | None) -> Outcome:
    """The outcome; if it may not survive a crash, with the problem that says so."""
    if told is None or outcome.problem is not None or not outcome.action.op.here:
        return outcome
    return replace(outcome, problem=replace(told, filename=outcome.action.filename))


def _lost(task: _Task, error: WorkerLost) -> _Result:
    return _Result(task.numbers, tuple(_failed(action, error) for action in task.actions))


def _by_image(actions: Sequence[Action]) -> list[list[int]]:
    """The numbers of the actions, those about one image together, in the order in which the images come first."""
    groups: dict[tuple[str, str], list[int]] = {}
    for number, action in enumerate(actions):
        groups.setdefault((action.actor, action.filename), []).append(number)
    return list(groups.values())


def _in_batches(actions: Sequence[Action], groups: list[list[int]], at_once: int) -> list[list[int]]:
    """`groups`, but downloads of several small images as one, if there are so many that every job still has its share."""
    downloads = sum(action.op is Op.DOWNLOAD for action in actions)
    most = min(_BATCH_IMAGES, downloads // (4 * at_once))
    batches: list[list[int]] = []
    batch: list[int] = []
    size_bytes = 0
    for group in groups:
        if actions[group[0]].op is not Op.DOWNLOAD or most < 2:
            batches.append(group)
            continue
        batch += group
        size_bytes += sum(actions[number].size_bytes for number in group)
        if len(batch) >= most or size_bytes > _BATCH_BYTES:
            batches.append(batch)
            batch, size_bytes = [], 0
    return [*batches, batch] if batch else batches


def _carried_out(site: Site, actions: list[Action]) -> list[Outcome]:
    """The outcomes of a batch of downloads, or of the actions about one image."""
    if any(action.op is not Op.DOWNLOAD for action in actions):
        return _in_turn(site, actions)
    results = download(site, actions)
    return [
        _failed(action, result) if isinstance(result, CallsheetError) else result
        for action, result in zip(actions, results, strict=True)
    ]


def _failed(action: Action, error: CallsheetError) -> Outcome:
    return Outcome(action, Problem(action.actor, action.filename, error.code, printable(error.sentence)))


def _in_turn(site: Site, actions: list[Action]) -> list[Outcome]:
    """The job of one image. After a failure nothing more is done to it, but that what was put away is put back."""
    outcomes: list[Outcome] = []
    for action in actions:
        if outcomes and outcomes[-1].problem is not None and action.trashed is None:
            outcomes.append(Outcome(action, outcomes[-1].problem))
            continue
        try:
            outcomes.append(perform(site, action))
        except CallsheetError as error:
            outcomes.append(_failed(action, error))
    return outcomes


def make_durable(site: Site, outcomes: Iterable[Outcome]) -> list[Problem]:
    """Flush the folders that files were put into or taken from; what the files hold is durable already. Returns what could not be.

    What evictions leave of their folders in the trash is removed.
    """
    outcomes = list(outcomes)
    for folder in {os.path.dirname(site.trash(o.action, site.run_id)) for o in outcomes if o.action.op is Op.EVICT}:
        folders.remove_empty(folder, site.trash_dir)
    placed = (outcome.action for outcome in outcomes if outcome.problem is None and outcome.action.op.here)
    actors = {os.path.dirname(site.path(action)): action.actor for action in placed}
    told = folders.flush(sorted(actors))
    return [Problem(actors[folder], "", error.code, error.sentence) for folder, error in told.items()]
