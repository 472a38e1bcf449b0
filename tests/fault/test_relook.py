"""A long push or pull looks at the actors that it is done with while it goes on: what that records is what a look at the end records."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from asking import wait_until
from callsheet import listing, relook, system
from callsheet.action import Outcome
from callsheet.errors import Unreachable
from callsheet.model import Location
from callsheet.remote.contract import ANYTHING, Held, Reading, Source
from callsheet.remote.memory import MemoryRemote
from factory import USER_BUCKET, Tree
from kept import Witness, carried_out, named, picture, settled
from mounts import one_at_a_time

ACTORS = [f"{number:04}_x" for number in range(12)]
IMAGES = ("a.png", "b.png")
TIMES = ("training_data_updated", "modified_date", "last_modified", "checked_at")


class Watched(MemoryRemote):
    """A store in memory that calls `on_moved` with the key of each image that is about to be sent or fetched, and `on_listed` with what
    is about to be listed."""

    def __init__(self) -> None:
        super().__init__(("story-boards-assets", USER_BUCKET))
        self.on_moved: Callable[[str], None] = lambda key: None
        self.on_listed: Callable[[str, str, str], None] = lambda prefix, after, before: None

    def list(self, bucket: str, prefix: str, *, after: str = "", before: str = "") -> Any:
        self.on_listed(prefix, after, before)
        return super().list(bucket, prefix, after=after, before=before)

    def read(self, location: Location, *, if_match: str, into: memoryview | None = None) -> Reading:
        self.on_moved(location.key)
        return super().read(location, if_match=if_match, into=into)

    def put(self, location: Location, body: bytes | Source, *, md5: str, replaces: Held = ANYTHING) -> str:
        self.on_moved(location.key)
        return super().put(location, body, md5=md5, replaces=replaces)


@pytest.fixture(params=["push", "pull"])
def verb(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def store(tree: Tree, verb: str, monkeypatch: pytest.MonkeyPatch) -> Watched:
    """Twelve actors whose images are on one side, to be sent one after the other; four of them are enough to be looked at together."""
    monkeypatch.setattr(relook, "_FEWEST", 4)
    return prepared(tree, verb)


def prepared(tree: Tree, verb: str) -> Watched:
    tree.remote = store = Watched()
    one_at_a_time(tree)
    for actor in ACTORS:
        for name in IMAGES:
            (tree.image if verb == "push" else tree.object)(actor, name, picture(f"{actor} {name}"))
    return store


def recorded(tree: Tree) -> set[str]:
    """The actors that have a manifest."""
    return {actor for actor in ACTORS if tree.manifest_path(actor[:4]).exists()}


def at(actor: str, then: Callable[[], object]) -> Callable[[str], None]:
    """Call `then` when this actor's first image is about to be moved."""
    waiting = [then]

    def moved(key: str) -> None:
        if key.endswith(f"{actor}/{IMAGES[0]}") and waiting:
            waiting.pop()()

    return moved


def all_synced(tree: Tree) -> None:
    for actor in ACTORS:
        assert tree.statuses(actor[:4]) == dict.fromkeys(IMAGES, "synced")
    settled(tree)


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("callsheet-relook")]


def test_actors_are_recorded_while_others_are_still_transferred(tree: Tree, verb: str, store: Watched) -> None:
    store.on_moved = at(ACTORS[-1], lambda: wait_until(lambda: recorded(tree) >= {*ACTORS[:4]}))
    seen: list[int] = []
    library = tree.library()
    result = library.apply(
        library.plan(verb, record_later=True), on_progress=lambda progress: seen.append(progress.actors_done)
    )
    assert (result.report.problems, len(result.done)) == ((), 24)
    assert [row.actor.name for row in result.report.actors] == ACTORS
    assert result.report.counts.synced == 24
    assert not threads()
    all_synced(tree)


