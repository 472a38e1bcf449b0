"""What several do at once: two syncs of one tree, and a sync against a hundred marks. Nothing is lost."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from callsheet import files, locks
from callsheet.errors import LocalError
from callsheet.layout import Layout
from callsheet.remote.directory import DirectoryRemote
from factory import Tree

ACTORS = [f"{number:04}_actor" for number in range(10)]
IMAGES = 10


@pytest.fixture
def project(tmp_path: Path) -> Tree:
    buckets = tmp_path / "buckets"
    (buckets / Layout().bucket).mkdir(parents=True)
    tree = Tree(tmp_path / "project", DirectoryRemote(str(buckets), Layout().region))
    for actor in ACTORS:
        urls = [tree.both(actor, f"{actor}_{image}.png") for image in range(IMAGES)]
        tree.response(actor, urls)
    return tree


def test_threads_exclude_each_other_even_if_the_lock_file_is_deleted(tmp_path: Path) -> None:
    path = tmp_path / "locks" / "0000.lock"
    inside: list[int] = []
    most = 0

    def work(number: int) -> None:
        nonlocal most
        for _ in range(50):
            with locks.locked(str(path), 30.0):
                inside.append(number)
                time.sleep(0.0005)  # for the others to come in
                most = max(most, len(inside))
                inside.remove(number)
                if number == 0:
                    path.unlink()  # those who wait must not take the deleted file for the lock

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert most == 1


def test_a_lock_that_is_held_is_waited_for_as_long_as_said(tmp_path: Path) -> None:
    path = str(tmp_path / "0000.lock")
    with locks.locked(path, 1.0), pytest.raises(LocalError, match="was locked"), locks.locked(path, 0.05):
        pass
    with locks.locked(path, 0.0):
        pass


def test_two_syncs_at_once_end_as_one_does(project: Tree) -> None:
    command = [
        sys.executable,
        "-m",
        "callsheet",
        "--root",
        str(project.root),
        "--remote",
        f"file://{project.root.parent / 'buckets'}",
        "sync",
    ]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for run in runs:
        _, errors = run.communicate(timeout=60)
        assert run.returncode == 0, errors
    for actor in ACTORS:
        assert set(project.statuses(actor[:4]).values()) == {"synced"}
    assert len(project.trash()) == len(ACTORS)
    before = project.manifests()
    assert project.library().sync().manifests_updated == 0
    assert project.manifests() == before


def test_a_hundred_marks_survive_syncs_that_run_meanwhile(project: Tree) -> None:
    library = project.library()
    library.sync()
    marks = {
        (actor, f"{actor}_{image}.png"): random.Random(image).random() < 0.5
        for actor in ACTORS
        for image in range(IMAGES)
    }
    assert len(marks) == 100
    stop = threading.Event()

    def edit_and_sync() -> int:
        """Every sync has something to write."""
        written, number = 0, 0
        while not stop.is_set():
            number += 1
            for actor in ACTORS:
                project.image(actor, f"{actor}_0.png", f"edit {number}".encode(), mtime_s=1_760_000_000 + number)
            written += project.library().sync().manifests_updated
        return written

    with ThreadPoolExecutor(9) as pool:
        syncing = pool.submit(edit_and_sync)
        try:
            marking = [
                pool.submit(library.mark, *image, good=good, prompt=f"{image[1]}?") for image, good in marks.items()
            ]
            for mark in marking:
                mark.result()
        finally:
            stop.set()
        assert syncing.result() > 0
    for (actor, filename), good in marks.items():
        (entry,) = [entry for entry in library.manifest(actor).entries if entry.filename == filename]
        assert (entry.good, entry.prompt) == (good, f"{filename}?")


def test_a_sync_that_looked_before_another_wrote_looks_again(project: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    """An image that appeared, and was recorded, between our look and our write is not taken for one that vanished."""
    from callsheet.observe import Observer, Sighting

    library = project.library()
    library.sync()
    actor = ACTORS[0]
    project.image(actor, f"{actor}_1.png", b"edited", mtime_s=1_770_000_000)
    look = Observer.look

    def interrupted(self: Observer, *arguments: object) -> Sighting:
        sighting = look(self, *arguments)  # type: ignore[arg-type]
        monkeypatch.setattr(Observer, "look", look)
        project.image(actor, f"{actor}_new.png")
        project.library().sync()
        return sighting

    monkeypatch.setattr(Observer, "look", interrupted)
    library.sync([actor])
    manifest = library.manifest(actor)
    assert manifest.missing == ()
    assert project.statuses(actor[:4])[f"{actor}_new.png"] == "local_only"
    assert project.statuses(actor[:4])[f"{actor}_1.png"] == "out_of_sync"


def test_of_two_that_move_one_file_one_has_it_and_the_other_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, ours, theirs = (str(tmp_path / name) for name in ("response.json", "ours", "theirs"))
    Path(path).write_bytes(b"{}")
    link = os.link

    def overtaken(source: str, target: str, **how: Any) -> None:
        link(source, target, **how)
        monkeypatch.undo()
        files.move(path, theirs)

    monkeypatch.setattr(os, "link", overtaken)
    with pytest.raises(LocalError, match="Cannot move"):
        files.move(path, ours)
    assert sorted(os.listdir(tmp_path)) == ["theirs"]
    assert Path(theirs).read_bytes() == b"{}"
