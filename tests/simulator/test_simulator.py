"""Thousands of histories in which everything that can go wrong does; and that the simulator itself is what it says."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from simulator.disk import Disk
from simulator.story import Deed, History, Play, broken, history, shrunk

HISTORIES = 20_000
_BATCH = 500


def check(seeds: range) -> None:
    """Play these histories; tell the least part of the first one that breaks a promise."""
    for seed in seeds:
        if broken(told := history(seed)):
            told = shrunk(told)
            play = Play(told, trace=True)
            try:
                play.play()
            except AssertionError as breach:
                message = (
                    f"history {seed} breaks a promise, and so does this part of it:\n{told}\n{play.trace}\n{breach}"
                )
                raise AssertionError(message) from breach
            raise AssertionError(f"history {seed} breaks a promise, and does not when it is played again:\n{told}")


@pytest.mark.parametrize("start", range(0, HISTORIES, _BATCH))
def test_whatever_happens_the_seven_promises_are_kept(start: int) -> None:
    check(range(start, start + _BATCH))


@pytest.mark.parametrize("seed", range(20))
def test_the_same_seed_has_the_same_trace(seed: int) -> None:
    plays = [Play(history(seed), trace=True) for _ in range(2)]
    for play in plays:
        play.play()
    assert plays[0].trace == plays[1].trace
    assert len(plays[0].trace) > 1000


def test_a_history_that_breaks_a_promise_is_shrunk_to_what_breaks_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """With folders whose names are never flushed, the URLs of a legacy file are not durable when it goes."""
    from callsheet import folders

    monkeypatch.setattr(folders, "_unsettled", lambda path: [])
    found = next(told for seed in range(2000) if broken(told := history(seed)))
    least = shrunk(found)
    assert broken(least)
    assert len(least.rounds) < len(found.rounds)
    assert len(least.rounds) <= 2, str(least)


def test_what_users_do_to_their_own_files_is_no_breach() -> None:
    deeds = ("save", "save_slowly", "upload", "vanish", "drop")
    for seed in range(50):
        chance = random.Random(seed)
        rounds = tuple((Deed(chance.choice(deeds), content=f"picture {seed} {n}"),) for n in range(8))
        assert broken(History(seed, rounds)) is None


@pytest.mark.parametrize("seed", [1128571, 1227682, 1495472, 1637101])
def test_what_was_misjudged_once_is_not_again(seed: int) -> None:
    """A user took away what lived on only in a name that the run was about to delete."""
    assert broken(history(seed)) is None


# The disk.


def _disk() -> Disk:
    disk = Disk()
    disk.makedirs("/a/b")
    disk.settle()
    return disk


def _write(disk: Disk, path: str, content: bytes, *, sync: bool) -> None:
    descriptor = disk.open(disk.create(path), None)
    disk.write(descriptor, content)
    if sync:
        disk.fsync(disk.at(descriptor).inode)
    disk.close(descriptor)


def _cuts(disk_of: Callable[[], Disk], path: str) -> set[bytes | None]:
    """What may be found under a name after a power cut."""
    found = set()
    for seed in range(60):
        disk = disk_of()
        disk.cut_power(random.Random(seed))
        inode = disk.get(path)
        found.add(None if inode is None else bytes(inode.data))
    return found


def test_what_was_flushed_with_its_folder_survives() -> None:
    def made() -> Disk:
        disk = _disk()
        _write(disk, "/a/b/x", b"content", sync=True)
        disk.fsync(disk.folder("/a/b"))
        return disk

    assert _cuts(made, "/a/b/x") == {b"content"}


def test_without_its_folder_the_name_may_be_gone() -> None:
    def made() -> Disk:
        disk = _disk()
        _write(disk, "/a/b/x", b"content", sync=True)
        return disk

    assert _cuts(made, "/a/b/x") == {b"content", None}


def test_bytes_that_were_not_flushed_may_be_cut_anywhere() -> None:
    def made() -> Disk:
        disk = _disk()
        _write(disk, "/a/b/x", b"abc", sync=False)
        disk.fsync(disk.folder("/a/b"))
        return disk

    assert _cuts(made, "/a/b/x") == {b"", b"a", b"ab", b"abc"}


def test_a_rename_is_whole_the_old_name_or_the_new_one() -> None:
    def made() -> Disk:
        disk = _disk()
        for name, content in (("old", b"new content"), ("x", b"old content")):
            _write(disk, f"/a/b/{name}", content, sync=True)
        disk.fsync(disk.folder("/a/b"))
        disk.rename("/a/b/old", "/a/b/x")
        return disk

    assert _cuts(made, "/a/b/x") == {b"old content", b"new content"}
    assert _cuts(made, "/a/b/old") == {b"new content", None}


def test_a_folder_that_was_flushed_is_lost_with_the_one_above_that_was_not() -> None:
    def made() -> Disk:
        disk = _disk()
        disk.makedirs("/a/c")
        _write(disk, "/a/c/x", b"content", sync=True)
        disk.fsync(disk.folder("/a/c"))
        return disk

    assert _cuts(made, "/a/c/x") == {b"content", None}


def test_what_surely_survives_is_what_no_power_cut_takes() -> None:
    disk = _disk()
    disk.makedirs("/a/c")
    _write(disk, "/a/b/x", b"content", sync=True)
    assert list(disk.surviving_files()) == []
    disk.fsync(disk.folder("/a/b"))
    assert list(disk.surviving_files()) == [b"content"]
    disk.rename("/a/b/x", "/a/b/y")
    assert list(disk.surviving_files()) == [b"content"], "under one name or the other"
    disk.link("/a/b/y", "/a/c/x")
    disk.fsync(disk.folder("/a/c"))
    disk.unlink("/a/b/y")
    assert list(disk.surviving_files()) == [], "the folder that it has gone to may be lost"
    disk.fsync(disk.folder("/a"))
    assert list(disk.surviving_files()) == [b"content"]
    disk.unlink("/a/c/x")
    assert list(disk.surviving_files()) == [], "its deletion may survive"


def test_a_lock_goes_with_the_process_that_holds_it() -> None:
    disk, holder = _disk(), object()
    inode = disk.create("/a/lock")
    theirs, ours = disk.open(inode, holder), disk.open(inode, None)
    assert disk.lock(theirs, 2)
    assert not disk.lock(ours, 2)
    disk.close_all_of(holder)
    assert disk.lock(ours, 2)
