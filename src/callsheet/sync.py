"""One run of `sync`: survey the tree, list S3 once, look at each actor, write what was learnt.

Rules of this module: it directs; what a sight means is for `reconcile`, how to look for `observe`. Each actor is a job of its own on
the caller's executor, so that one bad actor never stops the others.

Manifests are written as the actors are done, but for those that would record a loss: they wait until all have been
looked at and it is known that the losses are not an unmounted disk or a wrong bucket.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Set
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from functools import partial, reduce
from itertools import chain
from operator import add

from callsheet import codec, files, layout, local, memo, migrate, reconcile, survey, system
from callsheet.ahead import HashAhead
from callsheet.cluster import Cluster
from callsheet.dispatch import each
from callsheet.errors import CallsheetError, LocalError, LossRefused, WorkerLost
from callsheet.findings import findings, not_seen
from callsheet.listing import Task, list_actor, listing_order, tasks_among, tasks_listed
from callsheet.memo import Records
from callsheet.model import Actor, Entry, Listing, Manifest, Problem, Sight
from callsheet.observe import Looked, Observer, Sighting
from callsheet.reconcile import Losses
from callsheet.report import ActorReport, Progress, Report, distinct
from callsheet.run import Run, Stop, never

OnProgress = Callable[[Progress], None]
OnLook = Callable[[Actor, Manifest, bool], None]
"""Called with each actor's manifest as it is now, and whether all of its folder in S3 was seen."""

_LOSS_FLOOR = 20
_ATTEMPTS = 10
_HELD_IMAGES = 20_000


@dataclass(frozen=True, slots=True)
class Held:
    """What a look came to, before any of it is recorded: the manifest that it rests on, and the one that it makes of it.

    `raw` is what lay on disk of the former, `listing` what was listed.
    """

    task: Task
    raw: bytes | None
    listing: Listing | None
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
    held: Held | Task | None = None
    manifest: Manifest | None = None
    listed: bool = False


class _Patience:
    """What waits to be recorded: the first of it as it was seen. For more there may not be the memory, so that is looked at again."""

    def __init__(self) -> None:
        self._images = 0

    def keep(self, outcome: Outcome) -> Outcome:
        """The outcome, with what it takes to record it later."""
        if not isinstance(outcome.held, Held):
            return outcome
        self._images += len(outcome.held.before.entries)
        return (
            outcome if self._images <= _HELD_IMAGES else replace(outcome, held=replace(outcome.held.task, listing=None))
        )


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
    on_look: OnLook | None = None,
    stop: Stop = never,
) -> Report:
    """All of it. `LossRefused` if mass disappearance was seen and not accepted: then no loss was recorded.

    Once `stop` says yes, no other actor is begun, and losses that wait for all actors to be looked at are not recorded.
    """
    everyone = run.surveyor.survey()
    chosen = everyone.matching(wanted)
    problems, halt = list(chosen.problems), _Halt(stop)
    actors = sorted(chosen.actors, key=lambda actor: listing_order(actor.name))
    if run.remote is None or wanted:
        tasks: Iterable[Task] = map(Task, actors)
    else:
        tasks = tasks_listed(run.where, run.remote, actors, everyone, problems, halt)
    early = _sure_to_be_hashed(run, actors) if not isinstance(executor, Cluster) else []
    with HashAhead(early, partial(_files_to_hash, run)) as ahead:
        run = replace(run, ahead=ahead if early else None)
        return _sync(run, tasks, len(actors), problems, executor, on_progress, on_look, halt)


def run_sync_among(
    run: Run,
    lots: Iterable[Collection[str]],
    about: int,
    executor: Executor,
    on_progress: OnProgress,
    *,
    on_look: OnLook | None = None,
    stop: Stop = never,
) -> Report:
    """As `run_sync`, for the actors with these folder names and no others; none need be there. `about` is how many there may be.

    Each lot is waited for, and is looked at when it comes, as of that moment; what `Run.hashed` and `Run.removed` hold of it must be there by then.
    """
    problems, halt = list[Problem](), _Halt(stop)
    tasks = chain.from_iterable(tasks_among(run, lot, problems, halt) for lot in lots)
    return _sync(run, tasks, about, problems, executor, on_progress, on_look, halt)


def _sync(
    run: Run,
    tasks: Iterable[Task],
    about: int,
    problems: list[Problem],
    executor: Executor,
    on_progress: OnProgress,
    on_look: OnLook | None,
    halt: _Halt,
) -> Report:
    if not run.options.dry_run:
        run.store.sweep(run.started)
    outcomes: list[Outcome] = []
    patience = _Patience()
    images = hashed_bytes = 0
    run = replace(run, shows=on_look is not None)
    tasks = map(partial(_with_what_is_known, run), tasks)
    for outcome in each(executor, _look_and_record, run, tasks, about, _lost, halt):
        outcomes.append(patience.keep(_shown(outcome, on_look)))
        images += outcome.report.counts.total if outcome.report else 0
        hashed_bytes += outcome.hashed_bytes
        on_progress(Progress(len(outcomes), max(about, len(outcomes)), images, hashed_bytes))
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
    return outcome if outcome.manifest is None else replace(outcome, manifest=None)


def _with_what_is_known(run: Run, task: Task) -> Task:
    """The task with what this run, or one before it, is known to have done to its actor."""
    name = task.actor.name
    if name not in run.hashed and name not in run.removed:
        return task
    return replace(task, hashed=run.hashed.get(name, {}), removed=run.removed.get(name, frozenset()))


def _lost(task: Task, error: WorkerLost) -> Outcome:
    return _not_done(task.actor, error)


def _lost_held(held: Held | Task, error: WorkerLost) -> Outcome:
    return _not_done((held.task if isinstance(held, Held) else held).actor, error)


