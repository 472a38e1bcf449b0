"""A glance at one actor: what is recorded and what lies on disk, at this moment, for nearly nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from callsheet import hashing, local
from callsheet.errors import Collision, ManifestError, UnknownActor
from callsheet.model import Manifest
from callsheet.remote.memory import MemoryRemote
from factory import Tree

ACTOR = "0000_x"


def test_a_glance_tells_the_record_and_the_disk(tree: Tree) -> None:
    for name in ("here.png", "gone.png", "edited.png"):
        tree.image(ACTOR, name)
    library = tree.library()
    library.sync()
    (tree.folder(ACTOR) / "gone.png").unlink()
    tree.image(ACTOR, "edited.png", b"other", mtime_s=1_770_000_000)
    tree.image(ACTOR, "new.png")
    os.mkfifo(tree.folder(ACTOR) / "pipe.png")
    seen = library.glance("0")
    assert seen.actor.name == ACTOR
    assert seen.manifest == library.manifest(ACTOR)
    assert (seen.drift.new, seen.drift.gone, seen.drift.touched) == (("new.png",), ("gone.png",), ("edited.png",))
    assert [found.filename for found in seen.scan.found] == ["edited.png", "here.png", "new.png"]
    assert [(told.filename, told.code) for told in seen.problems] == [("pipe.png", "not_a_file")]
    (row,) = library.status().actors
    assert row.drift == seen.drift
    assert library.status().problems == seen.problems


def test_the_stamp_of_a_glance_is_that_of_the_manifest_that_it_tells(tree: Tree) -> None:
    tree.image(ACTOR, "a.png")
    library = tree.library()
    assert (library.glance(ACTOR).stamp, library.glance(ACTOR).manifest) == (None, Manifest(None))
    library.sync()
    before = library.glance(ACTOR)
    assert before.stamp == local.stamp(str(tree.manifest_path("0000")))
    assert library.glance(ACTOR) == before
    library.mark(ACTOR, "a.png", good=True)
    after = library.glance(ACTOR)
    assert after.stamp != before.stamp
    assert [entry.good for entry in after.manifest.entries] == [True]


def test_a_manifest_that_is_replaced_while_it_is_read_is_told_with_its_own_stamp(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree.image(ACTOR, "a.png")
    library = tree.library()
    library.sync()
    path = str(tree.manifest_path("0000"))
    old = local.stamp(path)
    read_stamped = local.read_stamped

    def replaced_meanwhile(path: str, *, within: str = "") -> tuple[bytes, local.Stamp] | None:
        found = read_stamped(path, within=within)
        monkeypatch.setattr(local, "read_stamped", read_stamped)
        tree.library().mark(ACTOR, "a.png", good=True)
        return found

    monkeypatch.setattr(local, "read_stamped", replaced_meanwhile)
    seen = library.glance(ACTOR)
    assert (seen.stamp, [entry.good for entry in seen.manifest.entries]) == (old, [None])
    assert library.glance(ACTOR).stamp == local.stamp(path) != old


def test_a_glance_asks_no_store_and_hashes_nothing(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    tree.both(ACTOR, "a.png")
    tree.library().sync()
    tree.image(ACTOR, "a.png", b"other", mtime_s=1_770_000_000)
    monkeypatch.setattr(hashing, "hash_files", lambda *_: pytest.fail("it hashed"))
    for ask in ("list", "head", "read"):
        monkeypatch.setattr(MemoryRemote, ask, lambda *_, **__: pytest.fail("it asked S3"))
    assert tree.library().glance(ACTOR).drift.touched == ("a.png",)


def test_what_keeps_an_actor_from_being_looked_at_is_raised(tree: Tree) -> None:
    for name in (ACTOR, "0001_a", "0001_b"):
        tree.image(name, "a.png")
    library = tree.library()
    with pytest.raises(UnknownActor):
        library.glance("7")
    with pytest.raises(Collision):
        library.glance("0001_a")
    tree.write_manifest("0000", b"{")
    with pytest.raises(ManifestError):
        library.glance(ACTOR)


BASE = "data/actors/0000_x/base_image/0000_x_base"
POSTER = "data/actors/0000_x/poster_frame/0000_x"


@pytest.mark.parametrize(
    ("there", "best"),
    [
        ((), None),
        ((f"{BASE}.png", f"{BASE}.jpg", f"{POSTER}_poster.png"), f"{BASE}.png"),
        ((f"{BASE}.WEBP", f"{POSTER}_poster.png"), f"{BASE}.WEBP"),
        ((f"{BASE}.gif", f"{BASE}.txt", f"{BASE}_2.png", f"{POSTER}.jpg"), f"{POSTER}.jpg"),
        ((f"{POSTER}_poster.jpg", f"{POSTER}.png"), f"{POSTER}_poster.jpg"),
        ((f"{POSTER}_other.jpg", "data/actors/0000_x/training_data/0000_x_base.png"), None),
    ],
)
def test_the_base_image_is_the_best_that_is_there(tree: Tree, there: tuple[str, ...], best: str | None) -> None:
    tree.folder(ACTOR)
    for name in there:
        path = tree.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"image")
    assert tree.library().base_image(ACTOR) == best


def test_a_base_image_outside_the_actors_folder_is_not_followed(tree: Tree, tmp_path: Path) -> None:
    tree.folder(ACTOR)
    outside = tmp_path / "secret.png"
    outside.write_bytes(b"secret")
    (tree.root / BASE).parent.mkdir()
    (tree.root / f"{BASE}.png").symlink_to(outside)
    (tree.root / f"{BASE}.jpg").mkdir()
    (tree.root / POSTER).parent.symlink_to(tmp_path)
    (tmp_path / "0000_x_poster.png").write_bytes(b"secret")
    assert tree.library().base_image(ACTOR) is None
    tree.image(ACTOR, "mine.png")
    (tree.root / f"{BASE}.webp").symlink_to(tree.folder(ACTOR) / "mine.png")
    assert tree.library().base_image(ACTOR) == f"{BASE}.webp"
