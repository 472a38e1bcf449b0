"""A disk that fills up at any moment of any run: with no room, then a little more each time, until the run ends well.

Each time, the run names what there was no room for, nothing is lost or torn, and the same run, with room again, finishes.
"""

from __future__ import annotations

import errno
import io
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from callsheet import codec, files, system
from callsheet.errors import LocalError
from callsheet.report import Report
from factory import Tree
from faults import without_extension
from kept import Witness, carried_out, picture, settled
from mounts import fill, one_at_a_time, root_only, small_disk
from scene import ANNA, BERT, IMAGES, KINDS, done, run, scene

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

ALL_KINDS = ("sync", *KINDS, *(f"undo {kind}" for kind in KINDS))
_PAGE_BYTES = 4096
_MOST_PAGES = 200
_NO_ROOM = "No space left"

Ask = Callable[[], Report]


def _set(tree: Tree, kind: str) -> Ask:
    """Set the scene; what is returned runs it, as often as it is called."""
    one_at_a_time(tree)
    if kind == "sync":
        for actor, name in IMAGES:
            tree.both(actor, name, picture(f"{actor} {name}", 5000))
        for actor in (ANNA, BERT):
            tree.response(
                actor, [tree.url(actor, name) for name in ("gone.png", *(n for a, n in IMAGES if a == actor))]
            )
        return lambda: tree.library().sync()
    verb, _, of = kind.partition(" ")
    if verb == "undo":
        scene(tree, of)
        past = run(tree, of).run_id
        return lambda: tree.library().apply(tree.library().plan_undo(past)).report
    scene(tree, kind)
    return lambda: carried_out(tree.library(), verb, ANNA, BERT).report


def _ends_well(ask: Ask) -> bool:
    """Run it. Whatever it cannot do is named, with the reason and with what to do."""
    try:
        report = ask()
    except LocalError as error:
        told = [f"{error} {error.hint}"]
    else:
        told = [problem.message for problem in report.problems]
    for message in told:
        assert _NO_ROOM in message, message
        assert "make room" in message, message
    return not told


def _check_whole(tree: Tree) -> None:
    for name, (raw, _) in tree.manifests().items():
        if name.endswith("_manifest.json"):
            codec.decode(raw, name)


def _check_finished(tree: Tree, kind: str) -> None:
    if kind in KINDS:
        done(tree, kind)
    if kind == "sync":
        assert all(tree.statuses(actor[:4])[name] == "synced" for actor, name in IMAGES)
        assert not list(tree.root.glob("data/actors/*/training_data/response.json"))
    settled(tree)


@contextmanager
def _room_on_a_disk(folder: Path, pages: int) -> Iterator[None]:
    """A real disk with so much room left, and with all of it at the end."""
    ballast = fill(folder)
    os.truncate(ballast, ballast.stat().st_size - pages * _PAGE_BYTES)
    try:
        yield
    finally:
        ballast.unlink()


@root_only
@pytest.mark.parametrize("kind", ALL_KINDS)
def test_a_full_disk_loses_nothing_at_any_size(tmp_path: Path, kind: str) -> None:
    disk = tmp_path / "disk"
    with small_disk(disk, "2m"):
        for pages in range(_MOST_PAGES):
            tree = Tree(disk / f"{pages}")
            ask = _set(tree, kind)
            witness = Witness(tree)
            with _room_on_a_disk(disk, pages):
                well = _ends_well(ask)
                witness.nothing_lost()
                _check_whole(tree)
            assert _ends_well(ask)
            _check_finished(tree, kind)
            witness.nothing_lost()
            shutil.rmtree(tree.root)
            if well:
                break
        assert 0 < pages < _MOST_PAGES - 1, f"it ended well with {pages} pages"


class _Quota:
    """The room that is left for all writes together. One that it does not suffice for takes what there is, and the next one fails."""

    def __init__(self, room_bytes: int) -> None:
        self.left_bytes = room_bytes
        self.sizes: list[int] = []
        self.refused = False
        self.dispensable = False
        """Whether the first write that was refused is one that may be: of what can be worked out again."""

    def taken(self, size_bytes: int) -> int:
        self.sizes.append(size_bytes)
        if size_bytes and not self.left_bytes:
            self.refused = True
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        granted = min(size_bytes, self.left_bytes)
        self.left_bytes -= granted
        return granted


class _Metered(io.FileIO):
    quota: _Quota

    def write(self, data: ReadableBuffer) -> int:
        view = memoryview(data)
        return super().write(view[: self.quota.taken(len(view))])


@contextmanager
def _room(quota: _Quota) -> Iterator[None]:
    write, open_file, jot = system.write, system.open_file, files.jot

    def metered(path: str, mode: str, *, buffering: int = -1) -> io.IOBase:
        if mode == "rb":
            return open_file(path, "rb", buffering=0) if buffering == 0 else open_file(path, "rb")
        raw = _Metered(path, mode)
        raw.quota = quota
        return io.BufferedWriter(raw)

    def jotted(path: str, data: bytes) -> None:
        before = quota.refused
        try:
            jot(path, data)
        except LocalError:
            quota.dispensable |= not before
            raise

    with pytest.MonkeyPatch.context() as patch:
        without_extension(patch)
        patch.setattr(files, "jot", jotted)
        patch.setattr(system, "write", lambda descriptor, data: write(descriptor, data[: quota.taken(len(data))]))
        patch.setattr(system, "open_file", metered)
        yield


@pytest.mark.parametrize("kind", ["sync", *KINDS, "undo repair from S3", "undo evict"])
def test_every_write_may_be_the_one_that_there_is_half_the_room_for(tmp_path: Path, kind: str) -> None:
    tree = Tree(tmp_path / "all")
    ask, unlimited = _set(tree, kind), _Quota(1 << 40)
    with _room(unlimited):
        assert _ends_well(ask)
    sizes = unlimited.sizes
    for number, size_bytes in enumerate(sizes):
        tree = Tree(tmp_path / f"{number}")
        ask = _set(tree, kind)
        witness = Witness(tree)
        quota = _Quota(sum(sizes[:number]) + size_bytes // 2)
        with _room(quota):
            assert not _ends_well(ask) or quota.dispensable, f"write {number} of {len(sizes)} was not missed"
        witness.nothing_lost()
        _check_whole(tree)
        assert _ends_well(ask)
        _check_finished(tree, kind)
        witness.nothing_lost()
    assert len(sizes) > 1
