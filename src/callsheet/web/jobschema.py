"""The shapes of jobs, for checking what comes in and for OpenAPI; and jobs as JSON. What they mean is in docs/api.md."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from callsheet.web import views
from callsheet.web.jobstore import Job, Phase, State, Wanted
from callsheet.web.schema import ActorName, Body, ErrorBody, Filename, ProblemBody

VerbName = Literal["sync", "verify", "push", "pull", "repair", "evict", "rm", "undo"]
_NAMES_SHOWN = 100
_ID = "20251017T163000.000Z-1a2b"
_RUN = "20251017T163000.123Z-77aa"
_REQUEST: dict[str, Any] = {
    "verb": "push",
    "actors": ["0000_european_16_male"],
    "filenames": [],
    "good": False,
    "dry_run": True,
}
_JOB: dict[str, Any] = {
    "id": _ID,
    "verb": "push",
    "actors": ["0000_european_16_male"],
    "actor_count": 1,
    "filenames": [],
    "filename_count": 0,
    "good": False,
    "prefer": "",
    "run_to_undo": "",
    "dry_run": False,
    "plan_of": "",
    "state": "running",
    "phase": "moving",
    "created_at": "2025-10-17T16:30:00.000Z",
    "started_at": "2025-10-17T16:30:00.010Z",
    "ended_at": None,
    "looked": {"actors_done": 1, "actors_total": 1, "images": 17, "hashed_bytes": 0},
    "moved": {"actions_done": 3, "actions_total": 5, "bytes_done": 983040, "bytes_total": 1638400, "failed": 0},
    "run": _RUN,
    "summary": None,
    "problems": [],
    "problem_count": 0,
    "error": None,
}


class JobRequest(Body):
    """What a job is to do; with `plan_of`, nothing else."""

    verb: VerbName | None = None
    actors: Annotated[tuple[ActorName, ...], Field(max_length=100_000)] = ()
    filenames: Annotated[tuple[Filename, ...], Field(max_length=20_000)] = ()
    good: bool = False
    prefer: Literal["", "local", "s3"] = ""
    run: Annotated[str, Field(max_length=64)] = ""
    dry_run: bool = False
    plan_of: Annotated[str, Field(max_length=64)] = ""

    model_config = ConfigDict(json_schema_extra={"examples": [_REQUEST, {"plan_of": _ID}]})

    def wanted(self) -> Wanted:
        return Wanted(
            self.verb or "",
            self.actors,
            self.filenames,
            self.good,
            self.prefer,
            self.run,
            self.dry_run,
            self.plan_of,
        )


class LookedBody(BaseModel):
    actors_done: int
    actors_total: int
    images: int
    hashed_bytes: int


class MovedBody(BaseModel):
    actions_done: int
    actions_total: int
    bytes_done: int
    bytes_total: int
    failed: int


class JobBody(BaseModel):
    """A job as lists and events have it: `problems` are the first hundred of `problem_count`; `actors`, `filenames` likewise."""

    id: str
    verb: VerbName
    actors: list[str]
    actor_count: int
    filenames: list[str]
    filename_count: int
    good: bool
    prefer: Literal["", "local", "s3"]
    run_to_undo: str
    dry_run: bool
    plan_of: str
    state: State
    phase: Phase | None
    created_at: str
    started_at: str | None
    ended_at: str | None
    looked: LookedBody | None
    moved: MovedBody | None
    run: str
    summary: dict[str, Any] | None
    problems: list[ProblemBody]
    problem_count: int
    error: ErrorBody | None

    model_config = ConfigDict(json_schema_extra={"examples": [_JOB]})


class WholeJob(JobBody):
    """A job with all of its names and problems, its plan, and a part of its outcomes."""

    plan: dict[str, Any] | None
    outcomes: list[dict[str, Any]]
    outcome_count: int

    model_config = ConfigDict(
        json_schema_extra={"examples": [{**_JOB, "plan": None, "outcomes": [], "outcome_count": 0}]}
    )


class JobList(BaseModel):
    jobs: list[JobBody]


def job_as_dict(job: Job, names_shown: int | None = _NAMES_SHOWN) -> dict[str, Any]:
    """A job without what there may be a million of: the first of its actors and filenames, or, with None, all."""
    wanted = job.wanted
    return {
        "id": job.id,
        "verb": wanted.verb,
        "actors": list(wanted.actors[:names_shown]),
        "actor_count": len(wanted.actors),
        "filenames": list(wanted.filenames[:names_shown]),
        "filename_count": len(wanted.filenames),
        "good": wanted.good,
        "prefer": wanted.prefer,
        "run_to_undo": wanted.run,
        "dry_run": wanted.dry_run,
        "plan_of": wanted.plan_of,
        "state": job.state,
        "phase": job.phase,
        "created_at": views.moment(job.created_at),
        "started_at": views.moment(job.started_at),
        "ended_at": views.moment(job.ended_at),
        "looked": job.looked and asdict(job.looked),
        "moved": job.moved and asdict(job.moved),
        "run": job.run,
        "summary": job.summary,
        "problems": views.problems(job.problems),
        "problem_count": job.problem_count,
        "error": job.error and asdict(job.error),
    }
