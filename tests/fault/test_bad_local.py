"""What disks do to trees: folders that are gone or closed, names that are none, files that are none, bytes that change."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from callsheet import hashing, sync
from callsheet.errors import LossRefused, TreeError
from callsheet.model import Location, Problem
from callsheet.remote.directory import DirectoryRemote
from callsheet.remote.memory import MemoryRemote
from callsheet.report import Report
from command import run
from factory import SETTLED_S, Tree

BAD = "0005_bad"
GOOD = ("0001_good", "0009_fine")
OSC = "\x1b]0;owned\x07"


@pytest.fixture
def crowd(tree: Tree) -> Tree:
    """Two sound actors, one before and one after the bad one, which has images on both sides, here and there."""
    for actor in GOOD:
        tree.image(actor, "here.png")
        tree.both(actor, "both.png")
    tree.image(BAD, "here.png")
    tree.both(BAD, "both.png")
    tree.object(BAD, "there.png")
    return tree


BAD_STATUSES = {"both.png": "synced", "here.png": "local_only", "there.png": "s3_only"}


def others_are_done(tree: Tree, report: Report) -> None:
    assert {row.actor.name for row in report.actors} >= set(GOOD)
    for actor in GOOD:
        assert tree.statuses(actor[:4]) == {"both.png": "synced", "here.png": "local_only"}


def only_problem(report: Report) -> Problem:
    assert len(report.problems) == 1, report.problems
    return report.problems[0]


def missing(tree: Tree, stem: str) -> list[str]:
    return [row["filename"] for row in tree.read_manifest(stem).get("training_data_missing", [])]


@contextmanager
def mode(path: Path, bits: int) -> Iterator[None]:
    before = path.stat().st_mode
    path.chmod(bits)
    try:
        yield
    finally:
        path.chmod(before)


# --- The tree is not there ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["missing", "file", "dangling link", "link loop", "no root"])
def test_without_an_actors_folder_nothing_is_done(tmp_path: Path, kind: str) -> None:
    root = tmp_path / "project"
    actors = root / "data/actors"
    actors.parent.mkdir(parents=True)
    if kind == "file":
        actors.write_text("in the way")
    elif kind == "dangling link":
        actors.symlink_to("/nowhere/at/all")
    elif kind == "link loop":
        actors.symlink_to(actors)
    elif kind == "no root":
        root = tmp_path / "nowhere"
    for verb in (("sync", "--offline"), ("status",)):
        ran = run(root, *verb)
        assert ran.code == 3
        assert ran.out == ""
        assert str(root / "data/actors") in ran.err
        assert len(ran.err.splitlines()) == 2
        document = run(root, *verb, "--json")
        assert document.code == 3
        assert document.document.keys() == {"error", "message", "hint"}
        assert document.document["error"] == "tree"
        assert document.document["hint"]
    assert not (root / "data/actor_manifests").exists()


def test_a_disk_that_is_not_mounted_is_thought_of(tree: Tree) -> None:
    (tree.root / "data/actors").rmdir()
    with pytest.raises(TreeError) as caught:
        tree.library().sync()
    assert "mounted" in caught.value.hint
    assert "--root" in caught.value.hint


# --- Mass disappearance -----------------------------------------------------------------------------------------------------


def crowded(tree: Tree, both: int, here: int = 0, there: int = 0, *, actors: int = 3) -> None:
    """So many images on both sides, only here and only there, spread over some actors."""
    for number in range(max(both, here, there)):
        actor = f"{number % actors:04d}_actor"
        if number < both:
            tree.both(actor, f"both_{number}.png")
        if number < here:
            tree.image(actor, f"here_{number}.png")
        if number < there:
            tree.object(actor, f"there_{number}.png")


def empty_mount(tree: Tree) -> None:
    for folder in (tree.root / tree.where.actors_dir).iterdir():
        shutil.rmtree(folder)


def empty_bucket(tree: Tree) -> None:
    assert isinstance(tree.remote, MemoryRemote)
    for item in list(tree.remote.list(tree.where.bucket, "")):
        tree.remote.delete(item.location)


def synced_with(tree: Tree, option: str) -> Report:
    return tree.library().sync(
        offline=option == "offline",
        verify=option == "verify",
        download=option != "no_download",
        dry_run=option == "dry_run",
    )


@pytest.mark.parametrize("option", ["", "offline", "verify", "dry_run"])
def test_an_empty_mount_stops_the_run_before_it_writes(tree: Tree, option: str) -> None:
    crowded(tree, both=12, here=12)
    tree.library().sync()
    manifests = tree.manifests()
    empty_mount(tree)
    for _ in range(2):
        with pytest.raises(LossRefused, match=r"24 of 24 recorded images have vanished from .*data/actors") as caught:
            synced_with(tree, option)
        assert "mounted" in caught.value.hint
        assert "--accept-loss" in caught.value.hint
        assert tree.manifests() == manifests


def test_accepted_loss_moves_what_is_in_s3_to_s3_only_and_the_rest_to_missing(tree: Tree) -> None:
    crowded(tree, both=12, here=12)
    tree.library().sync()
    empty_mount(tree)
    report = tree.library().sync(accept_loss=True)
    assert report.problems == ()
    assert (report.counts.s3_only, report.counts.missing, report.counts.total) == (12, 12, 12)
    assert missing(tree, "0001") == ["here_1.png", "here_4.png", "here_7.png", "here_10.png"]
    assert set(tree.statuses("0001").values()) == {"s3_only"}
    assert all(row["md5_hash"] for row in tree.read_manifest("0001")["training_data_missing"])
    manifests = tree.manifests()
    assert tree.library().sync().manifests_updated == 0
    assert tree.manifests() == manifests


def test_a_disk_that_is_mounted_again_is_as_if_nothing_had_been(tree: Tree, tmp_path: Path) -> None:
    crowded(tree, both=12, here=12)
    tree.library().sync()
    manifests = tree.manifests()
    actors = tree.root / tree.where.actors_dir
    actors.rename(tmp_path / "unmounted")
    actors.mkdir()
    with pytest.raises(LossRefused):
        tree.library().sync()
    actors.rmdir()
    (tmp_path / "unmounted").rename(actors)
    report = tree.library().sync()
    assert (report.problems, report.manifests_updated) == ((), 0)
    assert tree.manifests() == manifests


@pytest.mark.parametrize("option", ["", "no_download", "dry_run"])
def test_a_bucket_that_is_suddenly_empty_stops_the_run_before_it_writes(tree: Tree, option: str) -> None:
    crowded(tree, both=12, there=12)
    tree.library().sync()
    manifests = tree.manifests()
    empty_bucket(tree)
    with pytest.raises(LossRefused, match=r"24 of 24 recorded images have vanished from S3") as caught:
        synced_with(tree, option)
    assert "the bucket the right one" in caught.value.hint
    assert tree.manifests() == manifests

    report = tree.library().sync(accept_loss=True)
    assert (report.counts.local_only, report.counts.missing, report.counts.total) == (12, 12, 12)
    assert missing(tree, "0002") == ["there_2.png", "there_5.png", "there_8.png", "there_11.png"]
    for row in tree.read_manifest("0002")["training_data_missing"]:
        assert row["alternate_s3_urls"] == [tree.url("0002_actor", row["filename"])]


def test_offline_an_empty_bucket_is_not_looked_at(tree: Tree) -> None:
    crowded(tree, both=12, there=12)
    tree.library().sync()
    manifests = tree.manifests()
    empty_bucket(tree)
    assert tree.library().sync(offline=True).problems == ()
    assert tree.manifests() == manifests


@pytest.mark.parametrize(
    ("recorded", "gone", "refused"),
    [(19, 19, False), (20, 20, True), (40, 20, False), (40, 21, True), (39, 20, True), (60, 30, False), (60, 31, True)],
)
@pytest.mark.parametrize("side", ["local", "S3"])
def test_more_than_half_and_at_least_twenty_is_what_is_asked_about(
    tree: Tree, side: str, recorded: int, gone: int, refused: bool
) -> None:
    crowded(tree, both=recorded)
    tree.library().sync()
    manifests = tree.manifests()
    for number in range(gone):
        actor, name = f"{number % 3:04d}_actor", f"both_{number}.png"
        if side == "local":
            (tree.folder(actor) / name).unlink()
        else:
            tree.remote.delete(tree.where.location(actor, name))
    if refused:
        with pytest.raises(LossRefused, match=f"{gone} of {recorded}"):
            tree.library().sync()
        assert tree.manifests() == manifests
    else:
        report = tree.library().sync()
        counts = report.counts
        assert report.problems == ()
        assert (counts.s3_only if side == "local" else counts.local_only, counts.synced) == (gone, recorded - gone)


def test_what_is_new_is_recorded_even_when_a_loss_is_not(tree: Tree) -> None:
    crowded(tree, both=24)
    tree.library().sync()
    manifests = tree.manifests()
    empty_mount(tree)
    tree.both("0100_new", "a.png")
    with pytest.raises(LossRefused):
        tree.library().sync()
    assert tree.statuses("0100") == {"a.png": "synced"}
    assert {name: seen for name, seen in tree.manifests().items() if name != "0100_manifest.json"} == manifests


@pytest.mark.parametrize("kept_images", [20_000, 5])
def test_losses_are_recorded_at_the_end_also_if_there_are_too_many_to_keep(
    kept_images: int, tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync, "_HELD_IMAGES", kept_images)
    for number in range(30):
        for image in range(3):
            tree.image(f"{number:04}_x", f"{image}.png")
    tree.library().sync()
    for number in range(10):
        (tree.folder(f"{number:04}_x") / "1.png").unlink()
    report = tree.library().sync()
    assert (report.counts.local_only, report.counts.missing, report.manifests_updated) == (80, 10, 10)
    assert [row.actor.id for row in report.actors] == [f"{number:04}" for number in range(30)]


def test_response_json_of_a_vanished_bucket_stays_until_the_loss_is_accepted(tree: Tree) -> None:
    crowded(tree, both=24)
    tree.library().sync()
    responses = [tree.response(f"{n:04d}_actor", [tree.url(f"{n:04d}_actor", f"both_{n}.png")]) for n in range(3)]
    empty_bucket(tree)
    with pytest.raises(LossRefused):
        tree.library().sync()
    assert all(path.exists() for path in responses)


def test_the_command_line_stops_with_3_and_says_how_to_go_on(tree: Tree) -> None:
    crowded(tree, both=24)
    tree.library().sync()
    manifests = tree.manifests()
    empty_mount(tree)
    ran = run(tree.root, "sync", "--offline")
    assert ran.code == 3
    assert ran.out == ""
    assert ran.err.startswith("callsheet: 24 of 24 recorded images have vanished from ")
    assert "callsheet sync --accept-loss" in ran.err
    document = run(tree.root, "sync", "--offline", "--json")
    assert document.code == 3
    assert document.document["error"] == "mass_loss"
    assert document.document.keys() == {"error", "message", "hint"}
    assert tree.manifests() == manifests
    accepted = run(tree.root, "sync", "--offline", "--accept-loss", "--json")
    assert accepted.code == 0
    assert (accepted.document["s3_only"], accepted.document["missing"]) == (24, 0)


# --- Folders and files that cannot be read -----------------------------------------------------------------------------------


def spoil(path: Path, kind: str) -> None:
    """Put something in a folder's place."""
    shutil.move(path, path.with_name(".aside"))
    if kind == "file":
        path.write_text("in the way")
    elif kind == "link loop":
        path.symlink_to(path)
    elif kind == "dangling link":
        path.symlink_to("/nowhere/at/all")
    elif kind == "fifo":
        os.mkfifo(path)


