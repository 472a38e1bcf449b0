"""What is hashed ahead is what hashing in its turn would have found; it is bounded, and ends when it is told to."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from callsheet import ahead, layout, local
from callsheet.ahead import HashAhead
from callsheet.model import Actor, HashedFile
from factory import SETTLED_S, Tree, md5_of

ACTORS = [layout.shared_actor(f"{number:04}_actor") for number in range(40)]
IMAGES = 5


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    tree = Tree(tmp_path)
    for actor in ACTORS:
        for number in range(IMAGES):
            tree.both(actor.name, f"{actor.name}_{number}.png")
    return tree


class Hashing(HashAhead):
    """Of a tree's images. `listed` are the actors that it has got to."""

    def __init__(self, tree: Tree) -> None:
        self.listed: list[Actor] = []
        self.tree = tree
        super().__init__(ACTORS, self.paths)

    def paths(self, actor: Actor) -> list[str]:
        self.listed.append(actor)
        return [str(path) for path in self.tree.folder(actor.name).iterdir()]

    def settle(self) -> None:
        """Wait until it rests."""
        deadline = time.monotonic() + 10
        while self._thread.is_alive() and (self._begun or self._files_done < ahead._MOST_FILES):
            assert time.monotonic() < deadline
            time.sleep(0.001)


def right(actor: Actor, files: Mapping[str, HashedFile]) -> bool:
    """Whether these are the hashes of all images of the actor, as the fixture made them."""
    names = [f"{actor.name}_{number}.png" for number in range(IMAGES)]
    return {os.path.basename(path): file.md5 for path, file in files.items()} == {
        name: md5_of(name.encode()) for name in names
    }


def test_all_is_hashed_ahead_and_given_out_once(tree: Tree) -> None:
    with Hashing(tree) as hashes:
        hashes.settle()
        assert all(right(actor, hashes.take(actor)) for actor in ACTORS)
        assert not any(hashes.take(actor) for actor in ACTORS)


def test_many_threads_get_all_or_nothing_of_an_actor_and_never_hang(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ahead, "_BATCH_FILES", 7)
    for _ in range(20):
        taken: dict[Actor, Mapping[str, HashedFile]] = {}
        with Hashing(tree) as hashes:

            def take(
                first: int, hashes: Hashing = hashes, taken: dict[Actor, Mapping[str, HashedFile]] = taken
            ) -> None:
                taken.update((actor, hashes.take(actor)) for actor in ACTORS[first::4])

            threads = [threading.Thread(target=take, args=(first,)) for first in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(10)
                assert not thread.is_alive()
        assert taken.keys() == set(ACTORS)
        assert all(not files or right(actor, files) for actor, files in taken.items())


def test_it_rests_while_nobody_asks_for_what_it_has(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "_BATCH_FILES", 2 * IMAGES)
    monkeypatch.setattr(ahead, "_MOST_FILES", 4 * IMAGES)
    with Hashing(tree) as hashes:
        hashes.settle()
        assert hashes.listed == ACTORS[:4]
        assert all(right(actor, hashes.take(actor)) for actor in ACTORS[:4])
        hashes.settle()
        assert hashes.listed == ACTORS[:8]


def test_what_was_asked_for_before_it_was_begun_is_not_begun(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "_MOST_FILES", 1)
    monkeypatch.setattr(ahead, "_BATCH_FILES", 1)
    with Hashing(tree) as hashes:
        hashes.settle()
        assert hashes.take(ACTORS[1]) == {}
        hashes.take(ACTORS[0])
        hashes.settle()
        assert hashes.listed == [ACTORS[0], ACTORS[2]]


def test_a_file_that_was_just_written_is_left_to_its_turn(tree: Tree) -> None:
    """It may be written to again without a new mtime."""
    fresh = tree.image(ACTORS[0].name, "fresh.png", mtime_s=time.time())
    with Hashing(tree) as hashes:
        hashes.settle()
        files = hashes.take(ACTORS[0])
    assert len(files) == IMAGES
    assert str(fresh) not in files


def test_ctrl_c_does_not_wait_for_a_disk_that_hangs(tree: Tree) -> None:
    hangs, goes_on = threading.Event(), threading.Event()

    def paths(_: Actor) -> list[str]:
        hangs.set()
        goes_on.wait(10)
        return []

    def interrupted() -> None:
        with hashes:
            assert hangs.wait(10)
            raise KeyboardInterrupt

    hashes = HashAhead(ACTORS, paths)
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert hashes._thread.is_alive()
    goes_on.set()
    hashes._thread.join(10)
    assert not hashes._thread.is_alive()


@pytest.mark.parametrize("keeps_size", [True, False])
def test_a_file_that_is_written_after_it_was_hashed_ahead_is_hashed_again(
    tree: Tree, monkeypatch: pytest.MonkeyPatch, keeps_size: bool
) -> None:
    name = f"{ACTORS[0].name}_0.png"
    content = name.upper().encode() if keeps_size else b"other"
    take = HashAhead.take
    seen = []

    def late(self: HashAhead, actor: Actor) -> Mapping[str, HashedFile]:
        self._thread.join(10)  # it ends when all is hashed
        files = take(self, actor)
        if actor == ACTORS[0]:
            seen.append(files)
            tree.image(actor.name, name, content, mtime_s=SETTLED_S + 1)
        return files

    monkeypatch.setattr(HashAhead, "take", late)
    library = tree.library()
    assert library.sync().problems == ()
    assert right(ACTORS[0], seen[0])
    recorded = {entry.filename: entry for entry in library.manifest(ACTORS[0].name).entries}
    assert recorded[name].md5_hash == md5_of(content)
    assert recorded[name].size_bytes == len(content)
    assert recorded[name].status == "out_of_sync"


def test_symlinks_are_left_to_their_turn(tree: Tree, tmp_path: Path) -> None:
    """Whether one may be followed is the scan's to say."""
    outside = tmp_path / "outside.png"
    outside.write_bytes(b"of somebody else")
    folder = tree.folder(ACTORS[0].name)
    (folder / "link.png").symlink_to(outside)
    assert sorted(local.regular_files(str(folder))) == [f"{ACTORS[0].name}_{number}.png" for number in range(IMAGES)]
    (tmp_path / "linked").symlink_to(folder)
    assert local.regular_files(str(tmp_path / "linked")) == []
    assert {problem.filename for problem in tree.library().sync().problems} == {"link.png"}
