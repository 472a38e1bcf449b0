"""What is left of a run that was killed, or did half of it: nothing false is told, and nothing of anybody else's is lost."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from callsheet.errors import AccessDenied, LossRefused
from callsheet.library import Library
from callsheet.local import TEMPORARY
from callsheet.model import Location
from callsheet.remote.memory import MemoryRemote
from callsheet.settings import open_library
from factory import Tree

ACTOR = "0000_x"


def journals(tree: Tree) -> list[Path]:
    return sorted((tree.root / tree.where.journal_dir).iterdir())


def killed(tree: Tree, run_id: str, outcomes: int) -> None:
    """Cut a run's journal after its steps and the first `outcomes` of what came of them."""
    path = tree.root / tree.where.journal(run_id)
    lines = path.read_bytes().splitlines(keepends=True)
    steps = [line for line in lines if b'"callsheet_run"' in line or b'"action"' in line]
    path.write_bytes(b"".join([*steps, *[line for line in lines if b'"outcome"' in line][:outcomes]]))


def test_a_killed_eviction_does_not_hide_a_disk_that_is_not_mounted(tree: Tree) -> None:
    for number in range(30):
        tree.both(ACTOR, f"{ACTOR}_{number}.png")
    for number in range(22):
        tree.image("0001_y", f"0001_y_{number}.png")
    library = tree.library()
    library.sync()
    saved = tree.manifests()
    result = library.apply(library.plan("evict"))
    for name, (content, _) in saved.items():  # as if the machine had died before anything was done
        (tree.root / tree.where.manifests_dir / name).write_bytes(content)
    killed(tree, result.run_id, 0)
    shutil.rmtree(tree.root / tree.where.actors_dir)
    (tree.root / tree.where.actors_dir).mkdir()
    with pytest.raises(LossRefused):
        tree.library().sync()


@pytest.mark.parametrize("outcomes", [30, 5, 0])
def test_the_same_command_goes_on_after_a_removal_that_was_killed_before_it_was_recorded(
    tree: Tree, outcomes: int
) -> None:
    for number in range(30):
        tree.both(ACTOR, f"{ACTOR}_{number}.png")
    library = tree.library()
    library.sync()
    saved = tree.manifests()
    result = library.apply(library.plan("evict"))
    for name, (content, _) in saved.items():
        (tree.root / tree.where.manifests_dir / name).write_bytes(content)
    killed(tree, result.run_id, outcomes)
    report = tree.library().sync()
    assert (report.counts.s3_only, report.problems) == (30, ())


class Refusing(MemoryRemote):
    """Denies the deletion of one key."""

    denied = ""

    def delete(self, location: Location, **how: object) -> None:
        if self.denied and location.key.endswith(self.denied):
            raise AccessDenied(f"Cannot delete {location}: access denied")
        super().delete(location, **how)  # type: ignore[arg-type]


@pytest.fixture
def refusing(tree: Tree) -> Refusing:
    tree.remote = Refusing([tree.where.bucket])
    return tree.remote


def pushed(library: Library, tree: Tree, *names: str) -> str:
    for name in names:
        tree.image(ACTOR, name)
    return library.apply(library.plan("push")).run_id


def test_an_undo_that_half_failed_is_gone_on_with_and_tells_nothing_false(tree: Tree, refusing: Refusing) -> None:
    library = tree.library()
    pushed(library, tree, "a.png")
    last = pushed(library, tree, "b.png", "c.png")
    refusing.denied = "/c.png"
    half = library.apply(library.plan_undo())
    assert [problem.filename for problem in half.report.problems] == ["c.png"]
    refusing.denied = ""
    plan = library.plan_undo().plan
    assert (plan.undoes, [action.filename for action in plan.actions], plan.refusals) == (last, ["c.png"], ())


def test_a_run_of_an_actor_whose_s3_side_was_not_seen_is_not_taken_for_one_that_never_happened(tree: Tree) -> None:
    library = tree.library()
    run = pushed(library, tree, "a.png")
    killed(tree, run, 0)
    blind = open_library(tree.root, remote=MemoryRemote([]), environ={})
    plan = blind.plan_undo(run).plan
    assert (plan.actions, [refusal.code for refusal in plan.refusals]) == ((), ["not_seen"])


def test_another_trees_trash_on_the_same_bucket_goes_by_name_only(tree: Tree, tmp_path: Path) -> None:
    tree.object(ACTOR, "a.png")
    tree.library().sync()
    run = tree.library().apply(tree.library().plan("rm", [ACTOR])).run_id
    other = open_library(tmp_path / "other", remote=tree.remote, environ={})
    told = other.empty_trash()
    assert (told.heaps, [problem.code for problem in told.problems]) == ((), ["not_ours"])
    told = other.empty_trash([run])
    assert [problem.code for problem in told.problems] == ["under_way"]
    assert [heap.size_bytes for heap in tree.library().empty_trash().heaps] == [len("a.png")]


def test_what_undoing_a_restoration_removes_is_not_missing(tree: Tree) -> None:
    library = tree.library()
    tree.both(ACTOR, "a.png")
    library.sync()
    removed = library.apply(library.plan("rm", [ACTOR]))
    back = library.apply(library.plan_undo())
    assert library.apply(library.plan_undo(back.run_id)).report.counts.missing == 0
    assert library.status().counts.missing == 0
    assert removed.report.counts.missing == 0


def test_what_was_taken_aside_is_never_swept_away() -> None:
    from callsheet import files

    assert not files.ASIDE.startswith(TEMPORARY)
