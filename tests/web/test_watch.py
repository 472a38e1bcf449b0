"""A server that watches shows what is on this disk within two seconds, and records no loss that is likelier an unmounted disk."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from api_server import Api, running
from asking import ask, done, ended, listening, wait_until
from callsheet.errors import TreeError
from callsheet.library import Library
from callsheet.model import Problem
from callsheet.report import Report
from callsheet.settings import open_library
from callsheet.web.service import Messenger
from callsheet.web.turns import Turns
from callsheet.web.watch import Watcher, Witness
from command import environment, run
from factory import Tree
from gate import Gate
from stage import ANNA, BERT, LATER_S, picture

WITHIN_S = 2.0


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def tree(tmp_path: Path, gate: Gate) -> Tree:
    """Three images of Anna and two of Bert, recorded."""
    tree = Tree(tmp_path / "project", gate)
    for number in range(3):
        tree.image(ANNA, f"a{number}.png", picture(number))
    for number in range(2):
        tree.image(BERT, f"b{number}.png", picture(10 + number))
    tree.library().sync()
    return tree


@pytest.fixture
def api(tree: Tree) -> Iterator[Api]:
    with running(tree.library()) as api:
        wait_until(lambda: api.service.watching)
        yield api


def statuses(api: Api, actor: str = ANNA) -> dict[str, str]:
    rows = api.json(f"/api/actors/{actor}/training-data")["training_images"]
    return {row["filename"]: row["status"] for row in rows}


def test_a_saved_file_is_told_at_once_and_recorded_within_two_seconds(api: Api, tree: Tree) -> None:
    assert api.json("/healthz")["watching"]
    took_s = []
    for number in range(3):  # a busy machine may hold up one of them
        with listening(api) as heard:
            started = time.monotonic()
            tree.image(ANNA, f"new{number}.png", picture(50 + number))
            told = heard.next("actor")
            assert (told["actor_name"], told["total_count"]) == (ANNA, 3 + number), "told before it is recorded"
            wait_until(lambda: statuses(api).get(f"new{number}.png") == "local_only")  # noqa: B023  used at once
            took_s.append(time.monotonic() - started)
            while heard.next("actor")["total_count"] != 4 + number:
                pass
        assert not api.json(f"/api/actors/{ANNA}/training-data")["changed_since_sync"]
    assert min(took_s) < WITHIN_S


def test_a_changed_a_renamed_and_a_deleted_file_are_recorded(api: Api, tree: Tree) -> None:
    before = {row["filename"]: row for row in api.json("/api/actors/0/training-data")["training_images"]}
    changed = tree.image(ANNA, "a0.png", picture(60), mtime_s=LATER_S)
    os.rename(tree.folder(ANNA) / "a1.png", tree.folder(ANNA) / "renamed.png")
    (tree.folder(ANNA) / "a2.png").unlink()
    wait_until(lambda: statuses(api).keys() == {"a0.png", "renamed.png"})
    wait_until(lambda: not api.json("/api/actors/0/training-data")["changed_since_sync"])
    after = {row["filename"]: row for row in api.json("/api/actors/0/training-data")["training_images"]}
    assert changed.exists()
    assert after["a0.png"]["md5_hash"] != before["a0.png"]["md5_hash"]
    assert after["renamed.png"]["md5_hash"] == before["a1.png"]["md5_hash"]


def test_new_actors_and_removed_ones_are_noticed(api: Api, tree: Tree) -> None:
    with listening(api) as heard:
        tree.image("0002_carl", "c.png", picture(70))
        wait_until(lambda: tree.manifest_path("0002").exists())
        wait_until(lambda: statuses(api, "2") == {"c.png": "local_only"})
        tree.image("0002_carl", "later.png", picture(71))
        wait_until(lambda: len(statuses(api, "2")) == 2)
        (tree.root / tree.where.folder("0003_dora")).mkdir()
        while heard.next("actor")["actor_name"] != "0003_dora":
            pass
        (tree.root / tree.where.folder("0003_dora")).rmdir()
        while not (told := heard.next("actor")).get("gone"):
            pass
        assert told["actor_name"] == "0003_dora"


def test_a_file_that_is_being_written_ends_up_as_it_is(api: Api, tree: Tree) -> None:
    path = tree.folder(ANNA) / "long.png"
    with open(path, "wb") as file:
        for number in range(30):
            file.write(picture(number))
            file.flush()
            time.sleep(0.1)
    wait_until(lambda: statuses(api).get("long.png") == "local_only")

    def size() -> Any:
        rows = api.json("/api/actors/0/training-data")["training_images"]
        return next(row["size_bytes"] for row in rows if row["filename"] == "long.png")

    wait_until(lambda: size() == path.stat().st_size)


def test_what_another_program_writes_into_a_manifest_is_told(api: Api, tree: Tree) -> None:
    with listening(api) as heard:
        tree.library().mark("0", "a0.png", good=True)
        while heard.next("actor")["good_count"] != 1:
            pass
        path = tree.manifest_path("0000")
        in_place = path.read_bytes().replace(b'"good": true', b'"good": false')
        with open(path, "r+b") as file:
            file.write(in_place)
        while heard.next("actor")["good_count"] != 0:
            pass


def test_writes_of_a_job_and_other_files_make_no_storm(api: Api, tree: Tree, gate: Gate) -> None:
    gate.opened.set()
    for number in range(60):
        tree.object(ANNA, f"far{number:02}.png", picture(100 + number))
    done(api, verb="sync", actors=[ANNA])
    with listening(api) as heard:
        pulled = done(api, verb="pull", actors=[ANNA])
        assert pulled["summary"]["done"] == 60
        told = 0
        while True:
            time.sleep(1.0)
            more = [data for kind, data in heard.all() if kind == "actor"]
            if not more:
                break
            told += len(more)
        assert told <= 20, "a few for the actor, not one for each image"
        (tree.folder(ANNA) / ".callsheet-abcd.tmp").write_bytes(b"x")
        (tree.folder(ANNA) / "notes.txt").write_bytes(b"x")
        time.sleep(1.0)
        assert not [data for kind, data in heard.all() if kind == "actor"]


class Notes:
    """A witness that keeps what it is told."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.reports: list[Report] = []
        self.written = False

    def touched(self, names: Iterable[str]) -> None:
        pass

    def synced(self, report: Report) -> None:
        self.reports.append(report)

    def manifests_changed(self, *, in_place: bool) -> None:
        self.written = True

    def told(self, problem: Problem) -> None:
        self.problems.append(problem)