def restore(path: Path) -> None:
    path.unlink()
    shutil.move(path.with_name(".aside"), path)


@pytest.mark.parametrize("kind", ["file", "link loop", "dangling link", "fifo"])
@pytest.mark.parametrize("which", ["training_data", "actor"])
def test_a_folder_that_cannot_be_read_keeps_all_that_is_recorded(crowd: Tree, which: str, kind: str) -> None:
    crowd.library().sync()
    manifests = crowd.manifests()
    folder = crowd.folder(BAD) if which == "training_data" else crowd.folder(BAD).parent
    spoil(folder, kind)
    for _ in range(2):
        report = crowd.library().sync()
        problem = only_problem(report)
        assert (problem.actor, problem.filename, problem.code) == (BAD, "", "unreadable")
        assert f"data/actors/{BAD}" in problem.message
        assert "what is recorded of its images stands" in problem.message
        assert crowd.manifests() == manifests
        others_are_done(crowd, report)
    status = crowd.library().status()
    assert only_problem(status).code == "unreadable"
    assert [row.drift.gone for row in status.actors if row.drift and row.actor.name == BAD] == [()]
    restore(folder)
    report = crowd.library().sync()
    assert (report.problems, report.manifests_updated) == ((), 0)


@pytest.mark.parametrize("kind", ["link loop", "dangling link", "fifo", "link out", "socket"])
def test_an_image_that_is_no_file_keeps_its_entry(crowd: Tree, tmp_path: Path, kind: str) -> None:
    crowd.library().sync()
    manifests = crowd.manifests()
    path = crowd.folder(BAD) / "both.png"
    content, status = path.read_bytes(), path.stat()
    if kind == "link out":
        shutil.move(path, tmp_path / "outside.png")
        path.symlink_to(tmp_path / "outside.png")
    elif kind == "socket":
        path.unlink()
        with socket.socket(socket.AF_UNIX) as listener:
            here = os.open(path.parent, os.O_RDONLY)
            listener.bind(f"/proc/self/fd/{here}/both.png")  # a socket's path may have 108 bytes only
            os.close(here)
    else:
        path.unlink()
        spoil_file(path, kind)
    for _ in range(2):
        report = crowd.library().sync()
        problem = only_problem(report)
        assert (problem.actor, problem.filename) == (BAD, "both.png")
        assert problem.code in ("unreadable", "not_a_file", "symlink")
        assert crowd.manifests() == manifests
        others_are_done(crowd, report)
    path.unlink()
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    report = crowd.library().sync()
    assert (report.problems, report.manifests_updated) == ((), 0)


