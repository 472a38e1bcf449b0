"""One check, from its beginning to its end; and, with `fix`, the mending, and a second look at what it was about."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from dataclasses import replace
from functools import partial
from typing import TypeVar

from callsheet.checkup import Checkup, Finding, in_order
from callsheet.checkup import told as as_finding
from callsheet.cluster import Cluster
from callsheet.elsewhere import afar
from callsheet.errors import LocalError
from callsheet.fsck.actors import Checked, check_actor
from callsheet.fsck.leavings import check_leavings, check_migrated
from callsheet.fsck.mend import mend
from callsheet.fsck.objects import ReadObjects, read_afar, read_here
from callsheet.fsck.past import Past, trash_in_s3
from callsheet.fsck.scope import Scope, failure, scope_of
from callsheet.journal import Journal
from callsheet.model import Actor
from callsheet.report import Progress
from callsheet.run import Run
from callsheet.sync import OnProgress

SIDES = {"": (False, False), "local": (True, False), "s3": (False, True), "both": (True, True)}
"""What may be read: whether that is this disk, and whether it is S3."""

_T = TypeVar("_T")
_R = TypeVar("_R")
_AT_ONCE = 64


def run_fsck(
    run: Run,
    journal: Journal,
    wanted: tuple[str, ...],
    read: str,
    executor: Executor,
    on_progress: OnProgress,
    *,
    fix: bool,
    cluster: Cluster | None = None,
) -> Checkup:
    """Check all actors and everything beside them, or the actors that are named alone. S3 is looked at only if it is read; with a
    `cluster`, the objects that are recorded are read on its workers, which need not see the tree.

    `TreeError` if the tree cannot be read, `UnknownActor`, `ClusterError`.
    """
    read_objects = _reader(run, cluster)
    scope = scope_of(run, read_local=SIDES[read][0], read_objects=read_objects)
    checked = _actors(scope, run.surveyor.survey().matching(wanted).actors, executor, on_progress)
    past = Past(scope, journal)
    of_runs = () if wanted else _runs(past)
    found = [*_of_actors(checked), *of_runs, *_beside(scope, wanted)]
    images = sum(one.images for one in checked.values())
    read_bytes = past.read_bytes + sum(one.read_bytes for one in checked.values())
    told = in_order(found)
    checkup = Checkup(read, len(checked), images, past.runs, read_bytes, told, dry_run=run.options.dry_run)
    if not fix or run.options.dry_run or not any(one.fixable for one in found):
        return checkup
    left = mend(scope, found, past.busy, executor, on_progress)
    again = scope_of(run, read_local=scope.read_local, read_objects=read_objects)
    touched = {one.actor for one in found if one.fixable}
    checked |= _actors(again, [actor for actor in checked if actor.name in touched], executor, on_progress)
    now = [*_of_actors(checked), *of_runs, *_beside(again, wanted), *left]
    still = {_identity(one) for one in now}
    mended = in_order(one for one in found if one.fixable and _identity(one) not in still)
    return replace(checkup, findings=in_order(now), mended=mended)


def _reader(run: Run, cluster: Cluster | None) -> ReadObjects | None:
    """Who reads objects: this process, or the workers of a cluster; None if S3 is not looked at."""
    if run.remote is None:
        return None
    if cluster is None:
        return partial(read_here, run.remote)
    return partial(read_afar, cluster, afar(run.id, run.where, run.remote))


def _actors(scope: Scope, actors: Iterable[Actor], executor: Executor, on_progress: OnProgress) -> dict[Actor, Checked]:
    """The checks of some actors."""
    wanted = list(actors)
    checked: dict[Actor, Checked] = {}
    images = read_bytes = 0
    jobs = _in_turn(executor, partial(check_actor, scope), wanted)
    for actor, one in zip(wanted, jobs, strict=True):
        checked[actor] = one
        images += one.images
        read_bytes += one.read_bytes
        on_progress(Progress(len(checked), len(wanted), images, read_bytes))
    return checked


def _of_actors(checked: dict[Actor, Checked]) -> Iterator[Finding]:
    for one in checked.values():
        yield from one.findings


def _runs(past: Past) -> tuple[Finding, ...]:
    """The check of the journal and of the trash of both sides."""
    past.in_s3, untold = trash_in_s3(past.scope)
    found = list(untold)
    try:
        found.extend(past.check())
    except LocalError as error:
        found.append(failure(error, "", past.scope.where.state_dir))
    return tuple(found)


def _beside(scope: Scope, wanted: tuple[str, ...]) -> Iterator[Finding]:
    """What is found beside actors and runs: which folders and manifests do not belong together, and what lies about."""
    survey = scope.run.surveyor.survey()
    for problem in survey.matching(wanted).problems:
        yield as_finding(problem)
    if not wanted:
        yield from check_leavings(scope)
        yield from check_migrated(scope, frozenset(actor.name for actor in survey.actors))


def _in_turn(executor: Executor, job: Callable[[_T], _R], tasks: Iterable[_T]) -> Iterator[_R]:
    """What `job` makes of each task, in their order; few are under way at once, for there may be very many."""
    pending: deque[Future[_R]] = deque()
    try:
        for task in tasks:
            pending.append(executor.submit(job, task))
            if len(pending) >= _AT_ONCE:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()


def _identity(found: Finding) -> tuple[str, str, str]:
    return found.code, found.actor, found.filename
