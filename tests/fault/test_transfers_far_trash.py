"""The trash on another file system, or full, or shared by many threads: what is put away is whole, and what is new stays."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from factory import Tree
from kept import Witness, carried_out, named, picture, settled
from mounts import one_at_a_time, root_only, small_disk
from scene import ANNA, BAD, BERT, GOOD, done, place, run, scene, state, verb_of

# --- The trash on another file system ---------------------------------------------------------------------------------------------


@pytest.fixture
def far_trash(tree: Tree) -> Iterator[Path]:
    """The trash is a link to another disk."""
    shm = Path("/dev/shm")
    if not shm.is_dir() or shm.stat().st_dev == tree.root.stat().st_dev:
        pytest.skip("there is no other file system")
    far = shm / f"callsheet-{os.getpid()}-{tree.root.parent.name}"
    far.mkdir()
    state(tree).mkdir(parents=True)
    state(tree, "trash").symlink_to(far)
    yield far
    shutil.rmtree(far)


@pytest.mark.parametrize("kind", ["repair from S3", "evict", "rm"])
def test_the_trash_may_be_on_another_file_system(tree: Tree, far_trash: Path, kind: str) -> None:
    scene(tree, kind)
    witness, before = Witness(tree), {actor: tree.statuses(actor[:4]) for actor in (ANNA, BERT)}
    mtime_ns = place(tree).stat().st_mtime_ns
    result = run(tree, kind)
    assert not result.report.problems, result.report.problems
    done(tree, kind)
    settled(tree)
    witness.nothing_lost()
    library = tree.library()
    undone = library.apply(library.plan_undo())
    assert not undone.report.problems, undone.report.problems
    assert {actor: tree.statuses(actor[:4]) for actor in (ANNA, BERT)} == before
    assert kind == "evict" or place(tree).stat().st_mtime_ns == mtime_ns
    settled(tree)
    witness.nothing_lost()


@root_only
@pytest.mark.parametrize("kind", ["repair from S3", "evict", "rm"])
def test_a_trash_that_is_full_keeps_the_file_in_its_place(tree: Tree, kind: str) -> None:
    one_at_a_time(tree)
    state(tree, "trash").mkdir(parents=True)
    with small_disk(state(tree, "trash"), "64k"):
        scene(tree, kind)
        big = picture("big", 100_000)
        tree.image(ANNA, BAD, big)
        if kind != "repair from S3":
            tree.object(ANNA, BAD, big)
        tree.library().sync()
        witness = Witness(tree)
        result = carried_out(tree.library(), verb_of(kind), ANNA, BERT, prefer="s3" if kind[0:3] == "rep" else "")
        named(result, ANNA, BAD, "local", "No space left", "make room")
        assert place(tree).read_bytes() == big
        done(tree, kind, (ANNA, BAD))
        witness.nothing_lost()
        subprocess.run(["mount", "-o", "remount,size=1m", str(state(tree, "trash"))], check=True)
        result = carried_out(tree.library(), verb_of(kind), ANNA, BERT, prefer="s3" if kind[0:3] == "rep" else "")
        assert not result.report.problems
        done(tree, kind)
        settled(tree)
        witness.nothing_lost()


@pytest.mark.parametrize("far", [False, True])
@pytest.mark.parametrize("how", ["replaced", "edited", "deleted"])
@pytest.mark.parametrize("kind", ["repair from S3", "evict", "rm"])
def test_what_is_saved_while_a_file_is_put_away_stays(
    tree: Tree, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, kind: str, how: str, far: bool
) -> None:
    if far:
        request.getfixturevalue("far_trash")
    scene(tree, kind)
    old, new, path = place(tree).read_bytes(), picture("just saved"), place(tree)
    real_link, real_utime = os.link, os.utime
    done_once: list[bool] = []

    def meddle(source: str) -> None:
        if source != str(path) or done_once:
            return
        done_once.append(True)
        if how == "replaced":
            path.with_name("new.tmp").write_bytes(new)
            path.with_name("new.tmp").rename(path)
        elif how == "edited":
            path.write_bytes(new)
        else:
            path.unlink()

    def link(source: str, target: str, *, follow_symlinks: bool) -> None:
        real_link(source, target, follow_symlinks=follow_symlinks)
        meddle(source)

    def utime(where: str | int, *, ns: tuple[int, int]) -> None:
        """Of the copy, when all of it is written."""
        real_utime(where, ns=ns)
        if Path(os.readlink(f"/proc/self/fd/{where}")).read_bytes() == old:
            meddle(str(path))

    with monkeypatch.context() as patch:
        patch.setattr(os, "utime" if far else "link", utime if far else link)
        result = run(tree, kind)
    assert done_once
    if how == "deleted":
        assert not result.report.problems
        assert kind == "evict" or old in [held.read_bytes() for held in tree.trash()]
        done(tree, kind)
    else:
        named(result, ANNA, BAD, "changing", str(path), "Sync, then try again")
        assert path.read_bytes() == new
        done(tree, kind, (ANNA, BAD))
    settled(tree)


@pytest.mark.parametrize("far", [False, True])
def test_a_folder_of_the_trash_that_another_thread_finds_empty_and_removes_is_made_again(
    tree: Tree, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, far: bool
) -> None:
    if far:
        request.getfixturevalue("far_trash")
    scene(tree, "evict")
    witness, real, removed = Witness(tree), os.mkdir, set[str]()

    def removing(path: str, mode: int = 0o777) -> None:
        real(path, mode)
        if ANNA in path and "trash" in path and path not in removed:
            removed.add(path)
            os.rmdir(path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "mkdir", removing)
        result = run(tree, "evict")
    assert removed
    assert not result.report.problems
    done(tree, "evict")
    settled(tree)
    witness.nothing_lost()


def test_a_folder_of_the_trash_that_goes_while_it_is_made_is_made_again(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the attempt to make it, which finds it there, and the look whether it is a folder."""
    scene(tree, "evict")
    witness, real, gone = Witness(tree), os.mkdir, set[str]()

    def going(path: str, mode: int = 0o777) -> None:
        if ANNA in path and "trash" in path and path not in gone:
            gone.add(path)
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        real(path, mode)

    with monkeypatch.context() as patch:
        patch.setattr(os, "mkdir", going)
        result = run(tree, "evict")
    assert gone
    assert not result.report.problems
    done(tree, "evict")
    settled(tree)
    witness.nothing_lost()


def test_a_folder_of_the_trash_that_goes_as_soon_as_it_is_empty_fails_no_undo(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene(tree, "rm")
    run(tree, "rm")
    witness, real, removed = Witness(tree), os.unlink, list[str]()

    def removing(path: str) -> None:
        real(path)
        folder = os.path.dirname(path)
        if ANNA in path and "trash" in path and not os.listdir(folder):
            removed.append(folder)
            os.rmdir(folder)

    library = tree.library()
    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", removing)
        result = library.apply(library.plan_undo())
    assert removed
    assert not result.report.problems
    assert tree.statuses("0001") == {BAD: "synced", GOOD: "synced"}
    settled(tree)
    witness.nothing_lost()
