"""Two commands at once on one tree: nothing is lost, no manifest is torn, neither fails, and afterwards every status is true."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from callsheet.layout import Layout
from callsheet.remote.directory import DirectoryRemote
from command import environment
from factory import Tree
from sim.history import CONTENTS
from sim.world import World, read_rows, read_world, status_of

ACTORS = ("0000_ann", "0001_bo", "0002_cy")
IMAGES = 12
_FINE = (0, 1)
"""Done; or done, but with problems, each named: of two that want to do the same, one finds it done.

What one takes away may look to the other like a disk that is not mounted: then that does nothing, and says why.
"""


@pytest.fixture
def project(tmp_path: Path) -> Tree:
    """A third of the images is only here, a third only in S3, and a third differs: it changed in S3 since both agreed."""
    buckets = tmp_path / "buckets"
    (buckets / Layout().bucket).mkdir(parents=True)
    tree = Tree(tmp_path / "project", DirectoryRemote(str(buckets), Layout().region))
    for actor in ACTORS:
        tree.folder(actor)
        for number in range(2, IMAGES, 3):
            tree.both(actor, f"{number}.png", CONTENTS["red"])
    tree.library().sync()
    for actor in ACTORS:
        for number in range(IMAGES):
            if number % 3 == 0:
                tree.image(actor, f"{number}.png", CONTENTS["blue"] + bytes([number]))
            else:
                tree.object(actor, f"{number}.png", CONTENTS["green"])
    return tree


def _world(tree: Tree) -> World:
    return read_world(tree.root, tree.where, tree.remote, [tree.where.bucket])


def _command(tree: Tree, verb: str) -> list[str]:
    remote = f"file://{tree.root.parent / 'buckets'}"
    sure = ["--yes"] if verb in ("repair", "evict", "rm", "undo") else []
    actors = list(ACTORS) if verb == "rm" else []
    return [sys.executable, "-m", "callsheet", "--root", str(tree.root), "--remote", remote, verb, *actors, *sure]


def _at_once(tree: Tree, *verbs: str) -> None:
    runs = [
        subprocess.Popen(
            _command(tree, verb),
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for verb in verbs
    ]
    told = [run.communicate(timeout=120)[1] for run in runs]
    for verb, run, errors in zip(verbs, runs, told, strict=True):
        refused = "have vanished" in errors or "is still going on" in errors
        assert run.returncode in _FINE or refused, (verb, errors)
        assert "Traceback" not in errors, errors


def _check(tree: Tree) -> dict[tuple[str, str], str]:
    """A sync then finds what the bytes say, and a second one nothing to write. Returns the statuses."""
    tree.library().sync()
    before = tree.manifests()
    assert tree.library().sync().manifests_updated == 0
    assert tree.manifests() == before
    world, rows = _world(tree), read_rows(tree.root, tree.where)
    found = {image: row.status for image, row in rows.items()}
    assert found == {
        image: status_of(world.here.get(image), world.there.get(tree.where.location(*image))) for image in rows
    }
    assert set(world.here) <= set(rows)
    return found


@pytest.mark.parametrize(
    "verbs",
    [
        ("push", "push"),
        ("pull", "pull"),
        ("push", "pull"),
        ("repair", "sync"),
        ("repair", "repair"),
        ("push", "rm"),
        ("pull", "rm"),
    ],
    ids="+".join,
)
def test_two_verbs_at_once_lose_nothing(project: Tree, verbs: tuple[str, str]) -> None:
    before = _world(project)
    _at_once(project, *verbs)
    assert before.contents <= _world(project).contents
    found = _check(project)
    for verb, undone in (("push", "local_only"), ("pull", "s3_only"), ("repair", "out_of_sync")):
        if verb in verbs and "rm" not in verbs:
            assert undone not in found.values(), f"{verb} left something {undone}"


@pytest.mark.parametrize(
    "verbs", [("undo", "sync"), ("undo", "push"), ("undo", "undo"), ("evict", "undo")], ids="+".join
)
def test_an_undo_beside_another_command_loses_nothing(project: Tree, verbs: tuple[str, str]) -> None:
    library = project.library()
    library.apply(library.plan("pull"))
    library.apply(library.plan("repair"))
    before = _world(project)
    _at_once(project, *verbs)
    assert before.contents <= _world(project).contents
    _check(project)
