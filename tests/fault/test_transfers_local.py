"""What this disk does to transfers: full, closed, changed in the middle. The item is named, the rest is done, no byte is lost."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from pathlib import Path

import pytest

import command
from callsheet.errors import LocalError
from callsheet.remote.directory import DirectoryRemote
from callsheet.report import Moved
from factory import USER_BUCKET, Tree
from faults import without_extension
from kept import Witness, carried_out, named, picture, settled
from mounts import fill, one_at_a_time, read_only, root_only, small_disk
from scene import ANNA, BAD, BERT, GOOD, KINDS, Meddled, done, finishes, place, run, scene, state, verb_of

HERE = picture("here")

# --- Full disks --------------------------------------------------------------------------------------------------------------


@root_only
@pytest.mark.parametrize("kind", ["pull", "repair from S3"])
def test_a_full_disk_keeps_what_was_there_and_is_named(tree: Tree, kind: str) -> None:
    one_at_a_time(tree)  # or others meet the full disk, too
    with small_disk(tree.folder(ANNA), "256k"):
        scene(tree, kind)
        big = picture("big", 300_000)
        tree.object(ANNA, BAD, big)
        witness, before = Witness(tree), [path.name for path in sorted(tree.folder(ANNA).iterdir())]
        result = run(tree, kind)
        named(result, ANNA, BAD, "local", "No space left", "make room")
        done(tree, kind, (ANNA, BAD))
        assert before in ([], [BAD, GOOD])
        assert place(tree).exists() == bool(before)
        witness.nothing_lost()
        subprocess.run(["mount", "-o", "remount,size=1m", str(tree.folder(ANNA))], check=True)
        finishes(tree, kind, witness)
        assert place(tree).read_bytes() == big


@root_only
def test_nothing_is_done_that_the_journal_has_no_room_for(tree: Tree) -> None:
    scene(tree, "rm")
    state(tree, "runs").mkdir()
    with small_disk(state(tree, "runs"), "4k"):
        fill(state(tree, "runs"))
        witness, manifests = Witness(tree), tree.manifests()
        proposal = tree.library().plan("rm", [ANNA, BERT])
        with pytest.raises(LocalError, match="No space left"):
            tree.library().apply(proposal)
        assert tree.manifests() == manifests
        assert tree.trash() == []
        witness.nothing_lost()
    finishes(tree, "rm", witness)


@root_only
@pytest.mark.parametrize("verb", ["push", "rm"])
def test_a_journal_whose_disk_fills_up_is_told_and_still_good_for_an_undo(tree: Tree, verb: str) -> None:
    names = [f"{number}.png" for number in range(60)]
    ballast: list[Path] = []
    tree.remote = Meddled("0.png", "put" if verb == "push" else "delete", lambda: ballast.append(fill(runs)))
    runs = state(tree, "runs")
    with small_disk(runs, "512k"):
        for name in names:
            tree.image(ANNA, name, picture(name))
            if verb == "rm":
                tree.object(ANNA, name, picture(name))
        tree.library().sync()
        before, witness = tree.statuses("0001"), Witness(tree)
        assert isinstance(tree.remote, Meddled)
        tree.remote.armed = True
        result = carried_out(tree.library(), verb, ANNA)
        assert [problem.code for problem in result.report.problems] == ["local"]
        assert "No space left" in result.report.problems[0].message
        assert result.run_id in result.report.problems[0].message
        assert len(result.done) == (60 if verb == "push" else 120)
        ballast[0].unlink()
        library = tree.library()
        past = library.journal.read(result.run_id)
        assert past.ended is None
        assert any(step.outcome is None for step in past.steps), "the disk was not full in time"
        undone = library.apply(library.plan_undo(result.run_id))
        assert not undone.report.problems, undone.report.problems
        assert tree.statuses("0001") == before
        settled(tree)
        witness.nothing_lost()


@root_only
def test_manifests_that_find_no_room_are_told_and_the_transfer_stands(tree: Tree) -> None:
    folder = tree.root / tree.where.manifests_dir
    with small_disk(folder, "64k"):
        scene(tree, "push")
        witness, proposal = Witness(tree), tree.library().plan("push")
        ballast = fill(folder)
        result = tree.library().apply(proposal)
        assert {problem.actor for problem in result.report.problems} == {ANNA, BERT}
        assert all("make room" in problem.message for problem in result.report.problems)
        assert len(result.done) == 4
        witness.nothing_lost()
        ballast.unlink()
        assert not tree.library().sync().problems
        done(tree, "push")
        settled(tree)


# --- Folders that cannot be written to, and things in the way -------------------------------------------------------------------


@root_only
@pytest.mark.parametrize("kind", KINDS)
def test_a_read_only_folder_is_named_and_keeps_its_files(tree: Tree, kind: str) -> None:
    tree.folder(ANNA)
    scene(tree, kind)
    witness = Witness(tree)
    with read_only(tree.folder(ANNA)):
        result = run(tree, kind)
        if kind in ("push", "repair S3"):  # which only read
            assert not result.report.problems
            return
        for name in (BAD, GOOD):
            named(result, ANNA, name, "local", "Read-only file system", "mount it writable")
            assert place(tree, ANNA, name).exists() == (kind != "pull")
        done(tree, kind, (ANNA, BAD), (ANNA, GOOD))
        witness.nothing_lost()
        assert not [path for path in tree.trash() if ANNA in str(path)], "what was not removed is not in the trash"
    finishes(tree, kind, witness)


@pytest.mark.parametrize("kind", ["pull", "repair from S3", "evict", "rm"])
def test_a_folder_without_permission_is_named_and_keeps_its_files(tree: Tree, tmp_path: Path, kind: str) -> None:
    for bucket in (tree.where.bucket, USER_BUCKET):
        (tmp_path / "s3" / bucket).mkdir(parents=True)
    tree.remote = DirectoryRemote(str(tmp_path / "s3"), tree.where.region)
    (tree.root / "callsheet.toml").write_text(f'remote = "file://{tmp_path}/s3"\n')
    folder = tree.folder(ANNA)
    scene(tree, kind)
    witness = Witness(tree)
    folder.chmod(0o555)
    asked = ("--yes",) if kind != "pull" else ()
    ran = command.run(tree.root, verb_of(kind), ANNA, BERT, *asked, "--json", privileged=False)
    folder.chmod(0o755)
    assert ran.code == 1, ran.err
    told = [(problem["actor"], problem["filename"], problem["code"]) for problem in ran.problems]
    assert told == [(ANNA, BAD, "local"), (ANNA, GOOD, "local")]
    assert all("Permission denied. Check the permissions" in problem["message"] for problem in ran.problems)
    done(tree, kind, (ANNA, BAD), (ANNA, GOOD))
    witness.nothing_lost()
    assert not [path for path in tree.trash() if ANNA in str(path)], "what was not removed is not in the trash"
    finishes(tree, kind, witness)


def test_a_file_that_cannot_be_taken_away_leaves_no_second_name_in_the_trash(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene(tree, "evict")
    witness, real = Witness(tree), os.rename

    def refusing(path: str, target: str) -> None:
        if path == str(place(tree)):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        real(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", refusing)
        result = run(tree, "evict")
    named(result, ANNA, BAD, "local", "Permission denied")
    assert place(tree).stat().st_nlink == 1
    assert tree.trash() == []
    finishes(tree, "evict", witness)


@pytest.mark.parametrize("verb", ["repair", "undo"])
def test_a_replacement_that_finds_no_room_in_the_folder_puts_the_old_file_back(
    tree: Tree, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    scene(tree, "repair from S3")
    if verb == "undo":
        run(tree, "repair from S3")
    witness, real, held = Witness(tree), os.link, place(tree).read_bytes()
    proposal = tree.library().plan("repair") if verb == "repair" else tree.library().plan_undo()
    taken: list[str] = []

    def full(source: str, target: str, *, follow_symlinks: bool) -> None:
        """There is no room for another name, until the old one is tried again."""
        if source == str(place(tree)):
            taken.append(target)
        elif target == str(place(tree)) and source not in taken:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(source, target, follow_symlinks=follow_symlinks)

    with monkeypatch.context() as patch:
        without_extension(patch)
        patch.setattr(os, "link", full)
        result = tree.library().apply(proposal)
    assert taken
    named(result, ANNA, BAD, "local", "No space left", "make room")
    assert place(tree).read_bytes() == held
    witness.nothing_lost()
    library = tree.library()
    again = library.apply(library.plan("repair") if verb == "repair" else library.plan_undo(proposal.plan.undoes))
    assert [problem for problem in again.report.problems if (problem.actor, problem.filename) == (ANNA, BAD)] == []
    assert place(tree).read_bytes() != held
    settled(tree)
    witness.nothing_lost()


def test_a_training_folder_that_is_a_file_is_named_and_kept(tree: Tree) -> None:
    scene(tree, "pull")
    witness, folder = Witness(tree), tree.root / tree.where.training_dir(ANNA)
    folder.parent.mkdir(exist_ok=True)
    folder.write_bytes(HERE)
    result = run(tree, "pull")
    for name in (BAD, GOOD):
        named(result, ANNA, name, "local", "training_data", "nothing else has its name")
    done(tree, "pull", (ANNA, BAD), (ANNA, GOOD))
    witness.nothing_lost(HERE)
    folder.unlink()
    finishes(tree, "pull", witness)


@pytest.mark.parametrize("kind", ["repair from S3", "evict", "rm"])
def test_a_trash_that_is_a_file_keeps_everything_where_it_is(tree: Tree, kind: str) -> None:
    scene(tree, kind)
    witness, trash = Witness(tree), state(tree, "trash")
    trash.write_bytes(b"in the way")
    result = run(tree, kind)
    for actor in (ANNA, BERT):
        for name in (BAD, GOOD):
            named(result, actor, name, "local", "trash", "nothing else has its name")
            assert place(tree, actor, name).exists()
    assert trash.read_bytes() == b"in the way"
    witness.nothing_lost()
    trash.unlink()
    finishes(tree, kind, witness)


@pytest.mark.parametrize("what", ["state", "runs"])
def test_without_a_place_for_its_journal_nothing_is_done(tree: Tree, what: str) -> None:
    scene(tree, "rm")
    witness, manifests = Witness(tree), tree.manifests()
    proposal = tree.library().plan("rm", [ANNA, BERT])
    path = state(tree) if what == "state" else state(tree, what)
    if path.exists():
        path.rename(path.with_name("aside"))
    path.write_bytes(b"in the way")
    with pytest.raises(LocalError, match="Cannot write"):
        tree.library().apply(proposal)
    assert path.read_bytes() == b"in the way"
    assert tree.manifests() == manifests
    witness.nothing_lost()
    path.unlink()
    finishes(tree, "rm", witness)


def test_a_folder_in_an_image_s_place_is_left_alone(tree: Tree) -> None:
    scene(tree, "pull")
    witness = Witness(tree)
    (place(tree) / "inner").mkdir(parents=True)
    result = run(tree, "pull")
    named(result, ANNA, BAD, "local", "File exists")
    done(tree, "pull", (ANNA, BAD))
    assert (place(tree) / "inner").is_dir()
    shutil.rmtree(place(tree))
    finishes(tree, "pull", witness)


def test_a_folder_that_is_lost_as_the_run_ends_does_not_swallow_its_result(tree: Tree) -> None:
    scene(tree, "pull")
    witness, folder = Witness(tree), tree.folder(ANNA)

    def meddle(moved: Moved) -> None:
        if moved.actions_done == moved.actions_total and folder.is_dir():
            folder.rename(folder.with_name("moved_away"))
            folder.write_bytes(HERE)

    library = tree.library()
    result = library.apply(library.plan("pull"), on_moved=meddle)
    assert len(result.done) == 4
    assert ANNA in str([(problem.actor, problem.message) for problem in result.report.problems])
    assert library.journal.read(result.run_id).ended
    folder.unlink()
    folder.with_name("moved_away").rename(folder)
    finishes(tree, "pull", witness)
