"""What becomes of files during transfers: links, names that are none, files that change or appear. No byte is lost."""

from __future__ import annotations

import errno
import os
import shutil
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from callsheet.library import Library
from callsheet.remote.memory import MemoryRemote
from callsheet.report import Moved
from factory import SETTLED_S, Tree, md5_of
from faults import without_extension
from kept import Witness, carried_out, named, picture, settled
from scene import ANNA, BAD, BERT, GOOD, Meddled, done, finishes, place, run, scene, verb_of

HERE, THERE, BOTH = picture("here"), picture("there"), picture("both")

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")


# --- Links ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["pull", "repair from S3", "evict", "rm"])
def test_a_training_folder_that_leads_elsewhere_is_not_followed(tree: Tree, tmp_path: Path, kind: str) -> None:
    scene(tree, kind)
    proposal = tree.library().plan(verb_of(kind), [ANNA, BERT])
    elsewhere, folder = tmp_path / "elsewhere", tree.folder(ANNA)
    folder.rename(elsewhere)
    folder.symlink_to(elsewhere)
    before = {path.name: path.read_bytes() for path in elsewhere.iterdir()}
    witness = Witness(tree)
    result = tree.library().apply(proposal)
    for name in (BAD, GOOD):
        named(result, ANNA, name, "local", "symlink", "Put a folder in its place")
    assert {path.name: path.read_bytes() for path in elsewhere.iterdir()} == before
    done(tree, kind, (ANNA, BAD), (ANNA, GOOD))
    witness.nothing_lost()
    folder.unlink()
    elsewhere.rename(folder)
    tree.library().sync()
    finishes(tree, kind, witness)


@pytest.mark.parametrize("kind", ["repair from S3", "evict", "rm"])
def test_a_linked_image_is_neither_replaced_nor_removed(tree: Tree, kind: str) -> None:
    scene(tree, kind)
    original = place(tree).with_name("original.data")
    place(tree).rename(original)
    place(tree).symlink_to(original.name)
    tree.library().sync()
    witness = Witness(tree)
    result = run(tree, kind)
    named(result, ANNA, BAD, "local", "symlink", "Put a copy in its place")
    assert place(tree).is_symlink()
    done(tree, kind, (ANNA, BAD))
    witness.nothing_lost()
    place(tree).unlink()
    original.rename(place(tree))
    tree.library().sync()
    finishes(tree, kind, witness)


def test_a_link_to_nothing_is_not_written_through(tree: Tree, tmp_path: Path) -> None:
    scene(tree, "pull")
    witness = Witness(tree)
    tree.folder(ANNA)
    proposal = tree.library().plan("pull")
    place(tree).symlink_to(tmp_path / "nowhere.png")
    result = tree.library().apply(proposal)
    assert ("local", BAD) in {(problem.code, problem.filename) for problem in result.report.problems}
    assert not (tmp_path / "nowhere.png").exists()
    done(tree, "pull", (ANNA, BAD))
    place(tree).unlink()
    finishes(tree, "pull", witness)


# --- Files that change meanwhile ------------------------------------------------------------------------------------------------


NEW = picture("saved meanwhile")

MEANWHILE: dict[str, tuple[str, str]] = {
    "an upload": ("push", "put"),
    "an upload that replaces": ("repair S3", "copy"),
    "a download": ("pull", "read"),
    "a download that replaces": ("repair from S3", "read"),
    "an eviction": ("evict", "head"),
    "a removal": ("rm", "delete"),
}


@pytest.mark.parametrize("how", ["saved", "grown", "truncated", "deleted", "a folder"])
@pytest.mark.parametrize("when", MEANWHILE)
def test_a_file_that_changes_during_a_transfer_is_never_overwritten(tree: Tree, when: str, how: str) -> None:
    kind, moment = MEANWHILE[when]
    path = place(tree)

    def meddle() -> None:
        if how == "saved":
            path.write_bytes(NEW)
        elif how == "grown":
            with open(path, "ab") as file:
                file.write(NEW)
        elif how == "truncated":
            path.write_bytes(NEW)
            os.truncate(path, 10)
        else:
            path.unlink(missing_ok=True)
        if how == "a folder":
            path.mkdir()

    tree.remote = Meddled(BAD, moment, meddle)
    scene(tree, kind)
    tree.folder(ANNA)
    result = run(tree, kind)
    assert isinstance(tree.remote, Meddled)
    assert tree.remote.then is None, "nothing happened meanwhile"
    if kind == "pull" and how == "deleted":
        assert not result.report.problems
        return
    codes = {problem.code for problem in result.report.problems if (problem.actor, problem.filename) == (ANNA, BAD)}
    assert codes in ({"changing"}, {"local"}), result.report.problems
    done(tree, kind, (ANNA, BAD))
    if how in ("saved", "grown"):
        assert path.read_bytes().endswith(NEW), "what was saved meanwhile is still there"
    if how == "truncated":
        assert path.stat().st_size == 10
    if how == "a folder":
        assert path.is_dir()
        path.rmdir()
    settled(tree)