def _not_done(actor: Actor, error: CallsheetError) -> Outcome:
    return Outcome(None, (Problem(actor.name, "", error.code, error.sentence),))


def _sure_to_be_hashed(run: Run, actors: list[Actor]) -> list[Actor]:
    """Those whose recorded hashes, if there are any, are not to be trusted."""
    noted = frozenset() if run.options.verify else run.store.noted()
    return [actor for actor in actors if actor.stem not in noted]


def _files_to_hash(run: Run, actor: Actor) -> list[str]:
    """The paths of the images of such an actor that were not hashed just now."""
    folder = os.path.join(run.root, run.where.training_dir(actor.name))
    paths = (f"{folder}/{name}" for name in local.regular_files(folder) if layout.is_image(name))
    known = run.hashed.get(actor.name, {})
    return [path for path in paths if path not in known]


def _look_and_record(run: Run, task: Task) -> Outcome:
    """The job of one actor. Whatever stops it is a problem in its outcome."""
    try:
        return _attempt(_as_of(run, task), task)
    except CallsheetError as error:
        return _not_done(task.actor, error)


def _record_held(run: Run, held: Held | Task) -> Outcome:
    """Record a loss that was held back, now that it is known to be one."""
    if isinstance(held, Held):
        try:
            return _record(_as_of(run, held.task), held)
        except _Stale:
            held = replace(held.task, listing=None)
    return _look_and_record(replace(run, options=replace(run.options, accept_loss=True)), held)


def _as_of(run: Run, task: Task) -> Run:
    return run if task.started is None else replace(run, started=task.started)


def _attempt(run: Run, task: Task) -> Outcome:
    """Look and record; if somebody else recorded what they saw in the meantime, look again."""
    for _ in range(_ATTEMPTS):
        held = _look(run, task)
        if isinstance(held, Outcome):
            return held
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


def _look(run: Run, task: Task) -> Held | Outcome:
    """What is to be recorded of an actor. It is what it came to, if this very look was had before."""
    actor, listing, problems = task.actor, task.listing, list[Problem]()
    hashes = {**(run.ahead.take(actor) if run.ahead else {}), **task.hashed}
    started_ns = system.time_ns()
    if listing is None and run.remote is not None:
        _claimed(run, actor, run.store.raw(actor.stem))
        listing, error = list_actor(run.where, run.remote, actor)
        if error is not None:
            problems.append(not_seen(run.where.bucket, error))
    observer = Observer(
        run.root,
        run.where,
        actor,
        run.remote,
        hashes,
        verify=run.options.verify,
        download=run.options.download,
        problems=problems,
    )
    records, looked = run.memos.records(actor.stem), observer.glance()
    raw = records.manifest
    if not problems and not run.options.verify:
        known = _remembered(run, actor, records, looked, listing)
        if known is not None:
            return known
    before = _claimed(run, actor, raw)
    sighting = observer.look(before, looked, listing, run.store.settled_for(records.settled, before))
    after, losses = _reconciled(run, actor, before, sighting)
    if task.removed:
        losses = _surprising(task.removed, before, after, losses)
    return Held(task, raw, listing, before, sighting, after, losses, started_ns)


def _claimed(run: Run, actor: Actor, raw: bytes | None) -> Manifest:
    """The manifest in its bytes. `ManifestError` if it cannot be used, `Collision` if it names another folder."""
    manifest = Manifest(None) if raw is None else run.store.decode(actor.stem, raw)
    survey.claim(manifest, actor)
    return manifest


def _remembered(run: Run, actor: Actor, records: Records, looked: Looked, listing: Listing | None) -> Outcome | None:
    """What an earlier look came to that saw the very same, if there was one."""
    raw = records.manifest
    if raw is None or not records.memo:
        return None
    look = run.memos.look(actor, raw, looked.folder, looked.legacy, listing, records.settled)
    known = look and run.memos.recall(records.memo, look)
    if not known:
        return None
    manifest = _claimed(run, actor, raw) if run.shows or run.again else None
    written = run.again and manifest is not None and manifest.updated == run.started
    report = ActorReport(actor, known.counts, written, changes=known.changes)
    losses = Losses(known.local_recorded, 0, known.remote_recorded, 0)
    shown = manifest if run.shows else None
    return Outcome(report, (), losses, manifest=shown, listed=listing is not None)


def _remember(run: Run, held: Held, manifest: Manifest, *, written: bool) -> None:
    """Keep what the look came to, of which there is nothing to tell, if the manifest now says just what was seen."""
    actor, (folder, legacy), scan = held.task.actor, held.sighting.looked, held.sighting.scan
    raw = codec.dump_json(manifest.source) if written else held.raw
    settled = run.store.settled(actor.stem)
    settled_ns = run.store.settled_for(settled, manifest)
    if raw is None or not memo.settled(manifest, actor, run.where, scan, held.listing, settled_ns):
        return
    if look := run.memos.look(actor, raw, folder, legacy, held.listing, settled):
        run.memos.keep(actor.stem, look, memo.memo_of(manifest))


def _surprising(removed: Set[tuple[str, bool]], before: Manifest, after: Manifest, losses: Losses) -> Losses:
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
        run.store.set_settled(actor.stem, manifest, held.started_ns)
    deleted, problems = migrate.response_json(run, actor, sighting.response, manifest)
    changed = changed or (run.again and manifest.updated == run.started)
    report = ActorReport(actor, codec.counts(manifest), changed, deleted, changes=reconcile.changes(manifest))
    told = (*sighting.problems, *findings(manifest, actor, run.where), *problems)
    if not told and not run.options.dry_run:
        _remember(run, held, manifest, written=document is not None)
    if sighting.scan.leftovers and not run.options.dry_run:
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
