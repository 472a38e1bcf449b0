"""What jobs are, and where they are kept: a small JSON file each, `data/.callsheet/jobs/{id}.json`.

Its plan, and its problems if there are many, lie in files of their own beside it. What came of each image is in the journal of its run.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal

import orjson
from pydantic import TypeAdapter, ValidationError

from callsheet import files, local, planfile
from callsheet.action import PastRun, Plan
from callsheet.errors import LocalError
from callsheet.layout import Layout, is_run_id
from callsheet.model import Problem
from callsheet.report import Moved, Progress

PROBLEMS_SHOWN = 100
"""So many problems are kept in memory and told in events and lists."""

_SUFFIX = ".json"
_log = logging.getLogger(__name__)

State = Literal["queued", "running", "done", "cancelled", "failed", "interrupted"]
Phase = Literal["looking", "moving"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a job is to do. `actors` are names of folders; all, if it is empty.

    `run` is what an undo takes back; with `or_before`, if it turns out that it did nothing, the last run before it that did.
    """

    verb: str
    actors: tuple[str, ...] = ()
    filenames: tuple[str, ...] = ()
    good: bool = False
    prefer: str = ""
    run: str = ""
    dry_run: bool = False
    plan_of: str = ""
    or_before: bool = False


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a job failed, in the shape of every error."""

    error: str
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Job:
    """One job as it is at a moment.

    `problems` are the first of `problem_count`. `key` is the Idempotency-Key that it came with, if it came with one, and `asked` the
    digest of that request. `polled` is of a sync that nobody asked for.
    """

    id: str
    wanted: Wanted
    created_at: datetime
    state: State = "queued"
    phase: Phase | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    looked: Progress | None = None
    moved: Moved | None = None
    run: str = ""
    summary: Mapping[str, Any] | None = None
    problems: tuple[Problem, ...] = ()
    problem_count: int = 0
    error: Failure | None = None
    key: str = ""
    asked: str = ""
    has_plan: bool = False
    polled: bool = False

    @property
    def ended(self) -> bool:
        return self.state not in ("queued", "running")


_JOB = TypeAdapter(Job)
_PROBLEMS = TypeAdapter(tuple[Problem, ...])


def interrupted(job: Job, past: PastRun | None) -> tuple[Job, tuple[Problem, ...]]:
    """A job that a stopped server left, with what its run did until then, and what failed of that. `past` is None if it began no run."""
    job = replace(job, state="interrupted", phase=None, ended_at=datetime.now(UTC))
    if past is None:
        return job, job.problems
    actions = [step.action for step in past.steps]
    done = [step.action for step in past.steps if step.known]
    failed = tuple(step.outcome.problem for step in past.steps if step.outcome and step.outcome.problem)
    moved = Moved(
        len(done) + len(failed),
        len(actions),
        sum(action.transferred_bytes for action in done),
        sum(action.transferred_bytes for action in actions),
        len(failed),
    )
    return replace(job, moved=moved), failed


class JobStore:
    """The jobs of one tree on disk. Every write is whole or not there; `LocalError` if it cannot be done."""

    def __init__(self, root: str, where: Layout) -> None:
        self._root = root
        self._where = where

    def load(self) -> tuple[list[Job], list[str]]:
        """All jobs, the oldest first, and what is wrong with files that hold none."""
        jobs: list[Job] = []
        notes: list[str] = []
        for name in local.names_in(self._path(self._where.jobs_dir)):
            job_id = name.removesuffix(_SUFFIX)
            if job_id == name or not is_run_id(job_id):
                continue
            path = self._path(self._where.job(job_id))
            try:
                job = _JOB.validate_json(local.read_bytes(path) or b"")
            except ValidationError:
                notes.append(f"{path} is not a job's file; it is passed over. Delete it.")
                continue
            except LocalError as error:
                notes.append(f"A job is passed over. {error.sentence} Mend or delete that.")
                continue
            if job.id == job_id:
                jobs.append(job)
        return jobs, notes

    def save(self, job: Job) -> None:
        files.write_atomically(self._path(self._where.job(job.id)), _JOB.dump_json(job))

    def keep(self, job: Job) -> Job:
        """As `save`; that the disk is full must not keep a run from ending well, so then it is a problem of the job that is returned."""
        try:
            self.save(job)
        except LocalError as error:
            told = Problem("", "", error.code, error.sentence)
            return replace(job, problems=(*job.problems, told)[:PROBLEMS_SHOWN], problem_count=job.problem_count + 1)
        return job

    def with_problems(self, job: Job, problems: tuple[Problem, ...]) -> Job:
        """The job with these problems; all of them are kept, the first are at hand."""
        if len(problems) > PROBLEMS_SHOWN:
            try:
                self.save_problems(job.id, problems)
            except LocalError as error:
                _log.error("The problems of job %s are not kept: %s", job.id, error.sentence)
        return replace(job, problems=problems[:PROBLEMS_SHOWN], problem_count=len(problems))

    def save_problems(self, job_id: str, problems: Iterable[Problem]) -> None:
        files.write_atomically(self._path(self._where.job_problems(job_id)), _PROBLEMS.dump_json(tuple(problems)))

    def problems(self, job: Job) -> tuple[Problem, ...]:
        """All of them."""
        if job.problem_count <= len(job.problems):
            return job.problems
        raw = local.read_bytes(self._path(self._where.job_problems(job.id)))
        return _PROBLEMS.validate_json(raw) if raw else job.problems

    def save_plan(self, job_id: str, plan: Plan) -> None:
        files.write_atomically(self._path(self._where.job_plan(job_id)), orjson.dumps(planfile.plan_as_dict(plan)))

    def plan(self, job_id: str) -> Plan:
        """`PlanError` if there is none, or none that makes sense."""
        path = self._path(self._where.job_plan(job_id))
        return planfile.read_plan(local.read_bytes(path) or b"", path)

    def plan_as_json(self, job_id: str) -> bytes | None:
        return local.read_bytes(self._path(self._where.job_plan(job_id)))

    def delete(self, job_id: str) -> None:
        """All that is kept of a job; its run stays in the journal."""
        for path in (self._where.job(job_id), self._where.job_plan(job_id), self._where.job_problems(job_id)):
            with suppress(OSError):  # it is tried again at the next pruning, or does no harm
                os.unlink(self._path(path))

    def _path(self, path: str) -> str:
        return os.path.join(self._root, path)