def test_a_file_that_appears_before_a_pull_is_kept_even_if_it_is_the_same(tree: Tree) -> None:
    scene(tree, "pull")
    proposal = tree.library().plan("pull")
    path = tree.image(ANNA, BAD, NEW)
    witness = Witness(tree)
    result = tree.library().apply(proposal)
    named(result, ANNA, BAD, "local", "File exists", "nothing else has its name")
    assert path.read_bytes() == NEW
    assert tree.statuses("0001")[BAD] == "out_of_sync"
    done(tree, "pull", (ANNA, BAD))
    witness.nothing_lost()
    result = carried_out(tree.library(), "repair", ANNA, prefer="s3")
    assert not result.report.problems
    done(tree, "pull")
    settled(tree)
    witness.nothing_lost()


def test_an_actor_s_folder_that_is_gone_is_made_again_by_a_pull(tree: Tree) -> None:
    scene(tree, "pull")
    tree.folder(ANNA)
    proposal = tree.library().plan("pull")
    shutil.rmtree(tree.root / tree.where.folder(ANNA))
    result = tree.library().apply(proposal)
    assert not result.report.problems
    done(tree, "pull")
    settled(tree)


def test_an_image_with_the_size_and_time_of_the_one_it_replaces_is_not_taken_for_it(tree: Tree) -> None:
    """Two versions of an object within one second."""
    moment = datetime.fromtimestamp(SETTLED_S, UTC)
    where, remote = tree.where.location(ANNA, BAD), tree.remote
    assert isinstance(remote, MemoryRemote)
    old, new = picture("one"), picture("two")
    remote.store(where, old, etag=md5_of(old), etag_is_md5=True, last_modified=moment)
    assert not carried_out(tree.library(), "pull").report.problems
    tree.library().sync()
    remote.store(where, new, etag=md5_of(new), etag_is_md5=True, last_modified=moment)
    witness = Witness(tree)
    result = carried_out(tree.library(), "repair")
    assert not result.report.problems
    assert place(tree).read_bytes() == new
    assert tree.statuses("0001") == {BAD: "synced"}
    assert tree.read_manifest("0001")["training_data"][0]["md5_hash"] == md5_of(new)
    settled(tree)
    witness.nothing_lost()


# --- Names -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["a\\evil.png", "a\x00b.png", "line\nbreak.png", "\x1b[2J.png", f"{'n' * 252}.png", f"{'ü' * 126}.png"]
)
def test_a_name_that_may_not_be_written_is_told_and_not_pulled(tree: Tree, name: str) -> None:
    scene(tree, "pull")
    tree.object(ANNA, name, THERE)
    witness = Witness(tree)
    result = run(tree, "pull")
    assert [(problem.actor, problem.code) for problem in result.report.problems] == [(ANNA, "bad_name")]
    assert "copy it to another name" in result.report.problems[0].message
    done(tree, "pull")
    assert sorted(path.name for path in tree.folder(ANNA).iterdir()) == [BAD, GOOD]
    witness.nothing_lost()


@pytest.mark.parametrize("key", ["../../../../evil.png", "./x.png", "sub/x.png", "/x.png", ".png", ".hidden.png"])
def test_keys_that_are_no_image_of_the_actor_lead_nowhere(tree: Tree, key: str) -> None:
    scene(tree, "pull")
    tree.object(ANNA, key, THERE)
    files = sorted(tree.root.parent.rglob("*.png"))
    witness = Witness(tree)
    result = run(tree, "pull")
    assert not result.report.problems
    done(tree, "pull")
    assert sorted(tree.root.parent.rglob("*.png")) == sorted(
        [*files, *(place(tree, actor, name) for actor in (ANNA, BERT) for name in (BAD, GOOD))]
    )
    witness.nothing_lost()


