"""The facade: everything that a shell (or your own program) can ask of a tree.

What only some of it needs is imported where it is asked for: `status` is to answer at once.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from callsheet import layout, survey, system
from callsheet.errors import Collision, LossRefused, PlanError, UnknownActor, UnknownRun, UsageError
from callsheet.layout import Layout
from callsheet.memo import Memos
from callsheet.model import Actor, Entry, Manifest
from callsheet.remote import Remote
from callsheet.remote.breaker import Breaker
from callsheet.report import Report, distinct
from callsheet.run import Run, Stop, SyncOptions, never, new_run_id
from callsheet.status import Glance, base_image, glance, run_status
from callsheet.store import Store

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from callsheet.action import Curation, PastRun, Plan, Verb
    from callsheet.amend import Check
    from callsheet.checkup import Checkup
    from callsheet.execute import OnMoved, OnOutcome
    from callsheet.journal import Journal
    from callsheet.remote.contract import Reading
    from callsheet.result import Curated, Proposal, Transfer
    from callsheet.sync import OnProgress
    from callsheet.trash import Trash

_T = TypeVar("_T")


def _silent(_: object) -> None:
    pass


class Library:
    """One tree and its S3 side. Made by `callsheet.open_library`; safe to use from many threads."""

    def __init__(self, root: str, where: Layout, remote: Remote, *, workers: int, transfers: int) -> None:
        """`workers` actors are looked at at once, `transfers` images are moved at once."""
        self.root = root
        self.where = where
        self.remote = remote
        self._workers = workers
        self._transfers = transfers
        self._store = Store(root, where)
        self._memos = Memos(root, where)
        self._surveyor = survey.Surveyor(root, where, self._store)

    @cached_property
    def journal(self) -> Journal:
        """What past runs of this tree did."""
        from callsheet.journal import Journal

        return Journal(self.root, self.where)

    def sync(
        self,
        actors: Sequence[str] = (),
        *,
        offline: bool = False,
        verify: bool = False,
        download: bool = True,
        dry_run: bool = False,
        accept_loss: bool = False,
        stop: Stop = never,
        executor: Executor | None = None,
        on_progress: OnProgress = _silent,
    ) -> Report:
        """Look at both sides of all actors (or of those named: `0`, `0000` or the folder's name) and bring their manifests up to date.

        `offline` does not look at S3; `verify` hashes every file again; without `download`, an object whose content nothing else
        tells keeps its recorded status; `dry_run` writes nothing; `accept_loss` records even mass disappearance. `stop` is asked
        before each actor, on any thread: once it says yes, those under way are finished, and the report says that it was `interrupted`.
        Jobs run on `executor` (threads, or `cluster.connected(…)`), or on threads of our own. Single failures are in the report's problems; raised are
        `TreeError`, `UnknownActor`, `Collision` (for a named actor), `LossRefused` and `ClusterError`.
        """
        from callsheet.sync import run_sync

        options = SyncOptions(offline, verify, download, dry_run, accept_loss)
        with self._pool(executor) as pool:
            return self._unsurprised(options, lambda run: run_sync(run, tuple(actors), pool, on_progress, stop=stop))

    def status(self, actors: Sequence[str] = ()) -> Report:
        """What the manifests say and what has changed on disk since: no network, no hashing, nothing written."""
        return run_status(self.root, self.where, self._store, self._memos, self.survey().matching(actors))

    def fsck(
        self,
        actors: Sequence[str] = (),
        *,
        read: str = "",
        fix: bool = False,
        dry_run: bool = False,
        executor: Executor | None = None,
        on_progress: OnProgress = _silent,
    ) -> Checkup:
        """Check that everything is sound: all actors, the journal, the trash and what else is ours, or only the actors that are named.

        `read` is whose bytes are read and compared with the record: nobody's, `local`, `s3` or `both`; without S3 no network is touched.
        Nothing is written, unless `fix` mends what can be mended without a loss; with `dry_run`, not even then. Jobs run on `executor`, or on threads
        of our own; of a `cluster.connected(…)`, the workers read the objects that are recorded, and need not see the tree. `TreeError`, `UnknownActor`,
        `UsageError`, `ClusterError`.
        """
        from callsheet.cluster import Cluster
        from callsheet.fsck import SIDES, run_fsck

        if read not in SIDES:
            raise UsageError(f"There is no side {read!r} to read", hint="Read local, s3 or both.")
        run = self._run(SyncOptions(offline=not SIDES[read][1], dry_run=dry_run))
        cluster = executor if isinstance(executor, Cluster) else None
        threads = cluster.at_once if cluster else self._transfers if run.remote else 0
        with self._pool(None if cluster else executor, threads) as pool:
            return run_fsck(run, self.journal, tuple(actors), read, pool, on_progress, fix=fix, cluster=cluster)

    def plan(
        self,
        verb: Verb | str,
        actors: Sequence[str] = (),
        *,
        only: Iterable[str] = (),
        good: bool = False,
        prefer: str = "",
        dry_run: bool = False,
        record_later: bool = False,
        stop: Stop = never,
        executor: Executor | None = None,
        on_progress: OnProgress = _silent,
    ) -> Proposal:
        """Sync the actors (all, or those named), and plan a `push`, `pull`, `repair`, `evict` or `rm` of their images.

        `only` names images, `good` takes those marked good; `prefer` (`local`, `s3`) settles what a repair would refuse.
        Nothing is moved; after `dry_run` nothing was written either. The plan is plain data, for `apply`, now or later. For whoever
        gives the proposal of a push or pull to `apply` at once, `record_later` leaves it to that to record what was seen of the actors that
        are acted on (of what others take away it must be on record that it was there). `stop` is
        as for `sync`; then the plan is for the actors that were looked at. Raises
        what `sync` does, `UnknownImage` if no actor has an image of `only`, and `UsageError`.
        """
        from callsheet.action import Verb
        from callsheet.plan import Choice
        from callsheet.transfer import propose

        chosen = _verb(verb)
        if chosen is Verb.RM and not actors:
            raise UsageError("rm is for named actors only", hint="Name them: callsheet rm ACTOR [--only FILE]")
        if prefer not in ("", "local", "s3"):
            raise UsageError(f"There is no side {prefer!r} to prefer", hint="Prefer local or s3.")
        choice = Choice(frozenset(only), good, prefer)
        with self._pool(executor) as pool:
            return self._unsurprised(
                SyncOptions(dry_run=dry_run),
                lambda run: propose(
                    run,
                    chosen,
                    tuple(actors),
                    choice,
                    pool,
                    on_progress,
                    stop,
                    record_later=record_later and chosen in (Verb.PUSH, Verb.PULL) and not dry_run,
                ),
            )

    def plan_undo(
        self,
        run_id: str = "",
        *,
        or_before: bool = False,
        dry_run: bool = False,
        stop: Stop = never,
        executor: Executor | None = None,
        on_progress: OnProgress = _silent,
    ) -> Proposal:
        """Plan to take back a past run: by default the last one that changed something and was not taken back.

        With `or_before`, if it turns out that `run_id` did nothing, it is the last one before it that did. `UnknownRun` if there is
        none, `UnderWay` if it is still going on. An undo is a run, too, and can be taken back by its own id. `stop` is as for `sync`;
        then images of actors that were not looked at are refused.
        """
        from callsheet.transfer import propose_undo

        idle: set[str] = set()  # runs that were killed before they did anything
        is_named = bool(run_id) and not or_before
        journal = self.journal
        with self._pool(executor) as pool:
            while True:
                past = journal.read_over(run_id) if is_named else journal.latest_not_taken_back(idle, run_id)
                proposal = propose_undo(self._run(SyncOptions(dry_run=dry_run)), past, pool, on_progress, stop)
                plan = proposal.plan
                seen = proposal.seen
                if is_named or plan.actions or plan.marks or plan.refusals or seen.problems or seen.interrupted:
                    return proposal
                idle.add(past.id)

    def plan_restore(
        self,
        run_id: str,
        *,
        only: Iterable[str] = (),
        dry_run: bool = False,
        executor: Executor | None = None,
        on_progress: OnProgress = _silent,
    ) -> Proposal:
        """Plan to put back what a past run moved into the trash of either side, where nothing has taken its place.

        `UnknownRun` if there was no such run, `UnderWay` if it is still going on, `UnknownImage` if it moved none of `only`.
        """
        from callsheet.transfer import propose_restore

        past = self.journal.read_over(run_id)
        with self._pool(executor) as pool:
            return propose_restore(self._run(SyncOptions(dry_run=dry_run)), past, frozenset(only), pool, on_progress)

    def trash(self, *runs: str) -> Trash:
        """What runs (all, or these) have put away, on both sides. `UnknownRun` if one of `runs` has nothing in the trash."""
        from callsheet.trash import look_into

        found = look_into(self.root, self.where, Breaker(self.remote), self.journal)
        if unknown := set(runs) - {heap.run_id for heap in found.heaps}:
            shown = ", ".join(sorted(map(layout.printable, unknown)))
            raise UnknownRun(f"There is nothing of {shown} in the trash", hint="callsheet trash list shows what is.")
        return replace(found, heaps=tuple(heap for heap in found.heaps if not runs or heap.run_id in runs))

    def empty_trash(
        self, runs: Sequence[str] = (), *, older_than: timedelta = timedelta(), dry_run: bool = False
    ) -> Trash:
        """Delete for good what the trash holds of some runs (or of all), of those older than that. Returns what was deleted.

        After this, those runs cannot be taken back. A run that is still going on keeps its trash, and one that has not ended does for a day.
        `UnknownRun`, with nothing
        deleted, if one of `runs` has nothing in the trash.
        """
        from callsheet.trash import empty, may_go

        now = system.now()
        going = may_go(self.trash(*runs), now - older_than, now, named=bool(runs))
        return going if dry_run else empty(self.root, self.where, self.remote, going)

    def apply(
        self,
        plan: Plan | Proposal,
        *,
        limit_bytes_s: int | None = None,
        stop: Stop = never,
        on_begun: Callable[[str], None] = _silent,
        on_outcome: OnOutcome = _silent,
        on_moved: OnMoved = _silent,
        on_progress: OnProgress = _silent,
        executor: Executor | None = None,
    ) -> Transfer:
        """Carry out a plan, and record what is there afterwards.

        Each action first checks that what it expects is still so; one that finds otherwise, or fails, is a problem of the
        result, and the others go on. What is replaced or removed goes to the trash of its side. `stop` is asked now and then:
        once it says yes, what is under way is finished and nothing more begun. `limit_bytes_s` holds all transfers together to
        a rate. `on_begun` is called with the run's id, when its journal is on disk and nothing has been done yet, and not if there is
        nothing to do; `on_outcome` with what came of each action, as it is known. All are called by the thread that called this.

        On a cluster, each worker process is held to the rate by itself. `UsageError`, with nothing done, for a plan that is more than
        uploads and downloads; `ClusterError` if the cluster fails: then it is as if this process had been killed.
        """
        from callsheet.result import Proposal, Transfer
        from callsheet.transfer import Pace, carry_out

        proposal = plan if isinstance(plan, Proposal) else Proposal(plan, Report(plan.verb.value, (), ()))
        if not proposal.plan.actions and not proposal.plan.marks:
            problems = distinct((*proposal.seen.problems, *proposal.plan.refusals))
            report = replace(proposal.seen, verb=proposal.plan.verb.value, problems=problems)
            return Transfer("", proposal.plan, (), report, interrupted=report.interrupted)
        store = Breaker(self.remote)
        run = replace(self._run(SyncOptions()), remote=store.beside())  # a look that fails stops no transfer
        pace = Pace(self._transfers, limit_bytes_s, stop, on_begun, on_outcome, on_moved, on_progress)
        with self._pool(executor, self._transfers) as movers, self._pool(executor) as lookers:
            result = carry_out(run, store, self.journal, proposal, movers, lookers, pace)
        interrupted = result.interrupted or proposal.seen.interrupted
        return replace(result, report=_brought_up(proposal.seen, result.report), interrupted=interrupted)

    def runs(self) -> list[str]:
        """The ids of all past runs that moved or marked something, or were to, the newest first."""
        return self.journal.runs()[::-1]

    def past(self, run_id: str) -> PastRun:
        """What a past run did, as its journal tells it. `UnknownRun` if there was no such run, `PlanError` if it makes no sense."""
        return self.journal.read(run_id)

    def actor(self, wanted: str) -> Actor:
        """The actor that answers to a number or a folder's name. `UnknownActor`, `Collision`.

        What takes one actor takes it also as this gives it, or as a survey has it: then it is not looked for again.
        """
        return self._actor(wanted)

    def manifest(self, actor: str | Actor) -> Manifest:
        """One actor's manifest, empty if it has none yet."""
        return self._claimed(self._actor(actor))

    def glance(self, actor: str | Actor) -> Glance:
        """One actor as it is recorded and as it lies on disk now: no network, no hashing, nothing written.

        `UnknownActor`, `Collision`; `ManifestError` or `LocalError` if its manifest cannot be used.
        """
        return glance(self.root, self.where, self._store, self._actor(actor))

    def base_image(self, actor: str | Actor) -> str | None:
        """The path of an actor's base image, else of its poster frame, relative to the root; None if it has neither.

        A symlink that leaves the actor's folder is not followed.
        """
        return base_image(self.root, self.where, self._actor(actor))

    def fetch(self, actor: str | Actor, filename: str) -> Reading:
        """Begin to read an image's object in S3, if it is still the one that is recorded. Whoever reads closes its `blocks`.

        `UnknownImage`; `NoSuchObject` if it is not in S3, by the record or by now; `ObjectChanged`; `ForeignBucket` if it is in one
        that is neither the bucket nor one of the `other_buckets`; or another `RemoteError`.
        """
        from callsheet.fetch import fetch

        found = self._actor(actor)
        return fetch(self.remote, self.where, found, self._claimed(found), filename)

    def presigned(self, actor: str | Actor, filename: str, expires_s: int = 900) -> str | None:
        """A URL by which anybody may get an image's object from S3 until it expires, at most 900 seconds from now: a secret until then.

        None for a store without such URLs. Raises what `fetch` does, but asks nobody, so the object need not be there; `ValueError`
        for a longer time.
        """
        from callsheet.fetch import presigned

        found = self._actor(actor)
        return presigned(self.remote, self.where, found, self._claimed(found), filename, expires_s)

    def curate(
        self, actor: str, changes: Mapping[str, Curation], *, check: Check = _silent, dry_run: bool = False
    ) -> Curated:
        """Change the marks and prompts of an actor's images, each as `changes` says by filename: all of them, or none.

        A field that is None leaves what it is about as it is; an empty prompt takes the prompt away, for good: it is not taken
        over from a legacy file again. `check` is called under the manifest's lock with the entry of each image that `changes` names,
        before anything is written, and may raise. It is a run, which `undo` takes back.

        `UnknownImage`, with nothing written, if the manifest records one of them not.
        """
        from callsheet.amend import curate

        return curate(self._run(SyncOptions(dry_run=dry_run)), self.journal, self._actor(actor), changes, check)

    def mark(
        self, actor: str, *filenames: str, good: bool | None = None, prompt: str | None = None, dry_run: bool = False
    ) -> tuple[Entry, ...]:
        """Set the mark or prompt of an actor's images, all alike: see `curate`. Returns the images as they are then."""
        from callsheet.action import Curation

        return self.curate(actor, dict.fromkeys(filenames, Curation(good, prompt)), dry_run=dry_run).entries

    def adopt(self, folder: str, *, own: bool = False, dry_run: bool = False) -> Actor:
        """Settle a collision: make the manifest of the folder's id name this folder (a renamed actor), or, with `own`,
        give the folder a manifest of its own, `{folder}_manifest.json` (two actors, one number).

        `Collision` if the manifest belongs to another folder that is there.
        """
        name = folder.rstrip("/").rpartition("/")[2]
        if fault := layout.name_fault(name):
            raise UsageError(f"{layout.printable(name)!r} {fault}", hint="Name the actor's folder.")
        actor = layout.own_actor(name) if own else layout.shared_actor(name)

        def change(manifest: Manifest) -> Manifest:
            owner = manifest.names
            if owner not in (None, name) and (own or self._is_folder(owner or "")):
                hint = f"These are two actors: callsheet adopt --own {name}"
                there = ", which is there" if self._is_folder(owner or "") else ""
                raise Collision(f"The manifest belongs to the folder {owner}{there}", hint=hint)
            return replace(manifest, names=name)

        change(self._store.load(actor.stem) or Manifest(None))
        if not self._is_folder(name) and not self._is_in_s3(name):
            hint = f"Name a folder below {self.where.actors_dir}, in full."
            raise UnknownActor(f"There is no folder {self.where.folder(name)}, and none in S3", hint=hint)
        if not dry_run:
            self._store.update(actor, change, system.now())
            self._store.flush()
        return actor

    def survey(self) -> survey.Survey:
        """Which folders, manifests and actors belong together, and which collide. Costs next to nothing while nothing has changed."""
        return self._surveyor.survey()

    def _is_folder(self, name: str) -> bool:
        """Also a link to a disk that is not mounted."""
        return system.lexists(os.path.join(self.root, self.where.folder(name)))

    def _is_in_s3(self, name: str) -> bool:
        """Whether there is anything in the actor's folder in S3; asked only of a name that could be an actor's."""
        if not layout.has_actor_form(name):
            return False
        return next(iter(self.remote.list(self.where.bucket, self.where.key_prefix(name))), None) is not None

    def _claimed(self, actor: Actor) -> Manifest:
        """The actor's manifest. `Collision` if it names another folder."""
        manifest, _ = self._store.load_stamped(actor.stem)
        survey.claim(manifest, actor)
        return manifest or Manifest(None)

    def _actor(self, wanted: str | Actor) -> Actor:
        if isinstance(wanted, Actor):
            return wanted
        found = self.survey().matching((wanted,))
        if not found.actors:
            told = found.problems[0]
            raise Collision(f"{told.actor}: {told.message}")
        return found.actors[0]

    def _unsurprised(self, options: SyncOptions, look: Callable[[Run], _T]) -> _T:
        """`look`, once more if it met a loss that may be the doing of a run that was killed before it could record it."""
        try:
            return look(self._run(options))
        except LossRefused:
            try:
                past = self.journal.unfinished()
            except PlanError:  # a journal that makes no sense tells of nothing
                past = None
            if past is None:
                raise
            from callsheet.transfer import unsurprised

            return look(unsurprised(self._run(options), past))

    def _run(self, options: SyncOptions) -> Run:
        now = system.now()
        remote = None if options.offline else Breaker(self.remote)
        return Run(
            new_run_id(now),
            self.root,
            self.where,
            self._store,
            self._memos,
            self._surveyor,
            remote,
            self.remote.url,
            options,
            now,
        )

    @contextmanager
    def _pool(self, executor: Executor | None, workers: int = 0) -> Iterator[Executor]:
        if executor is not None:
            yield executor
            return
        from concurrent.futures import ThreadPoolExecutor

        pool = ThreadPoolExecutor(workers or self._workers, thread_name_prefix="callsheet")
        try:
            yield pool
        except KeyboardInterrupt:  # does not wait for a slow network
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
        pool.shutdown()


def _verb(name: Verb | str) -> Verb:
    from callsheet.action import Verb

    planned = (Verb.PUSH, Verb.PULL, Verb.REPAIR, Verb.EVICT, Verb.RM)
    if name not in planned:
        raise UsageError(f"{name!r} is not to be planned", hint=f"One of {', '.join(planned)}.")
    return Verb(name)


def _brought_up(before: Report, after: Report) -> Report:
    """The report of all actors that a plan was for: as they were seen before, or, if they were touched, as they are now."""
    touched = {row.actor.name: row for row in after.actors}
    rows = {row.actor.name: row for row in before.actors} | touched
    kept = [problem for problem in before.problems if problem.actor not in touched]
    return replace(
        after, actors=tuple(rows[name] for name in sorted(rows)), problems=distinct((*kept, *after.problems))
    )