def test_what_is_recorded_is_what_a_look_at_the_end_records(
    tree: Tree, verb: str, store: Watched, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    other = Tree(tmp_path / "other")
    prepared(other, verb)
    carried_out(tree.library(), verb)
    monkeypatch.setattr(relook, "_FEWEST", 7)
    carried_out(other.library(), verb)
    for actor in ACTORS:
        early, late = (one.read_manifest(actor[:4]) for one in (tree, other))
        assert timeless(early) == timeless(late)


def timeless(manifest: Any) -> Any:
    """A document without its times, which two runs have each their own of."""
    if isinstance(manifest, dict):
        return {name: timeless(value) for name, value in manifest.items() if name not in TIMES}
    return [timeless(value) for value in manifest] if isinstance(manifest, list) else manifest


def test_each_lot_is_listed_for_itself(tree: Tree, verb: str, store: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "_FEW", 1)
    plan = tree.library().plan(verb, record_later=True)
    folders = f"{tree.where.key_prefix()}{{}}".format
    listed: list[tuple[str, str]] = []
    store.on_listed = lambda prefix, after, before: listed.append((after, before))
    tree.library().apply(plan)
    assert listed == [(folders(f"{ACTORS[at]}/"), folders(f"{ACTORS[at + 3]}0")) for at in (0, 4, 8)]
    all_synced(tree)


def test_nothing_is_recorded_whose_name_may_not_survive(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relook, "_FEWEST", 4)
    prepared(tree, "pull")
    flushed: list[str] = []
    unsafe: list[str] = []
    fsync_all, replace = system.fsync_all, system.replace

    def fsynced(descriptors: Sequence[int]) -> list[OSError | None]:
        flushed.extend(os.readlink(f"/proc/self/fd/{descriptor}") for descriptor in descriptors)
        return fsync_all(descriptors)

    def replaced(path: str, target: str) -> None:
        if target.endswith("_manifest.json"):
            actor = f"{os.path.basename(target)[:4]}_x"
            unsafe.extend([actor] * (str(tree.folder(actor)) not in flushed))
        replace(path, target)

    plan = tree.library().plan("pull", record_later=True)
    monkeypatch.setattr(system, "fsync_all", fsynced)
    monkeypatch.setattr(system, "replace", replaced)
    tree.library().apply(plan)
    assert flushed
    assert not unsafe
    assert recorded(tree) == {*ACTORS}


def test_an_actor_is_looked_at_once_when_all_of_its_images_are_moved(tree: Tree, verb: str, store: Watched) -> None:
    plan = tree.library().plan(verb, record_later=True)
    events: list[str] = []
    store.on_moved = lambda key: events.append(f"moved {key.split('/')[-2]}")
    store.on_listed = lambda prefix, after, before: events.append(f"listed {prefix.split('/')[-2]}")
    tree.library().apply(plan)
    for actor in ACTORS:
        assert [event for event in events if event.endswith(actor)] == [*[f"moved {actor}"] * 2, f"listed {actor}"]


def test_what_is_recorded_was_seen_after_all_was_done(tree: Tree, verb: str, store: Watched) -> None:
    moved: dict[str, str] = {}
    store.on_moved = lambda key: moved.update({key.split("/")[-2]: datetime.now(UTC).replace(tzinfo=None).isoformat()})
    carried_out(tree.library(), verb)
    for actor in ACTORS:
        assert all(row["checked_at"] > moved[actor] for row in tree.read_manifest(actor[:4])["training_data"])


def test_an_image_that_fails_is_named_and_the_others_are_recorded(tree: Tree, verb: str, store: Watched) -> None:
    plan = tree.library().plan(verb, record_later=True)
    changed = picture("changed meanwhile")
    if verb == "push":
        tree.image(ACTORS[1], IMAGES[0], changed)
    else:
        tree.object(ACTORS[1], IMAGES[0], changed)
    witness = Witness(tree)
    result = tree.library().apply(plan)
    assert len(result.done) == 23
    named(result, ACTORS[1], IMAGES[0], "changing" if verb == "push" else "object_changed")
    assert result.report.counts.synced == 23
    assert not carried_out(tree.library(), verb).report.problems
    all_synced(tree)
    witness.nothing_lost()


def test_a_run_that_is_stopped_records_what_it_did_and_what_it_saw(tree: Tree, verb: str, store: Watched) -> None:
    stopped = threading.Event()

    def stop() -> None:
        stopped.set()
        time.sleep(0.5)  # whoever carries out the plan asks several times a second

    store.on_moved = at(ACTORS[6], stop)
    library = tree.library()
    result = library.apply(library.plan(verb, record_later=True), stop=stopped.is_set)
    assert result.interrupted
    assert 12 <= len(result.done) < 24
    assert result.report.counts.synced == len(result.done)
    assert recorded(tree) == {*ACTORS}
    assert not result.report.problems
    carried_out(tree.library(), verb)
    all_synced(tree)


def test_a_store_that_cannot_be_listed_any_more_is_told_and_goes_on_to_be_used(
    tree: Tree, verb: str, store: Watched
) -> None:
    failed = threading.Event()

    def gone(prefix: str, after: str, before: str) -> None:
        failed.set()
        raise Unreachable("The store does not answer")

    plan = tree.library().plan(verb, record_later=True)
    store.on_listed = gone
    store.on_moved = at(ACTORS[9], lambda: wait_until(failed.is_set))
    result = tree.library().apply(plan)
    assert len(result.done) == 24
    assert "unreachable" in {problem.code for problem in result.report.problems}
    store.on_listed = lambda prefix, after, before: None
    tree.library().sync()
    all_synced(tree)


class Broken(Exception):
    """What a caller's own function raises."""


@pytest.mark.parametrize("error", [Broken, KeyboardInterrupt])
def test_a_run_that_breaks_off_leaves_nothing_false_and_no_thread(
    tree: Tree, verb: str, store: Watched, error: type[BaseException]
) -> None:
    ended: list[Outcome] = []

    def told(outcome: Outcome) -> None:
        ended.append(outcome)
        if len(ended) == 14:
            raise error

    library = tree.library()
    plan = library.plan(verb, record_later=True)
    witness = Witness(tree)
    with pytest.raises(error):
        library.apply(plan, on_outcome=told)
    wait_until(lambda: not threads())
    for actor in recorded(tree):
        assert tree.statuses(actor[:4]) == dict.fromkeys(IMAGES, "synced")
    carried_out(tree.library(), verb)
    all_synced(tree)
    witness.nothing_lost()