def spoil_file(path: Path, kind: str) -> None:
    if kind == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to(path if kind == "link loop" else "/nowhere/at/all.png")


CLOSED = {
    "training_data": (f"data/actors/{BAD}/training_data", 0),
    "actor": (f"data/actors/{BAD}", 0),
    "may be listed but not entered": (f"data/actors/{BAD}/training_data", 0o444),
    "image": (f"data/actors/{BAD}/training_data/both.png", 0),
    "response.json": (f"data/actors/{BAD}/training_data/response.json", 0),
    "manifest": ("data/actor_manifests/0005_manifest.json", 0),
}


@pytest.mark.parametrize("case", CLOSED)
def test_what_may_not_be_read_is_told_and_its_record_stands(crowd: Tree, case: str) -> None:
    crowd.library().sync()
    crowd.response(BAD, [])
    crowd.folder(BAD).chmod(0o755)
    manifests = crowd.manifests()
    relative, bits = CLOSED[case]
    with mode(crowd.root / relative, bits):
        ran = run(crowd.root, "sync", "--offline", "--verify", "--json", privileged=False)
        text = run(crowd.root, "sync", "--offline", "--verify", privileged=False)
    assert (ran.code, text.code) == (1, 1)
    told = ran.problems
    assert {problem["actor"] for problem in told} == {BAD}
    assert len(told) == len(text.told)
    assert len(told) == 1 or "listed" in case, told
    assert all("ermission" in problem["message"] for problem in told)
    assert [row["actor_name"] for row in ran.document["by_actor"] if row["actor_name"] in GOOD] == list(GOOD)
    assert crowd.manifests() == manifests
    report = crowd.library().sync(verify=True)
    assert (report.problems, report.manifests_updated) == ((), 0)


