"""A folder that was made and flushed is there after a power cut, whoever made it, or one of its name before."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from callsheet import drafts, folders, system
from simulator.cloud import Cloud
from simulator.engine import Engine, Machine, Process, installed
from simulator.judge import WHERE
from simulator.single import A, B
from simulator.story import Deed, History, Play

FOLDER = "/p/a/b"


def put(name: str) -> Callable[[], object]:
    """A job that makes an empty file in the folder, and it durable."""

    def job() -> None:
        with drafts.new_file(f"{FOLDER}/{name}", within="/p") as descriptor:
            system.fsync(descriptor)
        assert folders.flush([FOLDER]) == {}

    return job


def run(engine: Engine, process: Process, *jobs: Callable[[], object]) -> None:
    for job in jobs:
        process.job = job
        engine.run(process)
        if process.error is not None:
            raise process.error


@pytest.fixture
def machine() -> Machine:
    machine = Machine("here")
    machine.disk.makedirs("/p")
    machine.disk.settle()
    return machine


def started(machine: Machine) -> tuple[Engine, Process]:
    engine = Engine(0, Cloud({}))
    return engine, Process("ours", machine, put("x"))


def test_a_new_folder_survives_with_those_above_it(machine: Machine) -> None:
    engine, process = started(machine)
    with installed(engine):
        run(engine, process, put("x"))
    assert machine.disk.surviving(f"{FOLDER}/x") == b""


def test_a_folder_that_somebody_else_has_made_survives(machine: Machine) -> None:
    engine, process = started(machine)
    machine.disk.makedirs(FOLDER)
    with installed(engine):
        run(engine, process, put("x"))
    assert machine.disk.surviving(f"{FOLDER}/x") == b""


def test_a_folder_that_somebody_removed_is_made_to_survive_anew(machine: Machine) -> None:
    engine, process = started(machine)
    with installed(engine):
        run(engine, process, put("x"))
        machine.disk.unlink(f"{FOLDER}/x")
        machine.disk.rmdir(FOLDER)
        machine.disk.rmdir("/p/a")
        run(engine, process, put("y"))
    assert machine.disk.surviving(f"{FOLDER}/y") == b""


def test_a_folder_that_we_remove_is_made_to_survive_by_us_though_another_makes_it(machine: Machine) -> None:
    engine, process = started(machine)
    with installed(engine):
        run(engine, process, put("x"))
        machine.disk.unlink(f"{FOLDER}/x")
        run(engine, process, lambda: folders.remove_empty(FOLDER, "/p"))
        assert machine.disk.get("/p/a") is None
        machine.disk.makedirs(FOLDER)
        run(engine, process, put("y"))
    assert machine.disk.surviving(f"{FOLDER}/y") == b""


def test_a_folder_that_is_not_there_is_not_taken_for_flushed(machine: Machine) -> None:
    engine, process = started(machine)
    with installed(engine):
        run(engine, process, lambda: folders.flush([FOLDER]))
        machine.disk.makedirs(FOLDER)
        run(engine, process, put("x"))
    assert machine.disk.surviving(f"{FOLDER}/x") == b""


def test_a_folder_that_is_gone_is_not_taken_for_flushed_when_another_makes_it(machine: Machine) -> None:
    engine, process = started(machine)
    with installed(engine):
        run(engine, process, put("x"))
        machine.disk.unlink(f"{FOLDER}/x")
        machine.disk.rmdir(FOLDER)
        run(engine, process, lambda: folders.flush([FOLDER]))
        machine.disk.makedirs(FOLDER)
        run(engine, process, put("y"))
    assert machine.disk.surviving(f"{FOLDER}/y") == b""


def test_what_was_pulled_survives() -> None:
    play = Play(History(0, ((Deed("upload", A, "one"), Deed("upload", B, "two")), (Deed("pull"),))))
    play.play()
    disk = play.machines["here"].disk
    images = {path: inode for path, inode in disk.files() if f"/{WHERE.actors_dir}/" in path}
    assert len(images) == 2
    assert sorted(disk.surviving(path) or b"" for path in images) == sorted(
        bytes(inode.data) for inode in images.values()
    )


def refused(monkeypatch: pytest.MonkeyPatch, number: Callable[[str, int], int]) -> set[int]:
    """Opening fails with that errno for a path, and so many descriptors that are open; 0: it does not. Returns those that are open."""
    real_open, real_close, held = system.open, system.close, set[int]()

    def opening(path: str, flags: int, mode: int = 0o777) -> int:
        if error := number(path, len(held)):
            raise OSError(error, os.strerror(error), path)
        held.add(descriptor := real_open(path, flags, mode))
        return descriptor

    def closing(descriptor: int) -> None:
        held.discard(descriptor)
        real_close(descriptor)

    monkeypatch.setattr(system, "open", opening)
    monkeypatch.setattr(system, "close", closing)
    monkeypatch.setattr(folders, "_settled", set())
    return held


def many(tmp_path: Path) -> list[str]:
    """More than are open at a time."""
    made = [tmp_path / f"{number}" / "in it" for number in range(80)]
    for folder in made:
        folder.mkdir(parents=True)
    return [str(folder) for folder in made]


def test_where_few_files_may_be_open_all_are_flushed_a_few_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = refused(monkeypatch, lambda _, open_now: errno.EMFILE if open_now >= 3 else 0)
    paths = many(tmp_path)
    assert folders.flush(paths) == {}
    assert set(paths) <= folders._settled
    assert not held


def test_a_folder_that_cannot_be_flushed_is_told_and_the_others_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, *good = many(tmp_path)
    held = refused(monkeypatch, lambda path, _: errno.EIO if path == bad else 0)
    told = folders.flush([bad, *good])
    assert [*told] == [bad]
    assert bad in str(told[bad])
    assert isinstance(told[bad].__cause__, OSError)
    assert set(good) <= folders._settled
    assert bad not in folders._settled
    assert not held


def test_a_name_in_a_folder_that_may_not_be_read_is_not_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = many(tmp_path)[0]
    refused(monkeypatch, lambda at, _: errno.EACCES if at == str(tmp_path) else 0)
    assert folders.flush([path]) == {}
    folders.settle(path)


def test_a_name_in_a_folder_that_cannot_be_flushed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = many(tmp_path)[0]
    refused(monkeypatch, lambda at, _: errno.EIO if at == str(tmp_path) else 0)
    assert [*folders.flush([path])] == [path]
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        folders.settle(path)
    assert path not in folders._settled


def test_a_folder_that_cannot_be_closed_is_told_and_the_others_are_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, *good = many(tmp_path)
    held, close, paths = refused(monkeypatch, lambda *_: 0), system.close, dict[int, str]()
    opening = system.open

    def noted(path: str, flags: int, mode: int = 0o777) -> int:
        paths[descriptor := opening(path, flags, mode)] = path
        return descriptor

    def closing(descriptor: int) -> None:
        close(descriptor)
        if paths[descriptor] == bad:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(system, "open", noted)
    monkeypatch.setattr(system, "close", closing)
    assert [*folders.flush([bad, *good])] == [bad]
    assert not held
