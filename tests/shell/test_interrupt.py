"""The first Ctrl-C finishes what is under way and the second stops at once; the same command then goes on, and nothing is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from callsheet import files
from callsheet.remote.s3 import S3Remote
from callsheet.settings import open_library
from command import Ran, environment
from factory import SETTLED_S, Tree
from servers import REGION, Server
from stage import ANNA, Stage, empty_stage

KIB = 1024
NAMES = [f"{number}.png" for number in range(6)]
ONE_AT_A_TIME = {"CALLSHEET_TRANSFERS": "1"}
CALM_S = 20.0


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """Six images of 200 KiB that are only here; at 400 KiB a second each takes half a second."""
    stage = empty_stage(tmp_path)
    for name in NAMES:
        stage.tree.image(ANNA, name, os.urandom(200 * KIB), mtime_s=SETTLED_S)
    stage.tree.library().sync()
    return stage


class Running:
    """A command that is under way."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process

    def wait_for(self, happened: Callable[[], bool]) -> None:
        deadline = time.monotonic() + CALM_S
        while not happened():
            assert self.process.poll() is None, "it ended before it could be interrupted"
            assert time.monotonic() < deadline, "what was waited for did not happen"
            time.sleep(0.01)

    def ends(self) -> Ran:
        started = time.monotonic()
        out, err = self.process.communicate(timeout=CALM_S)
        assert b"Traceback" not in err, err
        return Ran(self.process.returncode, out.decode(), err.decode(), time.monotonic() - started)


@contextmanager
def running(stage: Stage, *arguments: str) -> Iterator[Running]:
    command = [sys.executable, "-m", "callsheet", "--root", str(stage.root), *arguments]
    env = environment({**stage.env, **ONE_AT_A_TIME})
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, env=env, **pipes) as process:  # type: ignore[call-overload]
        try:
            yield Running(process)
        finally:
            process.kill()


def arrived(stage: Stage) -> list[str]:
    """The images that are in the bucket, whole."""
    folder = stage.buckets / stage.tree.where.bucket / stage.tree.where.key_prefix(ANNA)
    return sorted(
        path.name for path in folder.glob("*.png")
    )  # none is opened: what has another name may go at any moment


