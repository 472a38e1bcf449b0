"""One run of `sync`: survey the tree, list S3 once, look at each actor, write what was learnt.

Rules of this module: it directs; what a sight means is for `reconcile`, how to look for `observe`. Each actor is a job of its own on
the caller's executor, so that one bad actor never stops the others.

Manifests are written as the actors are done, but for those that would record a loss: they wait until all have been
looked at and it is known that the losses are not an unmounted disk or a wrong bucket.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from functools import partial, reduce
from operator import add

from callsheet import codec, files, layout, local, migrate, reconcile, survey, system
from callsheet.ahead import HashAhead
from callsheet.cluster import Cluster
from callsheet.dispatch import each
from callsheet.errors import CallsheetError, LocalError, LossRefused, WorkerLost
from callsheet.findings import findings
from callsheet.listing import Folders, list_actor, listing_order, not_seen
from callsheet.model import Actor, Entry, HashedFile, Listing, Manifest, Problem, Sight
from callsheet.observe import Observer, Sighting
from callsheet.reconcile import Losses
from callsheet.remote import Remote
from callsheet.report import ActorReport, Progress, Report, distinct
from callsheet.run import Run, Stop, never

OnProgress = Callable[[Progress], None]
OnLook = Callable[[Actor, Manifest, bool], None]
"""Called with each actor's manifest as it is now, and whether all of its folder in S3 was seen."""

_LOSS_FLOOR = 20
_FEW = 16
"""So many actors are listed one by one; for more, the whole prefix is listed."""

_ATTEMPTS = 10


@dataclass(frozen=True, slots=True)
class Task:
    """One actor to be looked at. `listing` is its default folder in S3; None: the job lists it, if S3 is looked at.

    `hashed` are its files of `Run.hashed`; `removed` its images of `Run.removed`.
    """

    actor: Actor
    listing: Listing | None = None
    hashed: Mapping[str, HashedFile] = field(default_factory=dict)
    removed: frozenset[tuple[str, bool]] = frozenset()


