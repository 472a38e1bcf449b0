"""What runs have put away on both sides, and emptying it: the one thing that destroys bytes which are nowhere else."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from callsheet import folders, local
from callsheet.errors import CallsheetError, RemoteError, UnknownRun
from callsheet.findings import not_seen
from callsheet.journal import Journal
from callsheet.layout import Layout, is_run_id, printable
from callsheet.model import Problem
from callsheet.remote import Remote

_UNDER_WAY = timedelta(days=1)
"""How long a run that has not ended is taken to be still going on."""


@dataclass(frozen=True, slots=True)
class Heap:
    """What one run has put away. `here` and `in_s3` are (path or key, size in bytes); `verb` is empty if no journal tells of it.

    `started` and `ended` are None where nothing tells them; `going_on` is known of this host's runs.
    """

    run_id: str
    verb: str = ""
    here: tuple[tuple[str, int], ...] = ()
    in_s3: tuple[tuple[str, int], ...] = ()
    started: datetime | None = None
    ended: datetime | None = None
    going_on: bool = False

    @property
    def elsewhere(self) -> bool:
        """Whether another tree that shares the bucket put it there: a run of this one's that touched S3 has a journal."""
        return bool(self.in_s3) and not self.verb

    @property
    def size_bytes(self) -> int:
        return sum(size for _, size in (*self.here, *self.in_s3))

    def as_dict(self) -> dict[str, Any]:
        return {
            "run": self.run_id,
            "verb": self.verb,
            "here": [{"path": printable(path), "bytes": size} for path, size in self.here],
            "in_s3": [{"key": printable(key), "bytes": size} for key, size in self.in_s3],
        }


@dataclass(frozen=True, slots=True)
class Trash:
    """The trash of both sides, the oldest run first, and what could not be looked at or emptied."""

    heaps: tuple[Heap, ...]
    problems: tuple[Problem, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return {
            "runs": [heap.as_dict() for heap in self.heaps],
            "bytes": sum(heap.size_bytes for heap in self.heaps),
            "problems": [asdict(told) for told in self.problems],
        }


@dataclass(slots=True)
class _Finds:
    here: dict[str, list[tuple[str, int]]] = field(default_factory=dict)
    in_s3: dict[str, list[tuple[str, int]]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def look_into(root: str, where: Layout, remote: Remote, journal: Journal) -> Trash:
    """Everything that is in the trash, on both sides. What could not be looked at is a problem."""
    finds = _Finds()
    for path, size in local.files_below(os.path.join(root, where.trash_dir)):
        run_id, _, inner = path.partition(os.sep)
        if is_run_id(run_id):
            finds.here.setdefault(run_id, []).append((inner, size))
    try:
        for item in remote.list(where.bucket, where.s3_trash_prefix):
            if found := where.trashed_in_s3(item.location):
                finds.in_s3.setdefault(found[0], []).append((str(found[1]), item.size_bytes))
    except RemoteError as error:
        finds.problems.append(replace(not_seen(where.bucket, error), message=error.sentence))
    heaps = (
        _heap(journal, run_id, tuple(finds.here.get(run_id, ())), tuple(finds.in_s3.get(run_id, ())))
        for run_id in sorted({*finds.here, *finds.in_s3})
    )
    return Trash(tuple(heaps), tuple(finds.problems))


def may_go(trash: Trash, before: datetime, now: datetime, *, named: bool) -> Trash:
    """The part of the trash that may be emptied: of the runs that started before `before`.

    A run that may still be going on keeps its trash; so does one of another tree on the same bucket, unless it was `named`.
    """
    heaps, problems = [], list(trash.problems)
    for heap in trash.heaps:
        if heap.elsewhere and not named:
            message = "no journal here tells of this run: it is another tree's; it goes only if you name it"
            problems.append(Problem("", heap.run_id, "not_ours", message))
            continue
        started = heap.started or now
        if heap.going_on:
            message = "this run is still going on, so its trash stays; wait for it, or stop it first"
            problems.append(Problem("", heap.run_id, "under_way", message))
        elif heap.ended is None and now - started < _UNDER_WAY:
            message = "this run has not ended, so its trash stays for a day"
            problems.append(Problem("", heap.run_id, "under_way", message))
        elif started < before:
            heaps.append(heap)
    return Trash(tuple(heaps), tuple(problems))


def empty(root: str, where: Layout, remote: Remote, going: Trash) -> Trash:
    """Delete what `going` holds, for good. Returns what was deleted, and what could not be."""
    problems = list(going.problems)
    gone = []
    for heap in going.heaps:
        try:
            folders.delete(os.path.join(root, where.trash_dir, heap.run_id))
            if heap.in_s3:
                _empty_in_s3(where, remote, heap.run_id)
            gone.append(heap)
        except CallsheetError as error:
            problems.append(Problem("", heap.run_id, error.code, error.sentence))
    return Trash(tuple(gone), tuple(problems))


def _empty_in_s3(where: Layout, remote: Remote, run_id: str) -> None:
    for item in list(remote.list(where.bucket, f"{where.s3_trash_prefix}{run_id}/")):
        remote.delete(item.location, if_match=item.etag)


def _heap(journal: Journal, run_id: str, here: tuple[tuple[str, int], ...], in_s3: tuple[tuple[str, int], ...]) -> Heap:
    """One run's, with what its journal tells. One that no journal tells of names the time that it started.

    Without a journal, what is only here is a sync's, which was over at once; of all else it is not known whether it ended.
    """
    going_on = False
    try:
        going_on = journal.is_under_way(run_id)
        past = journal.read(run_id)
    except UnknownRun:
        started = _named_time(run_id)
        return Heap(run_id, "", here, in_s3, started, None if in_s3 else started)
    except CallsheetError:
        return Heap(run_id, "unknown", here, in_s3, _named_time(run_id), None, going_on)
    return Heap(run_id, past.verb, here, in_s3, past.started, past.ended, going_on)


def _named_time(run_id: str) -> datetime | None:
    try:
        return datetime.strptime(f"{run_id[:15]}+0000", "%Y%m%dT%H%M%S%z")
    except ValueError:
        return None
