"""A sync that is killed at any moment leaves whole manifests, and the next one ends where it would have ended."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

from callsheet.layout import Layout
from callsheet.remote.directory import DirectoryRemote
from factory import Tree

TIMES = 80
ACTORS = [f"{number:04}_actor" for number in range(12)]
KILLED = Path(__file__).with_name("killed.py")


def _project(root: Path, buckets: Path) -> Tree:
    (buckets / Layout().bucket).mkdir(parents=True, exist_ok=True)
    tree = Tree(root, DirectoryRemote(str(buckets), Layout().region))
    for actor in ACTORS:
        for image in range(6):
            tree.both(actor, f"{actor}_{image}.png")
        _give_response(tree, actor)
    return tree


def _give_response(tree: Tree, actor: str) -> None:
    names = [*(f"{actor}_{image}.png" for image in range(6)), f"{actor}_gone.png"]
    tree.response(actor, [tree.url(actor, name) for name in names])


def _without_times(tree: Tree) -> dict[str, object]:
    """All manifests, but for when things were noticed and when an object was last put."""
    texts = {name: content.decode() for name, (content, _) in tree.manifests().items() if name.endswith(".json")}
    return {
        name: json.loads(re.sub(r'"(checked_at|last_modified|training_data_updated)": "[^"]*"', r'"\1": ""', text))
        for name, text in texts.items()
    }


def test_killed_syncs_leave_whole_manifests_and_a_rerun_converges(tmp_path: Path) -> None:
    buckets = tmp_path / "buckets"
    tree = _project(tmp_path / "project", buckets)
    arguments = [str(tree.root), str(buckets), str(TIMES), "7"]
    run = subprocess.run([sys.executable, str(KILLED), *arguments], capture_output=True, text=True, check=True)
    killed, ended = map(int, run.stdout.split())
    assert killed >= TIMES / 4, f"only {killed} syncs were killed before their end, {ended} had ended"
    tree.library().sync()
    before = tree.manifests()
    assert tree.library().sync().manifests_updated == 0
    assert tree.manifests() == before

    spared = _project(tmp_path / "spared", buckets)
    spared.library().sync()
    shutil.copytree(tree.root / "data/actors", spared.root / "data/actors", dirs_exist_ok=True)
    for actor in ACTORS:
        _give_response(spared, actor)
    assert spared.library().sync().response_json_deleted == len(ACTORS)
    assert _without_times(tree) == _without_times(spared)