def test_an_actors_folder_that_may_not_be_read_ends_the_run_with_3(crowd: Tree) -> None:
    crowd.library().sync()
    manifests = crowd.manifests()
    with mode(crowd.root / "data/actors", 0):
        ran = run(crowd.root, "sync", "--offline", privileged=False)
    assert ran.code == 3
    assert "data/actors cannot be read: Permission denied" in ran.err
    assert crowd.manifests() == manifests


def test_a_link_to_a_folder_that_may_not_be_read_is_one_actors_trouble(crowd: Tree, tmp_path: Path) -> None:
    crowd.library().sync()
    manifests = crowd.manifests()
    closed = tmp_path / "closed"
    closed.mkdir()
    shutil.move(crowd.folder(BAD).parent, closed / BAD)
    (crowd.root / "data/actors" / BAD).symlink_to(closed / BAD)
    with mode(closed, 0):
        ran = run(crowd.root, "sync", "--offline", "--json", privileged=False)
    assert ran.code == 1
    assert [(problem["actor"], problem["code"]) for problem in ran.problems] == [(BAD, "unreadable")]
    assert crowd.manifests() == manifests


@pytest.mark.parametrize("folder", ["data/actor_manifests", "data/.callsheet", "data/.callsheet/locks"])
def test_folders_that_may_not_be_written_to_are_told_and_nothing_is_lost(crowd: Tree, folder: str) -> None:
    crowd.library().sync()
    response = crowd.response(BAD, [crowd.object(BAD, "new.png")])
    leavings = crowd.root / "data/actor_manifests/.callsheet-0badcafe.tmp"
    leavings.write_text("half a manifest")
    os.utime(leavings, (SETTLED_S, SETTLED_S))
    manifests = crowd.manifests()
    before = response.read_bytes()
    (crowd.root / "data/.callsheet/locks/0005.lock").unlink(missing_ok=True)
    with mode(crowd.root / folder, 0o555), mode(crowd.root / "data/.callsheet/hashed", 0o755):
        ran = run(crowd.root, "sync", "--offline", "--json", privileged=False)
    leavings.unlink(missing_ok=True)
    manifests.pop(leavings.name)
    if folder == "data/.callsheet":  # its folders are there and open: only the trash, which is new, cannot be made
        assert [(problem["actor"], "trash" in problem["message"]) for problem in ran.problems] == [(BAD, True)]
    else:
        assert [problem["actor"] for problem in ran.problems] == [BAD]
        assert crowd.manifests() == manifests
    assert ran.code == 1
    assert "ermission" in ran.problems[0]["message"]
    assert re.search("can be written to|run again", ran.problems[0]["message"])
    assert response.read_bytes() == before
    assert crowd.library().sync().problems == ()
    assert crowd.statuses("0005")["new.png"] == "s3_only"