def under_way(stage: Stage) -> bool:
    """Whether the store has begun to write an object."""
    return any(stage.buckets.rglob("%put-*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_finishes_what_is_under_way_and_the_same_command_goes_on(
    stage: Stage, number: signal.Signals
) -> None:
    with running(stage, "push", "--bwlimit", "100K") as run:
        run.wait_for(lambda: under_way(stage))
        run.process.send_signal(number)
        ran = run.ends()
    done = arrived(stage)
    assert ran.code == 130
    assert done == NAMES[:1], "what was under way, and nothing more"
    assert "Finishing what is under way; Ctrl-C again stops at once." in ran.err
    lines = ran.out.splitlines()
    assert lines[2:5] == [
        "✅ 1 image uploaded (204.8 kB)",
        "⏹️  Interrupted: 5 actions not begun; the same command goes on from here",
        "📸 Now: 1 synced, 5 local only",
    ]
    statuses = stage.tree.statuses("0000")
    assert statuses == dict.fromkeys(NAMES, "local_only") | {NAMES[0]: "synced"}, "what was done is recorded"
    again = stage.process("push", "--json")
    assert again.code == 0
    assert [row["filename"] for row in again.document["outcomes"]] == NAMES[1:]
    assert stage.objects() == stage.images()


def test_the_second_stops_at_once_and_what_was_done_is_known_by_the_next_run(stage: Stage) -> None:
    with running(stage, "push", "--bwlimit", "20K") as run:
        run.wait_for(lambda: under_way(stage))
        run.process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        run.process.send_signal(signal.SIGINT)
        ran = run.ends()
    assert ran.code == 130
    assert ran.seconds < 3, "what is under way would have taken ten seconds"
    assert "interrupted" in ran.err
    again = stage.process("push")
    assert again.code == 0
    assert sorted(arrived(stage)) == NAMES
    assert {name: stage.objects()[name] for name in stage.images()} == stage.images()


def test_a_json_document_tells_an_interrupted_run(stage: Stage) -> None:
    with running(stage, "push", "--bwlimit", "400K", "--json", "--progress", "json") as run:
        run.wait_for(lambda: len(arrived(stage)) >= 1)
        run.process.send_signal(signal.SIGINT)
        ran = run.ends()
    document = ran.document
    assert (ran.code, document["interrupted"]) == (130, True)
    assert document["planned"] == len(NAMES)
    assert document["done"] == len(document["outcomes"]) == len(arrived(stage)) < len(NAMES)
    lines = [json.loads(line) for line in ran.err.splitlines() if line.startswith("{")]
    assert lines[-1]["phase"] in ("move", "look")


def test_an_interrupted_run_can_be_taken_back(stage: Stage) -> None:
    before = stage.sides()
    with running(stage, "push", "--bwlimit", "400K") as run:
        run.wait_for(lambda: len(arrived(stage)) >= 1)
        run.process.send_signal(signal.SIGINT)
        run.ends()
    ran = stage.process("undo", "--yes")
    assert (ran.code, ran.err) == (0, "")
    assert stage.sides() == before


def test_what_an_interrupted_run_had_not_begun_is_not_taken_back_from_the_next(stage: Stage) -> None:
    """The steps that were left are in its journal, and somebody else has done them since."""
    with running(stage, "push", "--bwlimit", "400K", "--json") as run:
        run.wait_for(lambda: len(arrived(stage)) >= 1)
        run.process.send_signal(signal.SIGINT)
        first = run.ends().document
    done = {row["filename"] for row in first["outcomes"]}
    assert stage.process("push").code == 0
    ran = stage.process("undo", first["run"], "--yes", "--json")
    assert ran.code == 0
    assert {row["filename"] for row in ran.document["outcomes"]} == done
    assert set(arrived(stage)) == set(NAMES) - done


def test_a_pull_leaves_no_half_image_and_goes_on(stage: Stage) -> None:
    stage.process("push")
    stage.process("evict", "--yes")
    whole = stage.objects()
    with running(stage, "pull", "--bwlimit", "400K") as run:
        run.wait_for(lambda: len(stage.images()) >= 1)
        run.process.send_signal(signal.SIGINT)
        time.sleep(0.05)
        run.process.send_signal(signal.SIGINT)
        ran = run.ends()
    assert ran.code == 130
    for name, content in stage.images().items():
        if not name.rpartition("/")[2].startswith("."):
            assert content == whole[name]
    assert stage.process("pull").code == 0
    assert {name: c for name, c in stage.images().items() if "/." not in name} == whole


@pytest.mark.parametrize("verb", ["rm", "evict"])
def test_a_killed_removal_of_very_many_images_can_be_taken_back(tmp_path: Path, verb: str) -> None:
    """What it took away would look like a lost disk; its journal says that it was not."""
    stage = empty_stage(tmp_path)
    for number in range(60):
        stage.tree.both(ANNA, f"{number}.png", b"%d" % number)
    stage.tree.library().sync()
    before = stage.sides()
    folder = stage.tree.folder(ANNA)
    with running(stage, verb, "0", "--yes") as run:
        run.wait_for(lambda: len(os.listdir(folder)) < 25)
        run.process.kill()
        run.process.wait(CALM_S)
    assert stage.sides() != before
    ran = stage.process("undo", "--yes")
    assert ran.code == 0, ran
    here, there = stage.sides()
    # Whoever is killed between two steps of a move leaves the file's other name, which `fsck` tells of.
    asides = {name: here.pop(name) for name in [*here] if f"/{files.ASIDE}" in name}
    assert (here, there) == before
    assert set(asides.values()) <= set(here.values())


def test_a_caller_that_ignores_ctrl_c_is_not_interrupted(stage: Stage) -> None:
    """As a job in the background of a script is started."""
    command = f"trap '' INT; exec {sys.executable} -m callsheet --root {stage.root} push --bwlimit 800K"
    env = environment({**stage.env, **ONE_AT_A_TIME})
    with subprocess.Popen(["bash", "-c", command], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        run = Running(process)
        run.wait_for(lambda: len(arrived(stage)) >= 1)
        process.send_signal(signal.SIGINT)
        ran = run.ends()
    assert ran.code == 0
    assert len(arrived(stage)) == len(NAMES)


def test_a_slow_upload_to_a_real_server_is_finished_too(tmp_path: Path, ministack_server: Server) -> None:
    bucket = ministack_server.make_bucket(f"interrupt-{os.urandom(6).hex()}")
    tree = Tree(tmp_path / "project", S3Remote(REGION, endpoint_url=ministack_server.endpoint))
    for name in NAMES:
        tree.image(ANNA, name, os.urandom(200 * KIB))
    env = {**ministack_server.env, "CALLSHEET_BUCKET": bucket, "CALLSHEET_TRANSFERS": "2"}
    command = [sys.executable, "-m", "callsheet", "--root", str(tree.root), "push", "--bwlimit", "400K"]
    library = open_library(tree.root, remote=tree.remote, environ={"CALLSHEET_BUCKET": bucket})

    def there() -> int:
        return sum(1 for _ in tree.remote.list(bucket, f"{library.where.key_prefix()}{ANNA}/"))

    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, env=environment(env), **pipes) as process:  # type: ignore[call-overload]
        run = Running(process)
        run.wait_for(lambda: there() >= 1)
        process.send_signal(signal.SIGTERM)
        ran = run.ends()
    assert ran.code == 130
    assert f"✅ {there()} images uploaded" in ran.out
    assert there() < len(NAMES)
    assert len(library.apply(library.plan("push")).done) == len(NAMES) - there() or there() == len(NAMES)
    assert there() == len(NAMES)


def test_a_run_that_is_going_on_is_not_taken_back_and_one_that_was_killed_can_be(stage: Stage) -> None:
    with running(stage, "push", "--bwlimit", "100K") as run:
        run.wait_for(lambda: under_way(stage))
        (journal,) = (stage.root / "data/.callsheet/runs").iterdir()
        for verb in (["undo"], ["undo", journal.stem], ["trash", "restore", journal.stem]):
            refused = stage.process(*verb)
            assert refused.code == 3, refused
            assert f"The run {journal.stem} is still going on\n  Wait for it, or stop it first." in refused.err
        put_away = stage.root / "data/.callsheet/trash" / journal.stem / "data/actors" / ANNA / "training_data/old.png"
        put_away.parent.mkdir(parents=True)
        put_away.write_bytes(b"what it replaced")
        kept = stage.process("trash", "empty", "--yes", "--json")
        assert [problem["code"] for problem in kept.document["problems"]] == ["under_way"]
        assert "still going on" in kept.document["problems"][0]["message"]
        assert put_away.exists()
        run.process.kill()
        run.process.wait(CALM_S)
    taken_back = stage.process("undo", journal.stem, "--yes")
    assert taken_back.code == 0, taken_back
    assert not arrived(stage)
