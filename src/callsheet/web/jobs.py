"""The jobs of one server: asked for, waited for, carried out on threads, cancelled, gone on with after a restart."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from callsheet.action import Action, Mark, Outcome, PastRun, Plan
from callsheet.errors import CallsheetError, Collision, LossRefused, UsageError
from callsheet.layout import printable
from callsheet.library import Library
from callsheet.model import Problem
from callsheet.report import Moved, Progress, distinct
from callsheet.result import Proposal
from callsheet.run import Stop, never, new_run_id
from callsheet.web import jobrun
from callsheet.web.answers import ApiError
from callsheet.web.claim import Claim
from callsheet.web.ending import have_ended
from callsheet.web.jobrun import Reins, Result
from callsheet.web.jobstore import PROBLEMS_SHOWN, Failure, Job, JobStore, State, Wanted, interrupted
from callsheet.web.turns import Actors, Turn, Turns

_RUNNERS = 4
_WAITING = 100
_KEPT = 200
_POLLED_KEPT = 10
_TOLD_EVERY_S = 0.2
_RESUMABLE = ("interrupted", "cancelled", "failed")

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _UnderWay:
    """A job that waits or runs."""

    turn: Turn
    plan: Plan | None
    stop: threading.Event = field(default_factory=threading.Event)
    told_s: float = 0.0
    problems: list[Problem] = field(default_factory=list)


class Jobs:
    """All jobs of a tree. Safe to use from many threads.

    Jobs that share an actor are carried out one after the other, in the order in which they were asked for; others side by side.
    `on_change` is called with a job whenever it has moved on, `on_outcome` with what came of each image.
    """

    def __init__(
        self, library: Library, on_change: Callable[[Job], None], on_outcome: Callable[[Outcome], None]
    ) -> None:
        self.turns = Turns()
        self.claim = Claim(library)
        self.notes: list[str] = []
        self._library = library
        self._on_change = on_change
        self._on_outcome = on_outcome
        self._store = JobStore(library.root, library.where)
        self._lock = self.turns.changed
        self._jobs: dict[str, Job] = {}
        self._keys: dict[str, str] = {}
        self._under_way: dict[str, _UnderWay] = {}
        self._closing = self._closed = False
        self._running = 0
        self._runners = [
            threading.Thread(target=self._serve, name=f"callsheet-job-{number}", daemon=True)
            for number in range(_RUNNERS)
        ]

    def start(self) -> None:
        """Take up what an earlier server left, and begin to work. Claims the tree if that was not done."""
        self.claim.take()
        jobs, self.notes = self._store.load()
        for job in jobs:
            self._jobs[job.id] = self._taken_up(job)
            if job.key:
                self._keys[job.key] = job.id
        self._prune()
        self._running = len(self._runners)
        for runner in self._runners:
            runner.start()

    def stop(self) -> None:
        """Ask all that runs to stop, and begin nothing more; `close` waits for that."""
        with self._lock:
            self._closing = True
            self._lock.notify_all()
            for work in self._under_way.values():
                work.stop.set()

    def close(self, give_up: Stop = never) -> bool:
        """Wait for all that runs to stop, until `give_up` says yes: what has not stopped by then is interrupted.

        Whether all has stopped. If not, the tree stays claimed for as long as something works on it.
        """
        self.stop()
        ended = have_ended(self._runners, give_up)
        with self._lock:
            for job_id in [*self._under_way]:
                self._end(job_id, "interrupted")
            self._closed = True
            self._release_if_over()
        return ended

    def submit(self, wanted: Wanted, *, key: str = "", asked: str = "", polled: bool = False) -> tuple[Job, bool]:
        """A new job, and True; or the job that came with the same key, and False. `polled` says that nobody asked for it.

        Raises what tells at once that it makes no sense: `UsageError`, `UnknownActor`, `Collision`, `UnknownRun`, `ApiError`.
        """
        if known := self._with_key(key, asked):
            return known, False
        wanted, plan = self._understood(wanted)
        return self._queued(wanted, plan, key, asked, polled=polled)

    def get(self, job_id: str) -> Job:
        job = self._jobs.get(job_id)
        if job is None:
            hint = f"GET /api/jobs lists them; of those that have ended, {_KEPT} are kept."
            raise ApiError(404, "unknown_job", f"There is no job {printable(job_id)[:100]!r}", hint=hint)
        return job

    def all(self) -> list[Job]:
        """The newest first."""
        with self._lock:
            return [*self._jobs.values()][::-1]

    def cancel(self, job_id: str) -> Job:
        """A job that waits is cancelled; one that runs is asked to stop."""
        with self._lock:
            job = self.get(job_id)
            if job.ended:
                raise ApiError(409, "job_ended", f"Job {job_id} is over: {job.state}", hint="An undo takes a run back.")
            work = self._under_way[job_id]
            work.stop.set()
            return self._end(job_id, "cancelled") if job.state == "queued" else job

    def resume(self, job_id: str, *, key: str = "") -> tuple[Job, bool]:
        """A new job that asks for the same, and True; or the job that came with the same key, and False."""
        asked = f"resume {job_id}"
        if known := self._with_key(key, asked):
            return known, False
        job = self.get(job_id)
        if job.state not in _RESUMABLE:
            hint = "Only what was interrupted, cancelled or failed is gone on with."
            raise ApiError(409, "not_resumable", f"Job {job_id} is {job.state}", hint=hint)
        if not job.wanted.plan_of:
            return self.submit(job.wanted, key=key, asked=asked)
        plan, past = self._store.plan(job.id), self._past(job)
        done = {step.action for step in past.steps if step.known} if past else set()
        left = tuple(action for action in plan.actions if action not in done)
        return self._queued(job.wanted, replace(plan, actions=left), key, asked)

    def problems(self, job: Job) -> tuple[Problem, ...]:
        """All of them, also where the job shows only the first."""
        return self._store.problems(job)

    def plan_as_json(self, job: Job) -> bytes | None:
        """The plan of a dry run, or that a job carries out."""
        return self._store.plan_as_json(job.id) if job.has_plan else None

    def outcomes(self, job: Job, start: int, most: int) -> tuple[list[Outcome], int]:
        """Some of what came of the job's images, from the `start`th on in the order in which it was known, and how many there are."""
        return self._library.journal.outcomes(job.run, start, most) if job.run else ([], 0)

    def _queued(
        self, wanted: Wanted, plan: Plan | None, key: str = "", asked: str = "", *, polled: bool = False
    ) -> tuple[Job, bool]:
        scope = self._scope(wanted, plan)
        now = datetime.now(UTC)
        job = Job(new_run_id(now), wanted, now, key=key, asked=asked, has_plan=plan is not None, polled=polled)
        if plan is not None:  # it may be large: others are not kept waiting for the disk
            self._store.save_plan(job.id, plan)
        queued = None
        try:
            with self._lock:
                if known := self._with_key(key, asked):
                    return known, False
                queued = self._join(job, scope, plan)
        finally:
            if queued is None:
                self._store.delete(job.id)
        return queued, True

    def _join(self, job: Job, scope: Actors, plan: Plan | None) -> Job:
        """Put a job in the line. `ApiError` if too many wait."""
        if sum(self._jobs[job_id].state == "queued" for job_id in self._under_way) >= _WAITING:
            raise ApiError(429, "busy", f"{_WAITING} jobs wait already", hint="Wait for some of them to end.")
        self._store.save(job)
        self._jobs[job.id] = job
        if job.key:
            self._keys[job.key] = job.id
        self._on_change(job)
        self._under_way[job.id] = _UnderWay(self.turns.join(scope), plan)
        self._prune()
        return job

    def _with_key(self, key: str, asked: str) -> Job | None:
        """The job that came with a key. `ApiError` if that was another request."""
        job = self._jobs.get(self._keys.get(key, "")) if key else None
        if job is not None and job.asked != asked:
            hint = "Send another Idempotency-Key with another request."
            raise ApiError(422, "key_reused", "This Idempotency-Key came with another request", hint=hint)
        return job

    def _understood(self, wanted: Wanted) -> tuple[Wanted, Plan | None]:
        """What is wanted, with actors by the names of their folders; and the plan, if one is to be carried out."""
        if wanted.plan_of:
            if replace(wanted, verb="", plan_of="") != Wanted(""):
                raise UsageError("plan_of stands in place of all others", hint="Leave the other keys out.")
            shown = self.get(wanted.plan_of)
            if not shown.has_plan or not shown.wanted.dry_run or shown.state != "done":
                hint = "It must be a dry run of a verb that moves images, and done."
                raise ApiError(409, "no_plan", f"Job {shown.id} has no plan to carry out", hint=hint)
            return replace(shown.wanted, dry_run=False, plan_of=shown.id), self._store.plan(shown.id)
        jobrun.check(wanted)
        if wanted.verb == "undo" and not wanted.run:  # the last run now, not the last when its turn comes
            last = self._library.journal.latest_not_taken_back()
            return replace(wanted, run=last.id, or_before=not last.surely_changed), None
        if not wanted.actors:
            return wanted, None
        found = self._library.survey().matching(wanted.actors)
        if found.problems and not found.actors:
            raise Collision(f"{found.problems[0].actor}: {found.problems[0].message}")
        return replace(wanted, actors=tuple(actor.name for actor in found.actors)), None

    def _scope(self, wanted: Wanted, plan: Plan | None) -> Actors:
        """The actors that a job is about."""
        if plan is not None:
            return _actors_of(plan.actions, plan.marks)
        if wanted.or_before:
            return None
        if wanted.run:
            past = self._library.past(wanted.run)
            return _actors_of((step.action for step in past.steps), past.marks)
        return frozenset(wanted.actors) or None

    def _serve(self) -> None:
        """A runner: takes one job after the other whose turn has come."""
        while (job_id := self._next()) is not None:
            self._run(job_id)
        with self._lock:
            self._running -= 1
            self._release_if_over()

    def _release_if_over(self) -> None:
        if self._closed and not self._running:
            self.claim.release()

    def _next(self) -> str | None:
        with self._lock:
            while not self._closing:
                for job_id, work in self._under_way.items():
                    if self._jobs[job_id].state == "queued" and self.turns.begin(work.turn):
                        now = datetime.now(UTC)
                        self._change(job_id, save=True, state="running", phase="looking", started_at=now)
                        return job_id
                self._lock.wait()
        return None

    def _run(self, job_id: str) -> None:
        work, wanted = self._under_way[job_id], self._jobs[job_id].wanted
        try:
            result = jobrun.carry_out(self._library, wanted, work.plan, self._reins(job_id, work))
            if result.plan is not None:
                self._store.save_plan(job_id, result.plan)
        except CallsheetError as error:
            told = error.problems if isinstance(error, LossRefused) else ()
            self._end(job_id, "failed", told, error=Failure(error.code, printable(str(error)), error.hint))
        except Exception:  # noqa: BLE001  a runner outlives whatever a job dies of
            _log.exception("Job %s failed", job_id)
            self._end(job_id, "failed", error=Failure("error", "The server failed at this job", "Its log says why."))
        else:
            self._end(job_id, self._state_of(result), result.problems, **_told(result))

    def _state_of(self, result: Result) -> State:
        if not result.interrupted:
            return "done"
        return "interrupted" if self._closing else "cancelled"

    def _reins(self, job_id: str, work: _UnderWay) -> Reins:
        def looked(progress: Progress) -> None:
            self._progress(job_id, work, looked=progress)

        def moved(progress: Moved) -> None:
            self._progress(job_id, work, moved=progress)

        def proposed(proposal: Proposal) -> None:
            wanted = self._jobs[job_id].wanted
            self._change(job_id, wanted=replace(wanted, run=proposal.plan.undoes, or_before=False))

        def begun(run: str) -> None:
            self._change(job_id, save=True, run=run, phase="moving")

        def outcome(known: Outcome) -> None:
            self._on_outcome(known)
            if known.problem is not None:
                self._add_problem(job_id, work, known.problem)

        return Reins(work.stop.is_set, looked, moved, proposed, begun, outcome)

    def _progress(self, job_id: str, work: _UnderWay, **news: Any) -> None:
        """At most so often that a page can follow."""
        now_s = time.monotonic()
        due = now_s - work.told_s >= _TOLD_EVERY_S
        if due:
            work.told_s = now_s
        self._change(job_id, told=due, **news)

    def _add_problem(self, job_id: str, work: _UnderWay, problem: Problem) -> None:
        with self._lock:
            work.problems.append(problem)
            job = self._jobs[job_id]
            shown = (*job.problems, problem)[:PROBLEMS_SHOWN]
            self._change(job_id, told=False, problems=shown, problem_count=job.problem_count + 1)

    def _change(self, job_id: str, *, save: bool = False, told: bool = True, **news: Any) -> Job:
        """The job as it is then. One that has ended stays as it is."""
        with self._lock:
            job = self._jobs[job_id]
            if job.ended:
                return job
            job = replace(job, **news)
            if save:
                job = self._store.keep(job)
            self._jobs[job_id] = job
            if told:
                self._on_change(job)
            return job

    def _end(self, job_id: str, state: State, problems: tuple[Problem, ...] = (), **news: Any) -> Job:
        with self._lock:
            job, work = self._jobs[job_id], self._under_way.get(job_id)
        if work is None:  # the server did not wait for it
            return job
        told = self._store.with_problems(job, distinct((*problems, *work.problems, *job.problems)))
        news |= {"problems": told.problems, "problem_count": told.problem_count}
        with self._lock:
            if self._under_way.pop(job_id, None) is None:
                return self._jobs[job_id]
            job = self._change(job_id, save=True, state=state, phase=None, ended_at=datetime.now(UTC), **news)
            self.turns.leave(work.turn)
            return job

    def _past(self, job: Job) -> PastRun | None:
        """What the journal tells of the job's run; None if it began none."""
        return self._library.past(job.run) if job.run else None

    def _taken_up(self, job: Job) -> Job:
        """A job that a stopped server left, as it is from now on."""
        if job.ended:
            return job
        try:
            job, problems = interrupted(job, self._past(job))
        except CallsheetError as error:
            job, _ = interrupted(job, None)
            problems = (Problem("", "", error.code, error.sentence),)
        return self._store.keep(self._store.with_problems(job, problems))

    def _prune(self) -> None:
        """Forget the oldest of those that have ended: of those that nobody asked for, all but a few."""
        with self._lock:
            ended = [job for job in self._jobs.values() if job.ended]
            polled, asked = ([job for job in ended if job.polled is kind] for kind in (True, False))
            for job in (*polled[:-_POLLED_KEPT], *asked[:-_KEPT]):
                del self._jobs[job.id]
                self._keys.pop(job.key, None)
                self._store.delete(job.id)


def _actors_of(actions: Iterable[Action], marks: Iterable[Mark]) -> frozenset[str]:
    return frozenset(action.actor for action in actions) | {mark.actor for mark in marks}


def _told(result: Result) -> dict[str, Any]:
    return {"summary": result.summary, "run": result.run, "has_plan": result.plan is not None}