# --- Names --------------------------------------------------------------------------------------------------------------------

BAD_NAMES = {
    "not UTF-8": b"\xff\xfe",
    "half a character": "é".encode()[:1],
    "a line break": b"a\nb",
    "a carriage return": b"a\rb",
    "an escape": OSC.encode(),
    "a coloured one": b"\x1b[31mred",
    "a C1 control": "\u009b31m".encode(),
    "delete": b"a\x7f",
    "a backslash": b"a\\..\\b",
}


def make(folder: Path, name: bytes, content: bytes = b"x") -> bytes:
    path = os.fsencode(folder) + b"/" + name
    with open(path, "wb") as file:
        file.write(content)
    return path


@pytest.mark.parametrize("case", BAD_NAMES)
def test_a_file_whose_name_cannot_be_recorded_is_told_and_left(crowd: Tree, case: str) -> None:
    path = make(crowd.folder(BAD), BAD_NAMES[case] + b".png")
    report = crowd.library().sync()
    problem = only_problem(report)
    assert (problem.actor, problem.code) == (BAD, "bad_name")
    assert problem.filename.isprintable()
    assert problem.filename.isascii()
    assert "rename the file" in problem.message
    assert crowd.statuses("0005") == BAD_STATUSES
    assert os.path.exists(path)
    others_are_done(crowd, report)
    manifests = crowd.manifests()
    assert only_problem(crowd.library().sync()) == problem
    assert crowd.manifests() == manifests


@pytest.mark.parametrize("case", BAD_NAMES)
def test_an_actor_whose_name_cannot_be_recorded_is_told_and_left(crowd: Tree, case: str) -> None:
    folder = os.fsencode(crowd.root / "data/actors") + b"/0006_" + BAD_NAMES[case]
    os.makedirs(folder + b"/training_data")
    with open(folder + b"/training_data/response.json", "wb") as file:
        file.write(b"{}")
    report = crowd.library().sync()
    problem = only_problem(report)
    assert problem.code == "bad_name"
    assert problem.actor.startswith("0006_")
    assert problem.actor.isprintable()
    assert problem.actor.isascii()
    assert "rename it" in problem.message
    assert os.listdir(folder + b"/training_data") == [b"response.json"]
    assert not crowd.manifest_path("0006").exists()
    others_are_done(crowd, report)


def test_no_name_on_disk_reaches_the_terminal_raw(crowd: Tree) -> None:
    for name in BAD_NAMES.values():
        make(crowd.folder(BAD), name + b".png")
        os.makedirs(os.fsencode(crowd.root / "data/actors") + b"/0006_" + name)
    for verb in (("sync", "--offline"), ("status",)):
        ran = run(crowd.root, *verb)
        assert (ran.code, len(ran.told)) == (1, 2 * len(BAD_NAMES))
        document = run(crowd.root, *verb, "--json")
        assert len(document.problems) == 2 * len(BAD_NAMES)
        assert all(text.isprintable() for problem in document.problems for text in problem.values())


def test_no_key_in_a_bucket_reaches_the_terminal_raw(crowd: Tree, tmp_path: Path) -> None:
    store = DirectoryRemote(str(tmp_path / "buckets"), crowd.where.region)
    (tmp_path / "buckets" / crowd.where.bucket).mkdir(parents=True)
    on_disk = Tree(crowd.root, remote=store)
    names = [name.decode() for name in BAD_NAMES.values() if b"\xff" not in name and name != b"\xc3"]
    for name in names:
        on_disk.object(BAD, f"{name}.png")
        on_disk.object(f"0007_{name}", "a.png")
    on_disk.object("0008_ghost", "a.png")
    for flags in ((), ("--json",)):
        ran = run(crowd.root, "--remote", f"file://{tmp_path}/buckets", "sync", *flags)
        assert ran.code == 1
    bad_keys = [problem for problem in ran.problems if problem["actor"] == BAD]
    assert [problem["code"] for problem in bad_keys] == ["bad_name"] * len(names)
    assert all("copy it to another name" in problem["message"] for problem in bad_keys)
    assert crowd.statuses("0008") == {"a.png": "s3_only"}
    assert not crowd.manifest_path("0007").exists()


