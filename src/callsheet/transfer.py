"""From a verb to a plan, and from a plan to what came of it.

Rules of this module: it directs. A plan rests on a look that was just taken; after it was carried out, what it touched is looked at again
and recorded.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace

from callsheet import again, amend, layout, pictures, reconcile, system
from callsheet.action import Action, Mark, Op, Outcome, PastRun, Plan, Step, Verb
from callsheet.cluster import Cluster
from callsheet.errors import CallsheetError, UnknownImage
from callsheet.execute import OnMoved, OnOutcome, execute
from callsheet.journal import Journal
from callsheet.meter import Meter
from callsheet.model import Actor, HashedFile, Manifest, Problem
from callsheet.plan import Choice, Subject, local_may_win, marks_taken_back, planned, restored, taken_back
from callsheet.relook import Relook
from callsheet.remote import Remote
from callsheet.report import Report, distinct
from callsheet.result import Proposal, Transfer
from callsheet.run import Run, Stop, never
from callsheet.site import Site
from callsheet.sync import OnProgress, run_sync, run_sync_among


@dataclass(frozen=True, slots=True)
class Pace:
    """How a plan is carried out: actions at once, bytes a second (None: as fast as it goes), when to stop, whom to tell what."""

    at_once: int
    limit_bytes_s: int | None
    stop: Stop
    on_begun: Callable[[str], None]
    on_outcome: OnOutcome
    on_moved: OnMoved
    on_progress: OnProgress


def propose(
    run: Run,
    verb: Verb,
    wanted: tuple[str, ...],
    choice: Choice,
    executor: Executor,
    on_progress: OnProgress,
    stop: Stop,
    *,
    record_later: bool = False,
) -> Proposal:
    """Look at the actors, and plan. `UnknownImage` if none of them has one of the images that the choice names.

    With `record_later`, what is seen of actors that the plan is about is recorded by `carry_out`, together with what that did.
    """
    steps: dict[str, list[Action | Problem]] = {}
    met: set[str] = set()
    unrecorded: dict[str, dict[str, HashedFile]] = {}

    def may_wait(actor: Actor, manifest: Manifest, hashed: Sequence[HashedFile]) -> bool:
        found = planned(verb, Subject(actor.name, manifest, run.where), choice)
        if not any(isinstance(step, Action) for step in found):
            return False
        now_ns = system.time_ns()
        unrecorded[actor.name] = {file.path: file for file in hashed if reconcile.is_settled(file.mtime_ns, now_ns)}
        return True

    def look(actor: Actor, manifest: Manifest, listed: bool) -> None:
        met.update(entry.filename for entry in manifest.entries if entry.filename in choice.only)
        if not listed:
            return  # what S3 holds is not known, and the report says why
        damaged = _damaged(run, actor, manifest, choice) if verb is Verb.REPAIR else {}
        found = list(planned(verb, Subject(actor.name, manifest, run.where, damaged), choice))
        if found:
            steps[actor.name] = found

    run = replace(run, may_wait=may_wait if record_later else None)
    seen = run_sync(run, wanted, executor, on_progress, on_look=look, stop=stop)
    unknown = frozenset() if seen.interrupted else choice.only - met
    if unknown and all(problem.actor for problem in seen.problems):  # else they may be in S3, which was not seen
        raise _unknown(unknown, "`callsheet status ACTOR` tells what is there.")
    return Proposal(_plan(verb, (step for name in sorted(steps) for step in steps[name])), seen, unrecorded)


def propose_undo(run: Run, past: PastRun, executor: Executor, on_progress: OnProgress, stop: Stop = never) -> Proposal:
    """Look at the actors that a past run was about, and plan how to take it back. For marks, the manifests are enough.

    Once `stop` says yes, nothing is planned for actors that were not looked at.
    """
    if past.marks:
        return Proposal(_plan(Verb.UNDO, marks_taken_back(past, _recorded(run, past)), past.id), Report("undo", (), ()))
    manifests: dict[str, Manifest] = {}
    unseen: set[str] = set()

    def look(actor: Actor, manifest: Manifest, listed: bool) -> None:
        manifests[actor.name] = manifest
        if not listed:
            unseen.add(actor.name)

    actors = frozenset(step.action.actor for step in past.steps)
    seen = run_sync_among(unsurprised(run, past), [actors], len(actors), executor, on_progress, on_look=look, stop=stop)
    if seen.interrupted:
        unseen |= actors - manifests.keys()
    return Proposal(_plan(Verb.UNDO, taken_back(past, manifests, run.where, unseen), past.id), seen)


def propose_restore(
    run: Run, past: PastRun, only: frozenset[str], executor: Executor, on_progress: OnProgress
) -> Proposal:
    """Plan to put back what a past run moved into the trash. `UnknownImage` if it moved none of `only`."""
    actions = tuple(restored(past, only))
    if unknown := only - {action.filename for action in actions}:
        raise _unknown(unknown, f"`callsheet trash list {past.id}` tells what is there.")
    actors = frozenset(action.actor for action in actions)
    seen = run_sync_among(unsurprised(run, past), [actors], len(actors), executor, on_progress)
    return Proposal(Plan(Verb.RESTORE, actions), seen)


def unsurprised(run: Run, past: PastRun) -> Run:
    """`run`, to which what a past run is known to have taken away is no loss: one that was killed may not have recorded it."""
    if past.ended is not None:
        return run
    removals = (step for step in past.steps if step.action.op.removes)
    return _expecting(run, (step.action for step in removals if step.known or _may_be_gone(run, past.id, step)))


def _expecting(run: Run, removals: Iterable[Action]) -> Run:
    gone: dict[str, set[tuple[str, bool]]] = {}
    for action in removals:
        gone.setdefault(action.actor, set()).add((action.filename, action.op.here))
    return replace(run, removed=gone)


def _may_be_gone(run: Run, run_id: str, step: Step) -> bool:
    """Whether a step of a killed run, whose outcome is not known, took its image away. What is evicted is in no trash: S3 was proven to hold it."""
    return step.outcome is None if step.action.op is Op.EVICT else _is_in_trash(run, run_id, step.action)


def _is_in_trash(run: Run, run_id: str, action: Action) -> bool:
    path = run.where.trash(run_id, run.where.image(action.actor, action.filename))
    return action.op.here and system.lexists(os.path.join(run.root, path))


def carry_out(
    run: Run, remote: Remote, journal: Journal, proposal: Proposal, movers: Executor, lookers: Executor, pace: Pace
) -> Transfer:
    """Do what a plan says, write down what came of it, look at what it touched, and record that.

    The report is of the actors that were touched, and of those of which what was seen is not recorded yet. `UsageError`, with nothing done, if
    the plan is not for a cluster, and `movers` are one.
    """
    plan = proposal.plan
    if isinstance(movers, Cluster):
        again.check(plan.actions)
    site = Site(run.root, run.where, remote, run.id, Meter(pace.limit_bytes_s))
    with Relook(run, site, plan, proposal.unrecorded, lookers) as relook:

        def on_outcome(outcome: Outcome) -> None:
            relook.ended(outcome)
            pace.on_outcome(outcome)

        with journal.begin(run.id, plan, run.started) as recorder:
            pace.on_begun(run.id)
            outcomes, notes = execute(
                site,
                plan.actions,
                movers,
                recorder,
                at_once=pace.at_once,
                stop=pace.stop,
                on_moved=pace.on_moved,
                on_outcome=on_outcome,
            )
            told = relook.secure()
            unmarked = amend.mark(run, plan.marks)
            recorder.end(system.now())
        told += [*unmarked, *(outcome.problem for outcome in outcomes if outcome.problem is not None)]
        try:
            if plan.verb is Verb.UNDO:
                amend.agree_again(run, outcomes)
            amend.remove(run, outcomes)
            report = relook.report(pace.on_progress)
        except CallsheetError as error:  # what was done is done, and must be told
            report = Report(plan.verb.value, (), (Problem("", "", error.code, error.sentence),))
    if recorder.failure is not None:
        told.append(Problem("", "", recorder.failure.code, recorder.failure.sentence))
    problems = distinct((*report.problems, *told, *plan.refusals))
    return Transfer(
        run.id,
        plan,
        tuple(outcomes),
        replace(report, verb=plan.verb.value, problems=problems),
        interrupted=len(outcomes) < len(plan.actions),
        notes=notes,
        marked=len(plan.marks) - len(unmarked),
    )


def _plan(verb: Verb, steps: Iterable[Action | Mark | Problem], undoes: str = "") -> Plan:
    found = tuple(steps)
    actions = tuple(step for step in found if isinstance(step, Action))
    marks = tuple(step for step in found if isinstance(step, Mark))
    return Plan(verb, actions, distinct(step for step in found if isinstance(step, Problem)), undoes, marks)


def _recorded(run: Run, past: PastRun) -> dict[str, Manifest]:
    """The manifests of the actors that a run marked, as they are now."""
    actors = run.surveyor.survey().among({mark.actor for mark in past.marks}).actors
    return {actor.name: run.store.load(actor.stem) or Manifest(None) for actor in actors}


def _unknown(names: Iterable[str], hint: str) -> UnknownImage:
    shown = ", ".join(sorted(map(layout.printable, names)))
    return UnknownImage(f"There is no image {shown}", hint=hint)


def _damaged(run: Run, actor: Actor, manifest: Manifest, choice: Choice) -> dict[str, str]:
    """What is wrong with the local images that might replace an object."""
    flaws = {}
    for name in local_may_win(manifest, choice):
        path = os.path.join(run.root, run.where.image(actor.name, name))
        if flaw := pictures.flaw(path, name):
            flaws[name] = flaw
    return flaws