def test_the_longest_name_is_pulled_replaced_and_removed(tree: Tree) -> None:
    name = f"{'n' * 251}.png"
    tree.object(ANNA, name, THERE)
    witness = Witness(tree)
    assert not carried_out(tree.library(), "pull").report.problems
    tree.object(ANNA, name, BOTH)
    assert not carried_out(tree.library(), "repair").report.problems
    assert place(tree, ANNA, name).read_bytes() == BOTH
    assert not carried_out(tree.library(), "rm", ANNA).report.problems
    settled(tree)
    witness.nothing_lost(BOTH)


def test_twins_in_letter_case_come_as_two_files(tree: Tree) -> None:
    tree.object(ANNA, "A.png", HERE)
    tree.object(ANNA, "a.png", THERE)
    witness = Witness(tree)
    result = carried_out(tree.library(), "pull")
    assert [problem.code for problem in result.report.problems] == ["twin_names"]
    assert place(tree, ANNA, "A.png").read_bytes() == HERE
    assert place(tree, ANNA, "a.png").read_bytes() == THERE
    witness.nothing_lost()


def test_twins_on_a_disk_that_folds_case_do_not_overwrite_one_another(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree.object(ANNA, "A.png", HERE)
    tree.object(ANNA, "a.png", THERE)
    witness, real = Witness(tree), os.link

    def folding(source: str, target: str, *, follow_symlinks: bool = True) -> None:
        """A name is taken if it is there in any letter case."""
        folder, name = os.path.split(target)
        with one_at_a_time:
            if name.lower() in map(str.lower, os.listdir(folder)):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
            real(source, target, follow_symlinks=follow_symlinks)

    one_at_a_time = threading.Lock()
    without_extension(monkeypatch)
    monkeypatch.setattr(os, "link", folding)
    library: Library = tree.library()
    result = library.apply(library.plan("pull"))
    problems = {problem.code for problem in result.report.problems}
    assert problems == {"twin_names", "local"}
    assert len(result.done) == 1
    assert [path.read_bytes() in (HERE, THERE) for path in tree.folder(ANNA).iterdir()] == [True]
    witness.nothing_lost()


# --- The look after a pull ------------------------------------------------------------------------------------------------------


def _to_be_pulled(tree: Tree, modified: datetime) -> None:
    """Two images in S3, of that age."""
    tree.folder(ANNA)
    for name in (BAD, GOOD):
        content = picture(f"{name:20} in S3")
        assert isinstance(tree.remote, MemoryRemote)
        where, tag = tree.where.location(ANNA, name), md5_of(content)
        tree.remote.store(where, content, etag=tag, etag_is_md5=True, last_modified=modified)


def test_what_was_checked_as_it_was_pulled_is_not_read_again(tree: Tree, hashed: list[str]) -> None:
    _to_be_pulled(tree, datetime.fromtimestamp(SETTLED_S, UTC))
    assert not carried_out(tree.library(), "pull", ANNA).report.problems
    assert tree.statuses(ANNA[:4]) == {BAD: "synced", GOOD: "synced"}
    assert not hashed, "it was hashed before a file held it"
    settled(tree)


@pytest.mark.parametrize("unnoticed", [False, True])
def test_what_changes_between_a_pull_and_the_look_after_it_is_seen(tree: Tree, unnoticed: bool) -> None:
    """`unnoticed`: within the clock tick that the object came in, so that size and time are as before."""
    modified = datetime.now(UTC) if unnoticed else datetime.fromtimestamp(SETTLED_S, UTC)
    _to_be_pulled(tree, modified.replace(microsecond=0))
    saved = picture(f"{BAD:20} saved")
    saved += b"\0" * (len(picture(f"{BAD:20} in S3")) - len(saved))

    def save(moved: Moved) -> None:
        if moved.actions_done < moved.actions_total:
            return
        mtime_ns = place(tree).stat().st_mtime_ns
        place(tree).write_bytes(saved)
        if unnoticed:
            os.utime(place(tree), ns=(mtime_ns, mtime_ns))

    library = tree.library()
    result = library.apply(library.plan("pull", [ANNA]), on_moved=save)
    named(result, ANNA, BAD, "changing", "one has changed meanwhile")
    assert tree.statuses(ANNA[:4]) == {BAD: "out_of_sync", GOOD: "synced"}