@pytest.mark.parametrize("case", [case for case, name in BAD_NAMES.items() if name.isascii() or b"\xc2" in name])
def test_a_key_whose_name_cannot_be_recorded_is_told_and_left(crowd: Tree, case: str) -> None:
    crowd.object(BAD, f"{BAD_NAMES[case].decode()}.png")
    report = crowd.library().sync()
    problem = only_problem(report)
    assert (problem.actor, problem.code) == (BAD, "bad_name")
    assert problem.filename.isprintable()
    assert crowd.statuses("0005") == BAD_STATUSES
    others_are_done(crowd, report)


def test_keys_that_are_no_names_lead_nowhere(crowd: Tree) -> None:
    before = set(crowd.root.parent.rglob("*"))
    prefix = crowd.where.key_prefix()
    for key in ("../0005_bad/evil.png", "0005_bad/../evil.png", "0005_bad//evil.png", "0005_bad/./evil.png", "/evil.png",
                "../../../evil.png", "0006_/../evil.png", "..", "0006_evil/..", "0006_evil/x/../../evil.png"):  # fmt: skip
        crowd.object(BAD, "", b"evil", at=Location(crowd.where.bucket, prefix + key))
    report = crowd.library().sync()
    assert report.problems == ()
    assert crowd.statuses("0005") == BAD_STATUSES
    others_are_done(crowd, report)
    new = set(crowd.root.parent.rglob("*")) - before
    assert not [path for path in new if "evil" in path.name or not path.is_relative_to(crowd.root / "data")]


def test_the_longest_names_are_recorded_and_longer_keys_are_told(crowd: Tree) -> None:
    longest = "é" * 125 + "x.png"
    assert len(longest.encode()) == 255
    crowd.both(BAD, longest)
    crowd.object(BAD, "x" + longest)
    report = crowd.library().sync()
    problem = only_problem(report)
    assert (problem.actor, problem.code) == (BAD, "bad_name")
    assert "255 bytes" in problem.message
    assert crowd.statuses("0005") == {**BAD_STATUSES, longest: "synced"}
    others_are_done(crowd, report)


NFC, NFD = unicodedata.normalize("NFC", "é.png"), unicodedata.normalize("NFD", "é.png")


@pytest.mark.parametrize(("one", "other"), [(NFC, NFD), ("a.png", "A.PNG"), ("ß.png", "SS.png")])
@pytest.mark.parametrize("where", ["both here", "both in S3", "one on each side"])
def test_twin_names_are_two_images_and_told(crowd: Tree, one: str, other: str, where: str) -> None:
    (crowd.object if where == "both in S3" else crowd.image)(BAD, one, b"one")
    (crowd.image if where == "both here" else crowd.object)(BAD, other, b"other")
    report = crowd.library().sync()
    problem = only_problem(report)
    assert (problem.actor, problem.code) == (BAD, "twin_names")
    assert ascii(one) in problem.message
    assert ascii(other) in problem.message
    assert "rename one" in problem.message
    rows = {row["filename"]: row for row in crowd.read_manifest("0005")["training_data"]}
    assert {one, other} < rows.keys()
    others_are_done(crowd, report)
    manifests = crowd.manifests()
    assert only_problem(crowd.library().sync()) == problem
    assert crowd.manifests() == manifests


@pytest.mark.parametrize(("one", "other"), [(NFC[:1], NFD[:2]), ("anna", "Anna")])
@pytest.mark.parametrize("prefix", ["0006_", ""])
@pytest.mark.parametrize("where", ["here", "in S3"])
def test_twin_actors_are_two_and_told(crowd: Tree, prefix: str, one: str, other: str, where: str) -> None:
    if where == "in S3" and not prefix:
        prefix = "0006_"  # a folder without a number, that is in S3 only, is no actor
    for number, name in enumerate((prefix + one, prefix + other)):
        (crowd.image if where == "here" else crowd.object)(name, f"{number}.png")
    report = crowd.library().sync()
    codes = {problem.code for problem in report.problems}
    assert ("collision" if prefix else "twin_names") in codes
    assert codes <= {"collision", "twin_names"}
    told = " ".join(f"{problem.actor!a} {problem.message!a} {problem.message}" for problem in report.problems)
    assert ascii(prefix + one).strip("'") in told
    assert ascii(prefix + other).strip("'") in told
    others_are_done(crowd, report)
    for row in report.actors:
        if row.actor.name in (prefix + one, prefix + other):
            assert row.counts.total == 1