@dataclass(frozen=True, slots=True)
class Held:
    """What a look came to, before any of it is recorded: the manifest that it rests on, and the one that it makes of it."""

    task: Task
    before: Manifest
    sighting: Sighting
    after: Manifest
    losses: Losses
    started_ns: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a job came to. `report` is None for an actor that was left alone."""

    report: ActorReport | None
    problems: tuple[Problem, ...]
    losses: Losses = field(default_factory=Losses)
    hashed_bytes: int = 0
    held: Held | None = None
    manifest: Manifest | None = None
    listed: bool = False


class _Halt:
    """A `stop` that stays with its yes."""

    def __init__(self, stop: Stop) -> None:
        self._stop = stop
        self.said = False

    def __call__(self) -> bool:
        self.said = self.said or self._stop()
        return self.said


class _Stale(Exception):
    """Somebody else has recorded what they saw since we looked."""


def run_sync(
    run: Run,
    wanted: tuple[str, ...],
    executor: Executor,
    on_progress: OnProgress,
    *,
    among: frozenset[str] | None = None,
    on_look: OnLook | None = None,
    stop: Stop = never,
) -> Report:
    """All of it. `LossRefused` if mass disappearance was seen and not accepted: then no loss was recorded.

    Once `stop` says yes, no other actor is begun, and losses that wait for all actors to be looked at are not recorded.

    `among` is for all actors with these names and no others, in place of `wanted`; none of them need be there.
    """
    everyone = run.surveyor.survey()
    chosen = everyone.matching(wanted) if among is None else everyone.among(among)
    problems = list(chosen.problems)
    if not run.options.dry_run:
        run.store.sweep(run.started)
    actors = sorted(chosen.actors, key=lambda actor: listing_order(actor.name))
    few = bool(wanted) or (among is not None and len(among) <= _FEW)
    outcomes: list[Outcome] = []
    halt = _Halt(stop)
    images = hashed_bytes = 0
    tasks: Iterator[Task] = map(Task, actors)
    if run.remote is not None and not few:
        tasks = _listed(run, run.remote, actors, everyone if among is None else None, problems, halt)
    tasks = map(partial(_with_what_is_known, run), tasks)
    here = actors if not isinstance(executor, Cluster) else []
    with HashAhead(here, partial(_sure_to_be_hashed, run)) as ahead:
        run = replace(run, ahead=ahead, shows=on_look is not None)
        for outcome in each(executor, _look_and_record, run, tasks, len(actors), _lost, halt):
            outcomes.append(_shown(outcome, on_look))
            images += outcome.report.counts.total if outcome.report else 0
            hashed_bytes += outcome.hashed_bytes
            on_progress(Progress(len(outcomes), max(len(chosen.actors), len(outcomes)), images, hashed_bytes))
    problems.extend(problem for outcome in outcomes for problem in outcome.problems)
    held = [] if halt.said else [outcome.held for outcome in outcomes if outcome.held]
    if held:
        _refuse_mass_loss(run, outcomes, problems)
    late = [_shown(outcome, on_look) for outcome in each(executor, _record_held, run, held, len(held), _lost_held)]
    outcomes.extend(late)
    if not run.options.dry_run:
        run.store.flush()
    problems.extend(problem for outcome in late for problem in outcome.problems)
    rows = sorted((outcome.report for outcome in outcomes if outcome.report), key=lambda row: row.actor.name)
    return Report("sync", tuple(rows), distinct(problems), dry_run=run.options.dry_run, interrupted=halt.said)


def _shown(outcome: Outcome, on_look: OnLook | None) -> Outcome:
    """The outcome without its manifest, which was shown to whoever wants it: there may be too many to keep."""
    if on_look is not None and outcome.report is not None and outcome.manifest is not None:
        on_look(outcome.report.actor, outcome.manifest, outcome.listed)
    return replace(outcome, manifest=None)


def _with_what_is_known(run: Run, task: Task) -> Task:
    """The task with what this run, or one before it, is known to have done to its actor."""
    name = task.actor.name
    return replace(task, hashed=run.hashed.get(name, {}), removed=run.removed.get(name, frozenset()))


def _lost(task: Task, error: WorkerLost) -> Outcome:
    return _not_done(task.actor, error)


def _lost_held(held: Held, error: WorkerLost) -> Outcome:
    return _not_done(held.task.actor, error)


def _not_done(actor: Actor, error: CallsheetError) -> Outcome:
    return Outcome(None, (Problem(actor.name, "", error.code, error.sentence),))


def _sure_to_be_hashed(run: Run, actor: Actor) -> list[str]:
    """The paths of the images of an actor whose recorded hashes, if there are any, are not to be trusted."""
    if run.store.settled_ns(actor.stem) and not run.options.verify:
        return []
    folder = os.path.join(run.root, run.where.training_dir(actor.name))
    paths = (f"{folder}/{name}" for name in local.regular_files(folder) if layout.is_image(name))
    known = run.hashed.get(actor.name, {})
    return [path for path in paths if path not in known]


def _listed(
    run: Run,
    remote: Remote,
    actors: list[Actor],
    everyone: survey.Survey | None,
    problems: list[Problem],
    halt: Stop,
) -> Iterator[Task]:
    """Each actor with its part of one listing of the whole prefix: a merge of two sorted streams.

    `actors` are in the listing's order; folders that exist in S3 only come last, unless `everyone` is None. What went wrong
    is added to `problems`. It ends where `halt` says so: what was not listed then is in no task.
    """
    waiting = actors[::-1]
    strangers: dict[str, Listing] = {}
    folders = Folders(run.where, remote)
    for name, listing in folders:
        if halt():
            return
        while waiting and listing_order(waiting[-1].name) < listing_order(name):
            yield Task(waiting.pop(), Listing({}, complete=True))
        if waiting and waiting[-1].name == name:
            yield Task(waiting.pop(), listing)
        elif everyone and layout.has_actor_form(name) and any(map(layout.is_image, listing.objects)):
            strangers[name] = listing
    if folders.error is not None:
        problems.append(not_seen(run.where.bucket, folders.error))
    while waiting:
        yield Task(waiting.pop(), Listing({}, complete=folders.error is None))
    if everyone:
        actors, told = survey.only_in_s3(strangers, everyone)
        problems.extend(told)
        for actor in actors:
            yield Task(actor, strangers[actor.name])


def _look_and_record(run: Run, task: Task) -> Outcome:
    """The job of one actor. Whatever stops it is a problem in its outcome."""
    try:
        return _attempt(run, task)
    except CallsheetError as error:
        return _not_done(task.actor, error)


def _record_held(run: Run, held: Held) -> Outcome:
    """Record a loss that was held back, now that it is known to be one."""
    try:
        return _record(run, held)
    except _Stale:
        accepting = replace(run, options=replace(run.options, accept_loss=True))
        return _look_and_record(accepting, replace(held.task, listing=None))


def _attempt(run: Run, task: Task) -> Outcome:
    """Look and record; if somebody else recorded what they saw in the meantime, look again."""
    for _ in range(_ATTEMPTS):
        held = _look(run, task)
        if (held.losses.local_gone or held.losses.remote_gone) and not run.options.accept_loss:
            return Outcome(None, (), held.losses, held.sighting.hashed_bytes, held)
        if (
            run.may_wait is not None
            and _listed_whole(held)
            and run.may_wait(task.actor, held.after, held.sighting.hashed)
        ):
            return _unrecorded(run, held)
        try:
            return replace(_record(run, held), losses=held.losses)
        except _Stale:
            task = replace(task, listing=None)
    hint = "Wait for the other run to end, then sync again."
    raise LocalError(f"{run.where.manifest(task.actor.stem)} kept changing while it was worked on", hint=hint)


def _look(run: Run, task: Task) -> Held:
    hashes = {**(run.ahead.take(task.actor) if run.ahead else {}), **task.hashed}
    started_ns = system.time_ns()
    before = run.store.load(task.actor.stem) or Manifest(None)
    survey.claim(before, task.actor)
    listing, problems = task.listing, list[Problem]()
    if listing is None and run.remote is not None:
        listing, error = list_actor(run.where, run.remote, task.actor)
        if error is not None:
            problems.append(not_seen(run.where.bucket, error))
    observer = Observer(
        run.root,
        run.where,
        task.actor,
        run.remote,
        run.store.settled_ns(task.actor.stem),
        hashes,
        verify=run.options.verify,
        download=run.options.download,
        problems=problems,
    )
    sighting = observer.look(before, listing)
    after, losses = _reconciled(run, task.actor, before, sighting)
    if task.removed:
        losses = _surprising(task.removed, before, after, losses)
    return Held(task, before, sighting, after, losses, started_ns)


def _surprising(removed: frozenset[tuple[str, bool]], before: Manifest, after: Manifest, losses: Losses) -> Losses:
    """`losses` without the images that are known to have been removed from the side that they are gone from."""
    now = {entry.filename: entry for entry in after.entries}
    here = in_s3 = 0
    for entry in before.entries:
        left = now.get(entry.filename)
        gone_here = entry.recorded_local and not (left and left.recorded_local)
        gone_in_s3 = entry.recorded_remote and not (left and left.recorded_remote)
        here += gone_here and (entry.filename, True) in removed
        in_s3 += gone_in_s3 and (entry.filename, False) in removed
    return Losses(
        losses.local_recorded - here,
        losses.local_gone - here,
        losses.remote_recorded - in_s3,
        losses.remote_gone - in_s3,
    )


def _reconciled(run: Run, actor: Actor, manifest: Manifest, sighting: Sighting) -> tuple[Manifest, Losses]:
    return reconcile.reconcile(manifest, sighting.seen, actor, run.where, run.url_for, run.started)


def _unrecorded(run: Run, held: Held) -> Outcome:
    """What a look came to that is taken again and recorded then."""
    manifest, sighting = held.after, held.sighting
    report = ActorReport(held.task.actor, codec.counts(manifest), changes=reconcile.changes(manifest))
    told = (*sighting.problems, *findings(manifest, held.task.actor, run.where))
    shown = manifest if run.shows else None
    return Outcome(report, told, held.losses, sighting.hashed_bytes, manifest=shown, listed=True)


def _record(run: Run, held: Held) -> Outcome:
    """Record what was seen; what keeps that from being written is a problem beside those that were seen."""
    try:
        return _bring_up(run, held)
    except CallsheetError as error:
        told = Problem(held.task.actor.name, "", error.code, error.sentence)
        return Outcome(None, (*held.sighting.problems, told), hashed_bytes=held.sighting.hashed_bytes)


def _bring_up(run: Run, held: Held) -> Outcome:
    """Bring the manifest up to what was seen, then migrate. `_Stale` if it rests on another record than is there now."""
    actor, sighting, manifest = held.task.actor, held.sighting, held.after
    document = codec.learnt(manifest, actor, run.started)
    changed = document is not None
    if document and not run.options.dry_run:

        def on_top_of(fresh: Manifest) -> Manifest:
            if fresh is held.before or fresh.source == held.before.source:
                return held.after
            survey.claim(fresh, actor)
            if _without_marks(fresh) != _without_marks(held.before):
                raise _Stale
            return _reconciled(run, actor, fresh, sighting)[0]

        manifest, changed = run.store.update(
            actor, on_top_of, run.started, before=held.before, ready=(manifest, document)
        )
    if sighting.hashed and not run.options.dry_run and _all_confirmed(manifest, sighting):
        run.store.set_settled(actor.stem, held.started_ns)
    deleted, problems = migrate.response_json(run, actor, sighting.response, manifest)
    changed = changed or (run.again and manifest.updated == run.started)
    report = ActorReport(actor, codec.counts(manifest), changed, deleted, changes=reconcile.changes(manifest))
    told = (*sighting.problems, *findings(manifest, actor, run.where), *problems)
    if sighting.leftovers and not run.options.dry_run:
        files.sweep_temporaries(os.path.join(run.root, run.where.training_dir(actor.name)), run.started)
    shown = manifest if run.shows else None
    return Outcome(report, told, hashed_bytes=sighting.hashed_bytes, manifest=shown, listed=_listed_whole(held))


def _listed_whole(held: Held) -> bool:
    listing = held.sighting.seen.listing
    return listing is not None and listing.complete


def _all_confirmed(manifest: Manifest, sighting: Sighting) -> bool:
    """Whether every recorded hash of a local file was taken or confirmed in this run."""
    hashed = (entry.filename for entry in manifest.entries if entry.recorded_local and entry.md5_hash)
    return all(sighting.seen.local_side(name) is not Sight.UNKNOWN for name in hashed)


def _without_marks(manifest: Manifest) -> tuple[Entry, ...]:
    """What runs record, without what users do: a mark that was set since is no reason to look again."""
    return tuple(replace(entry, good=None, prompt=None) for entry in (*manifest.entries, *manifest.missing))


def _refuse_mass_loss(run: Run, outcomes: list[Outcome], problems: list[Problem]) -> None:
    """More than half, and at least 20, of what was recorded on a side is gone at once: stop."""
    if run.options.accept_loss:
        return
    losses = reduce(add, (outcome.losses for outcome in outcomes), Losses())
    for side, gone, recorded in (
        (f"from {os.path.join(run.root, run.where.actors_dir)}", losses.local_gone, losses.local_recorded),
        ("from S3", losses.remote_gone, losses.remote_recorded),
    ):
        if gone >= _LOSS_FLOOR and gone * 2 > recorded:
            hint = (
                "Is the disk mounted, the bucket the right one? If they really are gone: callsheet sync --accept-loss"
            )
            message = f"{gone} of {recorded} recorded images have vanished {side}; no loss was recorded"
            raise LossRefused(message, hint=hint, problems=distinct(problems))
