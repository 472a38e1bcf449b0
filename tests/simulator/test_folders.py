"""A folder that was made and flushed is there after a power cut, whoever made it, or one of its name before."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from callsheet import files, folders
from simulator.cloud import Cloud
from simulator.engine import Engine, Machine, Process, installed

FOLDER = "/p/a/b"


def put(name: str) -> Callable[[], object]:
    """A job that makes an empty file in the folder, and it durable."""

    def job() -> None:
        with files.new_file(f"{FOLDER}/{name}", within="/p") as file:
            assert files.write_durably([files.Fresh(file, memoryview(b""), 0)]) == [None]
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