# --- Links, and things that are no files ------------------------------------------------------------------------------------


def test_a_link_that_stays_inside_the_actors_folder_is_an_image(crowd: Tree) -> None:
    originals = crowd.folder(BAD).parent / "originals"
    originals.mkdir()
    (originals / "a.png").write_bytes(b"original")
    (crowd.folder(BAD) / "a.png").symlink_to("../originals/a.png")
    report = crowd.library().sync()
    assert report.problems == ()
    row = next(row for row in crowd.read_manifest("0005")["training_data"] if row["filename"] == "a.png")
    assert (row["status"], row["size_bytes"]) == ("local_only", 8)


@pytest.mark.parametrize("target", ["file", "folder", "another actor's file", "/dev/zero", "/etc/passwd"])
def test_a_link_that_leaves_the_actors_folder_is_not_followed(crowd: Tree, tmp_path: Path, target: str) -> None:
    outside = {
        "file": tmp_path / "outside.png",
        "folder": tmp_path,
        "another actor's file": crowd.folder(GOOD[0]) / "here.png",
    }.get(target, Path(target))
    if target == "file":
        outside.write_bytes(b"outside")
    (crowd.folder(BAD) / "link.png").symlink_to(outside)
    report = crowd.library().sync()
    problem = only_problem(report)
    assert (problem.actor, problem.filename, problem.code) == (BAD, "link.png", "symlink")
    assert "copy the file here" in problem.message
    assert crowd.statuses("0005") == BAD_STATUSES
    others_are_done(crowd, report)


def test_a_training_data_that_leads_out_of_the_actors_folder_is_not_followed(crowd: Tree, tmp_path: Path) -> None:
    crowd.library().sync()
    response = crowd.response(BAD, [crowd.object(BAD, "new.png")])
    outside = tmp_path / "outside"
    shutil.move(crowd.folder(BAD), outside)
    (crowd.root / "data/actors" / BAD / "training_data").symlink_to(outside)
    (outside / "stranger.png").write_bytes(b"stranger")
    before = sorted(os.listdir(outside))
    report = crowd.library().sync()
    problem = only_problem(report)
    assert (problem.actor, problem.code) == (BAD, "unreadable")
    assert "symlink that leaves the actor's folder" in problem.message
    assert sorted(os.listdir(outside)) == before
    assert response.name in before
    assert crowd.trash() == []
    assert crowd.statuses("0005") == BAD_STATUSES
    others_are_done(crowd, report)


def test_a_training_data_that_is_a_link_inside_the_actors_folder_is_followed(crowd: Tree) -> None:
    folder = crowd.folder(BAD)
    folder.rename(folder.with_name("version_2"))
    folder.symlink_to("version_2")
    assert crowd.library().sync().problems == ()
    assert crowd.statuses("0005") == BAD_STATUSES


def test_an_actor_on_another_disk_is_an_actor_like_any_other(crowd: Tree, tmp_path: Path) -> None:
    folder = crowd.folder(BAD).parent
    shutil.move(folder, tmp_path / "other_disk")
    folder.symlink_to(tmp_path / "other_disk")
    assert crowd.library().sync().problems == ()
    assert crowd.statuses("0005") == BAD_STATUSES


def test_a_fifo_that_is_named_like_an_image_does_not_hang_the_run(crowd: Tree) -> None:
    os.mkfifo(crowd.folder(BAD) / "pipe.png")
    ran = run(crowd.root, "sync", "--offline", "--verify", "--json")
    assert ran.code == 1
    assert [(problem["actor"], problem["filename"], problem["code"]) for problem in ran.problems] == [
        (BAD, "pipe.png", "not_a_file")
    ]
    assert "move it away" in ran.problems[0]["message"]
    assert ran.seconds < 10


def test_a_folder_that_is_named_like_an_image_is_none(crowd: Tree) -> None:
    (crowd.folder(BAD) / "folder.png").mkdir()
    (crowd.folder(BAD) / "folder.png" / "a.png").write_bytes(b"deep")
    report = crowd.library().sync()
    assert report.problems == ()
    assert crowd.statuses("0005") == BAD_STATUSES


def test_a_link_to_a_folder_inside_that_is_named_like_an_image_does_not_end_the_run(crowd: Tree) -> None:
    (crowd.folder(BAD) / "folder.png").symlink_to(".")
    report = crowd.library().sync()
    assert {(problem.actor, problem.filename) for problem in report.problems} <= {(BAD, "folder.png")}
    assert crowd.statuses("0005") == BAD_STATUSES
    others_are_done(crowd, report)


