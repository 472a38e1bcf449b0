"""Two commands and more at once on one tree: nothing is lost, no manifest is torn, neither fails, and afterwards every status is true."""

from __future__ import annotations

from pathlib import Path

import pytest

from callsheet.layout import Layout
from callsheet.remote.directory import DirectoryRemote
from factory import Tree
from servers import ministack
from sim.crowd import Crowd, rounds, verb
from sim.history import CONTENTS

ACTORS = ("0000_ann", "0001_bo", "0002_cy")
IMAGES = 12


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


@pytest.fixture
def crowd(project: Tree) -> Crowd:
    return Crowd(project, {"CALLSHEET_REMOTE": f"file://{project.root.parent / 'buckets'}"})


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
def test_two_verbs_at_once_lose_nothing(crowd: Crowd, verbs: tuple[str, str]) -> None:
    before = crowd.world()
    crowd.at_once(*(verb(name, ACTORS if name == "rm" else ()) for name in verbs))
    assert before.contents <= crowd.world().contents
    found = crowd.settled()
    for name, undone in (("push", "local_only"), ("pull", "s3_only"), ("repair", "out_of_sync")):
        if name in verbs and "rm" not in verbs:
            assert undone not in found.values(), f"{name} left something {undone}"


@pytest.mark.parametrize(
    "verbs", [("undo", "sync"), ("undo", "push"), ("undo", "undo"), ("evict", "undo")], ids="+".join
)
def test_an_undo_beside_another_command_loses_nothing(crowd: Crowd, verbs: tuple[str, str]) -> None:
    library = crowd.tree.library()
    library.apply(library.plan("pull"))
    library.apply(library.plan("repair"))
    before = crowd.world()
    crowd.at_once(*map(verb, verbs))
    assert before.contents <= crowd.world().contents
    crowd.settled()


def test_many_processes_at_once_on_a_real_server_lose_nothing_and_forget_no_mark(tmp_path: Path) -> None:
    with ministack() as server:
        playing = rounds(tmp_path / "project", server, seed=7)
        playing.play()
