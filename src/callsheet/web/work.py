"""The routes of jobs."""

from __future__ import annotations

import hashlib
from typing import Annotated

import orjson
from fastapi import APIRouter, Header, Query, Response

from callsheet.errors import UsageError
from callsheet.result import outcome_row
from callsheet.web import views
from callsheet.web.actors import TheService
from callsheet.web.answers import errors, json_response
from callsheet.web.jobschema import JobBody, JobList, JobRequest, WholeJob, job_as_dict
from callsheet.web.jobstore import Job, State

router = APIRouter(tags=["jobs"])

_MOST_OUTCOMES = 1000
_SENT_BEFORE = {"model": JobBody, "description": "The job that came with this Idempotency-Key"}

IdempotencyKey = Annotated[str, Header(max_length=255)]


@router.post(
    "/api/jobs",
    status_code=202,
    response_model=JobBody,
    responses={200: _SENT_BEFORE, **errors(400, 404, 409, 422, 429)},
)
def ask(service: TheService, body: JobRequest, idempotency_key: IdempotencyKey = "") -> Response:
    """Ask for a job. It is carried out when no job before it is about one of its actors."""
    if body.verb is None and not body.plan_of:
        raise UsageError("A job needs a verb", hint="Give `verb`, or `plan_of`.")
    asked = hashlib.blake2b(body.model_dump_json().encode(), digest_size=16).hexdigest()
    return _asked(*service.jobs.submit(body.wanted(), key=idempotency_key, asked=asked))


@router.get("/api/jobs", response_model=JobList, responses=errors(422))
def list_jobs(
    service: TheService,
    state: Annotated[State | None, Query()] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> Response:
    """Jobs, the newest first."""
    jobs = [job for job in service.jobs.all() if state in (None, job.state)]
    return json_response({"jobs": [job_as_dict(job) for job in jobs[:limit]]})


@router.get("/api/jobs/{job_id}", response_model=WholeJob, responses=errors(404, 422))
def one_job(
    service: TheService,
    job_id: str,
    outcomes_from: Annotated[int, Query(ge=0, le=100_000_000)] = 0,
) -> Response:
    """One job, with its plan, all of its names and problems, and up to a thousand of its outcomes, in the order in which they were known."""
    jobs = service.jobs
    job = jobs.get(job_id)
    plan = jobs.plan_as_json(job)
    outcomes, count = jobs.outcomes(job, outcomes_from, _MOST_OUTCOMES)
    return json_response(
        {
            **job_as_dict(job, names_shown=None),
            "problems": views.problems(jobs.problems(job)),
            "plan": plan and orjson.Fragment(plan),
            "outcomes": [outcome_row(outcome) for outcome in outcomes],
            "outcome_count": count,
        }
    )


@router.delete("/api/jobs/{job_id}", status_code=202, response_model=JobBody, responses=errors(404, 409))
def cancel(service: TheService, job_id: str) -> Response:
    """Cancel: what waits is never begun, what runs is asked to stop."""
    return json_response(job_as_dict(service.jobs.cancel(job_id)), 202)


@router.post(
    "/api/jobs/{job_id}/resume",
    status_code=202,
    response_model=JobBody,
    responses={200: _SENT_BEFORE, **errors(404, 409, 422, 429)},
)
def resume(service: TheService, job_id: str, idempotency_key: IdempotencyKey = "") -> Response:
    """A new job that goes on with one that was interrupted, cancelled or failed."""
    return _asked(*service.jobs.resume(job_id, key=idempotency_key))


def _asked(job: Job, is_new: bool) -> Response:
    return json_response(job_as_dict(job), 202 if is_new else 200, {"Location": f"/api/jobs/{job.id}"})