# --- Bytes that change ------------------------------------------------------------------------------------------------------


@pytest.fixture
def restless(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Filenames that seem to change each time they are hashed."""
    names: list[str] = []
    hash_once = hashing._hash_once

    def hashed(paths: list[str]) -> list[tuple[int, int, int, str]]:
        outcomes = hash_once(paths)
        return [
            (hashing.CHANGED, 0, 0, "") if os.path.basename(path) in names else outcome
            for path, outcome in zip(paths, outcomes, strict=True)
        ]

    monkeypatch.setattr(hashing, "_hash_once", hashed)
    return names


def test_a_file_that_changes_while_it_is_hashed_keeps_its_entry(crowd: Tree, restless: list[str]) -> None:
    crowd.library().sync()
    manifests = crowd.manifests()
    crowd.image(BAD, "both.png", b"half of a new picture", mtime_s=SETTLED_S + 60)
    restless.append("both.png")
    for _ in range(2):
        report = crowd.library().sync()
        problem = only_problem(report)
        assert (problem.actor, problem.filename, problem.code) == (BAD, "both.png", "changing")
        assert "Wait until it is written, then run again" in problem.message
        assert crowd.manifests() == manifests
        others_are_done(crowd, report)
    restless.clear()
    assert crowd.library().sync().problems == ()
    assert crowd.statuses("0005") == {**BAD_STATUSES, "both.png": "out_of_sync"}


def test_a_new_file_that_changes_while_it_is_hashed_is_recorded_when_it_stands_still(
    crowd: Tree, restless: list[str]
) -> None:
    crowd.both(BAD, "new.png")
    response = crowd.response(BAD, [crowd.url(BAD, "new.png")])
    restless.append("new.png")
    report = crowd.library().sync()
    assert ("new.png", "changing") in {(problem.filename, problem.code) for problem in report.problems}
    assert "new.png" not in crowd.statuses("0005")
    assert response.exists()
    restless.clear()
    assert crowd.library().sync().problems == ()
    assert crowd.statuses("0005") == {**BAD_STATUSES, "new.png": "synced"}
    assert not response.exists()


def rot(path: Path, content: bytes) -> None:
    """Other bytes under the same size and mtime."""
    status = path.stat()
    assert len(content) == status.st_size
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_a_file_that_rotted_is_told_by_verify_and_by_every_sync_until_it_is_restored(crowd: Tree) -> None:
    crowd.library().sync()
    path = crowd.folder(BAD) / "both.png"
    sound = path.read_bytes()
    rot(path, b"b0th.png")
    problem = only_problem(crowd.library().sync(verify=True))
    assert (problem.actor, problem.filename, problem.code) == (BAD, "both.png", "corrupt")
    assert "restore it" in problem.message
    assert crowd.statuses("0005")["both.png"] == "out_of_sync"
    manifests = crowd.manifests()
    for option in ("", "offline", "verify", "dry_run", ""):
        report = synced_with(crowd, option)
        assert only_problem(report) == problem
        others_are_done(crowd, report)
        assert crowd.manifests() == manifests
    assert only_problem(crowd.library().status()) == problem
    rot(path, sound)
    report = crowd.library().sync()
    assert report.problems == ()
    assert crowd.statuses("0005") == BAD_STATUSES
    assert "expected_md5" not in json.dumps(crowd.read_manifest("0005"))


def test_a_rotten_file_that_is_restored_with_a_new_time_is_sound_again(crowd: Tree) -> None:
    crowd.library().sync()
    path = crowd.folder(BAD) / "here.png"
    sound = path.read_bytes()
    rot(path, b"h3re.png")
    assert only_problem(crowd.library().sync(verify=True)).code == "corrupt"
    rot(path, b"he7e.png")
    assert only_problem(crowd.library().sync(verify=True)).code == "corrupt"
    crowd.image(BAD, "here.png", sound, mtime_s=SETTLED_S + 60)
    assert crowd.library().sync().problems == ()
    assert crowd.statuses("0005") == BAD_STATUSES


def test_a_change_that_was_meant_is_no_rot(crowd: Tree) -> None:
    crowd.library().sync()
    crowd.image(BAD, "both.png", b"b0th.png", mtime_s=SETTLED_S + 1)
    report = crowd.library().sync(verify=True)
    assert report.problems == ()
    assert crowd.statuses("0005")["both.png"] == "out_of_sync"