@contextmanager
def watcher(library: Library, witness: Witness) -> Iterator[None]:
    found = Watcher(library, Turns(), witness)
    found.start()
    try:
        wait_until(lambda: found.watching)
        yield
    finally:
        found.close()


def test_while_nothing_changes_nothing_is_looked_at(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    library = tree.library()
    survey = Mock(wraps=library.survey)
    monkeypatch.setattr(library, "survey", survey)
    with watcher(library, Notes()):
        time.sleep(1.0)
        assert not survey.called


def test_what_is_wrong_with_an_actor_is_told_once(tree: Tree) -> None:
    notes = Notes()
    with watcher(tree.library(), notes):
        for number in range(3):
            tree.image("0001_other", f"{number}.png", picture(50 + number))  # it has Bert's number
            tree.image(ANNA, f"new{number}.png", picture(50 + number))
            wait_until(lambda: len(notes.reports) > number)  # noqa: B023  used at once
        wait_until(lambda: notes.problems)
    assert [problem.actor for problem in notes.problems] == ["0001_other"]


def test_what_could_not_be_recorded_is_recorded_later(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("callsheet.web.watch._AGAIN_S", 0.3)
    library, notes = tree.library(), Notes()
    failing = Mock(side_effect=TreeError("The disk is away"))
    with watcher(library, notes):
        with monkeypatch.context() as away:
            away.setattr(library, "survey", failing)
            tree.image(ANNA, "new.png", picture(50))
            (tree.folder(BERT) / "b0.png").unlink()
            wait_until(lambda: failing.call_count > 3)
        wait_until(lambda: tree.statuses("0000").get("new.png") == "local_only")
        wait_until(lambda: tree.statuses("0001") == {"b1.png": "local_only"})
    assert [problem.message for problem in notes.problems] == ["The disk is away."]


def test_losses_that_were_refused_stay_so_if_they_cannot_be_looked_at(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("callsheet.web.watch._AGAIN_S", 0.3)
    for number in range(30):
        tree.image("0002_carl", f"{number}.png", picture(number))
    library, notes = tree.library(), Notes()
    library.sync()
    found = Watcher(library, Turns(), notes)
    found.start()
    try:
        wait_until(lambda: found.watching)
        shutil.rmtree(tree.folder("0002_carl"))
        wait_until(lambda: found.notes)
        failing = Mock(side_effect=TreeError("The disk is away"))
        with monkeypatch.context() as away:
            away.setattr(library, "survey", failing)
            (tree.folder(BERT) / "b0.png").unlink()
            wait_until(lambda: failing.call_count > 1)
            assert ["30 of 30" in note for note in found.notes] == [True]
        wait_until(lambda: "31 of 32" in found.notes[0])
    finally:
        found.close()
    assert len(tree.statuses("0002")) == 30
    assert len(tree.statuses("0001")) == 2


def test_a_witness_that_fails_keeps_nothing_from_being_recorded(tree: Tree) -> None:
    class Failing(Notes):
        def synced(self, report: Report) -> None:
            super().synced(report)
            raise RuntimeError("a listener has gone")

        def told(self, problem: Problem) -> None:
            super().told(problem)
            raise RuntimeError("a listener has gone")

    notes = Failing()
    with watcher(tree.library(), notes):
        tree.image("0001_other", "o.png", picture(49))  # it has Bert's number: there is a problem to tell
        wait_until(lambda: notes.problems)
        for number in range(2):
            tree.image(ANNA, f"new{number}.png", picture(50 + number))
            wait_until(lambda: f"new{number}.png" in tree.statuses("0000"))  # noqa: B023  used at once
        (tree.folder(ANNA) / "a0.png").unlink()
        wait_until(lambda: "a0.png" not in tree.statuses("0000"))
        told = len(notes.reports)
        time.sleep(0.8)
        assert len(notes.reports) <= told + 1, "none is told again and again"


def test_another_folder_whose_name_begins_alike_is_no_actors(tree: Tree) -> None:
    library = open_library(tree.root, remote=tree.remote, environ={"CALLSHEET_MANIFESTS_DIR": "data/actors_manifests"})
    library.sync()
    notes = Notes()
    with watcher(library, notes):
        library.mark("0", "a0.png", good=True)
        wait_until(lambda: notes.written)


def test_an_actor_that_a_job_is_about_is_looked_at_after_it(api: Api, tree: Tree, gate: Gate) -> None:
    asked = ask(api, verb="push", actors=[ANNA])
    wait_until(lambda: gate.waiting)
    tree.image(ANNA, "meanwhile.png", picture(80))
    tree.image(BERT, "meanwhile.png", picture(81))
    wait_until(lambda: "meanwhile.png" in statuses(api, BERT))
    assert "meanwhile.png" not in statuses(api), "a job is about Anna"
    gate.opened.set()
    ended(api, asked)
    wait_until(lambda: "meanwhile.png" in statuses(api))


def test_a_mass_deletion_is_told_and_not_recorded(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders go one after the other, as when a tree is deleted or a disk goes; no loss of theirs is recorded on its own."""
    monkeypatch.setattr("callsheet.web.watch._LOSS_QUIET_S", 2.0)  # a busy machine may pause between two of them
    monkeypatch.setattr("callsheet.web.watch._LOSS_LONGEST_WAIT_S", 10.0)
    actors = [f"00{number}_x" for number in range(20, 32)]
    for actor in actors:
        for number in range(3):
            tree.image(actor, f"{number}.png", picture(number))
    tree.library().sync()
    with running(tree.library()) as api, listening(api) as heard:
        wait_until(lambda: api.service.watching)
        for actor in actors:
            shutil.rmtree(tree.folder(actor))
            time.sleep(0.05)
        told = heard.next("problem")
        assert told["code"] == "mass_loss"
        assert "36 of 36" in told["message"]
        assert any("36 of 36" in note for note in api.json("/healthz")["notes"])
        time.sleep(2.5)
        for actor in actors:
            assert tree.statuses(actor[:4]) == {f"{number}.png": "local_only" for number in range(3)}
        (tree.folder(BERT) / "b0.png").unlink()
        assert "37 of 38" in heard.next("problem")["message"], "what was refused still counts"
        for actor in actors:
            for number in range(3):
                tree.image(actor, f"{number}.png", picture(number))
        wait_until(lambda: statuses(api, BERT) == {"b1.png": "local_only"})
        wait_until(lambda: not api.json("/healthz")["notes"])


def test_a_tree_that_cannot_be_watched_is_served_and_says_so(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("callsheet.web.watch._AGAIN_S", 0.2)
    folder = tree.root / tree.where.actors_dir
    away = folder.with_name("away")
    folder.rename(away)
    with running(tree.library()) as api:
        wait_until(lambda: api.json("/healthz")["notes"])
        health = api.json("/healthz")
        assert not health["watching"]
        assert "not noticed" in health["notes"][0]
        away.rename(folder)
        wait_until(lambda: api.json("/healthz")["watching"])
        assert api.json("/healthz")["notes"] == []
        folder.rename(away)
        wait_until(lambda: not api.json("/healthz")["watching"])
        away.rename(folder)
        wait_until(lambda: api.json("/healthz")["watching"])
        tree.image(ANNA, "new.png", picture(50))
        wait_until(lambda: statuses(api).get("new.png") == "local_only")


def test_watching_goes_on_if_telling_fails(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("callsheet.web.watch._AGAIN_S", 0.2)
    touched: list[object] = []

    def fail(_: Messenger, names: object) -> None:
        touched.append(names)
        raise ZeroDivisionError

    monkeypatch.setattr(Messenger, "touched", fail)
    with running(tree.library()) as api:
        wait_until(lambda: api.service.watching)
        for name in ("new.png", "newer.png"):
            tree.image(ANNA, name, picture(50))
            wait_until(lambda: statuses(api).get(name) == "local_only")  # noqa: B023  used at once
        assert api.json("/healthz")["watching"]
    assert len(touched) == 2


def test_a_server_that_polls_looks_at_s3_by_itself(tree: Tree, gate: Gate) -> None:
    gate.opened.set()
    with running(tree.library(), watch=False, poll_minutes=0.3 / 60) as api:
        assert not api.json("/healthz")["watching"]
        tree.object(ANNA, "far.png", picture(90))
        wait_until(lambda: statuses(api).get("far.png") == "s3_only")
        assert {row["verb"] for row in api.json("/api/jobs")["jobs"]} == {"sync"}


def test_ten_thousand_files_are_taken_in_with_few_looks(api: Api, tree: Tree) -> None:
    names = [f"{number:05}.png" for number in range(10_000)]
    content = picture(1)

    def copy() -> None:
        for name in names:
            (tree.folder(BERT) / name).write_bytes(content)

    writer = threading.Thread(target=copy)
    with listening(api) as heard:
        writer.start()
        writer.join()
        wait_until(lambda: len(statuses(api, BERT)) == 10_002)
        assert len([kind for kind, _ in heard.all() if kind == "actor"]) < 30


@contextmanager
def watching(tree: Tree, *arguments: str) -> Iterator[Callable[[], str]]:
    """`callsheet watch` in a process of its own; yields what waits for its next line on stdout. It ends well at Ctrl-C."""
    command = [sys.executable, "-m", "callsheet", "--root", str(tree.root), "watch", *arguments]
    env = environment({"CALLSHEET_REMOTE": f"file://{tree.root}/buckets", "PYTHONUNBUFFERED": "1"})
    (tree.root / "buckets" / tree.where.bucket).mkdir(parents=True)
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=env, **pipes) as process:  # type: ignore[call-overload]
        try:
            yield process.stdout.readline
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 0
            assert "Traceback" not in process.stderr.read()
        finally:
            process.kill()


def test_the_command_records_what_changes_without_a_server(tree: Tree) -> None:
    with watching(tree, "--json") as line:
        assert json.loads(line()) == {"event": "watching"}
        tree.image(ANNA, "new.png", picture(50))
        told = json.loads(line())
        assert (told["event"], told["actor_name"], told["images"]) == ("synced", ANNA, 4)
    assert tree.statuses("0000")["new.png"] == "local_only"


def test_the_command_looks_at_s3_if_it_is_told_how_often(tree: Tree) -> None:
    with watching(tree, "--poll", "0.1") as line:
        far = tree.root / "buckets" / tree.where.bucket / tree.where.key_prefix(BERT) / "far.png"
        far.parent.mkdir(parents=True)
        far.write_bytes(picture(51))
        assert line() == f"{BERT}: 2 local only, 1 in S3 only\n"


def test_the_command_says_that_a_tree_is_not_there(tmp_path: Path) -> None:
    ran = run(tmp_path, "watch")
    assert ran.code == 3
    assert "is not there" in ran.err
