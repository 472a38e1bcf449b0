"""Long runs for programs: told of as they go, stopped between two actors or images, looked up afterwards."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from callsheet import reconcile
from callsheet.action import Curation, Outcome, Verb
from callsheet.errors import UnknownRun
from callsheet.library import Library
from callsheet.model import RemoteObject
from callsheet.remote.memory import MemoryRemote
from callsheet.report import Progress
from callsheet.run import Stop
from factory import Tree
from sim.trouble import Inline

ACTORS = [f"{number:04}_x" for number in range(30)]


@pytest.fixture
def library(tree: Tree) -> Library:
    """Every actor has an image on both sides, and one that is only in S3."""
    for actor in ACTORS:
        tree.both(actor, "both.png")
        tree.object(actor, "there.png")
    return tree.library()


def after(asked: int) -> Stop:
    """Says yes from the `asked`th time on."""
    count = itertools.count(1)
    return lambda: next(count) >= asked


@pytest.mark.parametrize("offline", [False, True])
@pytest.mark.parametrize("asked", [1, 2, 12])
def test_a_stopped_sync_records_what_it_looked_at_and_nothing_of_the_rest(
    tree: Tree, library: Library, asked: int, offline: bool
) -> None:
    report = library.sync(offline=offline, stop=after(asked), executor=Inline())
    assert report.interrupted
    assert report.problems == ()
    assert [row.actor.name for row in report.actors] == ACTORS[: len(report.actors)]
    assert len(report.actors) < len(ACTORS)
    assert set(tree.manifests()) == {f"{row.actor.id}_manifest.json" for row in report.actors}
    whole = library.sync(offline=offline)
    assert (whole.interrupted, len(whole.actors)) == (False, len(ACTORS))


@pytest.mark.parametrize("asked", range(1, 62, 4))
@pytest.mark.parametrize("executor", [Inline, lambda: ThreadPoolExecutor(3)])
def test_a_stopped_sync_never_takes_what_it_did_not_list_for_absent(
    tree: Tree, library: Library, asked: int, executor: Callable[[], Inline | ThreadPoolExecutor]
) -> None:
    library.sync()
    before = tree.manifests()
    with executor() as pool:
        library.sync(stop=after(asked), executor=pool, accept_loss=True)
    assert tree.manifests() == before


def test_losses_that_wait_for_all_to_be_looked_at_are_not_recorded_by_a_stopped_sync(
    tree: Tree, library: Library
) -> None:
    library.sync()
    before = tree.manifests()
    for actor in ACTORS:
        (tree.folder(actor) / "both.png").unlink()
    report = library.sync(offline=True, stop=after(25))
    assert (report.interrupted, tree.manifests()) == (True, before)


def test_a_stop_reaches_actors_that_wait_for_a_thread(tree: Tree, library: Library) -> None:
    """They were handed out all at once, for they are few."""
    begun, stopped = itertools.count(1), threading.Event()
    reconciled = reconcile.reconcile

    def counted(*arguments: object) -> object:
        if next(begun) == 2:
            stopped.set()
        return reconciled(*arguments)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(1) as pool:
        patch.setattr(reconcile, "reconcile", counted)
        report = library.sync(offline=True, stop=stopped.is_set, executor=pool)
    assert report.interrupted
    assert len(report.actors) < len(ACTORS)


class Endless(MemoryRemote):
    """Its listing goes on until somebody stops."""

    def list(self, bucket: str, prefix: str, *, after: str = "", before: str = "") -> Iterator[RemoteObject]:
        (first,) = super().list(bucket, prefix, after=after, before=before)
        for number in itertools.count():
            place = type(first.location)(bucket, f"{prefix}{number:09}_stranger/a.txt")
            yield type(first)(place, first.size_bytes, first.etag, first.last_modified)


def test_a_stop_reaches_a_sync_that_is_still_listing(tree: Tree) -> None:
    tree.remote = Endless([tree.where.bucket])
    tree.both("zz_last", "a.png")
    assert tree.library().sync(stop=after(500)).interrupted


def test_a_stopped_plan_is_for_the_actors_that_were_looked_at(library: Library) -> None:
    proposal = library.plan("pull", only=["there.png"], stop=after(5), executor=Inline())
    seen = [row.actor.name for row in proposal.seen.actors]
    assert proposal.seen.interrupted
    assert [action.actor for action in proposal.plan.actions] == seen != ACTORS
    assert library.apply(proposal).interrupted
    nobody = library.plan("pull", only=["there.png"], stop=lambda: True)
    assert nobody.plan.actions == ()
    assert library.apply(nobody).interrupted


def test_a_run_tells_its_id_before_it_does_anything_and_each_outcome_as_it_is_known(
    tree: Tree, library: Library
) -> None:
    told: list[str | Outcome] = []

    def begun(run: str) -> None:
        assert [step.outcome for step in library.past(run).steps] == [None] * len(ACTORS)
        assert not (tree.folder(ACTORS[0]) / "there.png").exists()
        told.append(run)

    def outcome(known: Outcome) -> None:
        run = told[0]
        assert isinstance(run, str)
        assert known in [step.outcome for step in library.past(run).steps]
        told.append(known)

    result = library.apply(library.plan("pull"), on_begun=begun, on_outcome=outcome)
    assert told[0] == result.run_id
    assert sorted(map(repr, told[1:])) == sorted(map(repr, result.outcomes))


def test_what_a_past_run_did_is_told_after_a_restart(tree: Tree, library: Library) -> None:
    assert library.runs() == []
    pulled = library.apply(library.plan("pull")).run_id
    marked = library.curate(ACTORS[0], {"both.png": Curation(True, None)}).run_id
    again = tree.library()
    assert again.runs() == [marked, pulled]
    past = again.past(pulled)
    assert (past.verb, past.ended is not None, len(past.done)) == (Verb.PULL, True, len(ACTORS))
    assert [mark.filename for mark in again.past(marked).marks] == ["both.png"]
    with pytest.raises(UnknownRun):
        again.past("20251017T163000.000Z-ab12")


def test_nothing_to_do_begins_no_run(library: Library) -> None:
    begun: list[str] = []
    library.apply(library.plan("push"), on_begun=begun.append)
    assert (begun, library.runs()) == ([], [])


def test_a_sync_that_is_not_stopped_is_asked_before_each_actor(library: Library) -> None:
    asked = itertools.count()
    seen: list[Progress] = []
    report = library.sync(stop=lambda: next(asked) < 0, on_progress=seen.append)
    assert not report.interrupted
    assert next(asked) >= len(ACTORS) == len(seen)


@pytest.mark.parametrize("asked", [1, 5, 12])
def test_a_stopped_undo_plans_nothing_for_actors_that_it_did_not_look_at(library: Library, asked: int) -> None:
    run = library.apply(library.plan("pull")).run_id
    for named in (run, ""):
        proposal = library.plan_undo(named, stop=after(asked), executor=Inline())
        assert proposal.seen.interrupted
        seen = {row.actor.name for row in proposal.seen.actors}
        assert len(seen) < len(ACTORS)
        assert {action.actor for action in proposal.plan.actions} <= seen
        assert {refusal.actor for refusal in proposal.plan.refusals} >= set(ACTORS) - seen
        assert {refusal.code for refusal in proposal.plan.refusals} == {"not_seen"}
