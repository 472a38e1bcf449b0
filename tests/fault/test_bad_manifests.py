"""Manifests and legacy files that are not what they must be: told by name and place, left alone, and nobody else's trouble."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from callsheet import files, store
from callsheet.errors import Collision, UnknownActor
from callsheet.model import Problem
from callsheet.report import Report
from command import run
from factory import Tree

BAD = "0005_bad"
GOOD = ("0001_good", "0009_fine")


@pytest.fixture
def crowd(tree: Tree) -> Tree:
    """Two sound actors, one before and one after the bad one, which has an image on both sides and a `response.json`."""
    for actor in GOOD:
        tree.image(actor, "here.png")
        tree.both(actor, "both.png")
    tree.response(BAD, [tree.both(BAD, "a.png")])
    return tree


def others_are_done(tree: Tree, report: Report) -> None:
    assert {row.actor.name for row in report.actors} >= set(GOOD)
    for actor in GOOD:
        assert tree.statuses(actor[:4]) == {"both.png": "synced", "here.png": "local_only"}


def only_problem(report: Report) -> Problem:
    assert len(report.problems) == 1, report.problems
    return report.problems[0]


def snapshot(path: Path) -> tuple[bytes, int]:
    return path.read_bytes(), path.stat().st_mtime_ns


def entry(**more: Any) -> dict[str, Any]:
    return {
        "filename": "a.png",
        "local_path": "data/actors/0005_bad/training_data/a.png",
        "status": "local_only",
    } | more


def manifest(*entries: Any, **more: Any) -> bytes:
    return json.dumps({"character_id": "0005", "character_name": BAD, "training_data": list(entries)} | more).encode()


SOUND = manifest(entry())

# What is in the file, and the place that the problem must name.
UNSOUND: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "JSON"),
    "white space": (b" \n", "JSON"),
    "truncated": (SOUND[: len(SOUND) // 2], "JSON"),
    "zeros after a power cut": (bytes(4096), "JSON"),
    "half old half zeros": (SOUND[:40] + bytes(200), "JSON"),
    "two documents": (SOUND + SOUND, "JSON"),
    "NaN": (SOUND.replace(b'"local_only"', b"NaN"), "JSON"),
    "infinite": (SOUND.replace(b'"local_only"', b"-Infinity"), "JSON"),
    "beyond all floats": (SOUND.replace(b'"local_only"', b"1e999"), "JSON"),
    "comment": (b"// mine\n" + SOUND, "JSON"),
    "merge conflict": (b"<<<<<<< HEAD\n" + SOUND + b"=======\n" + SOUND + b">>>>>>> main\n", "JSON"),
    "byte order mark": (b"\xef\xbb\xbf" + SOUND, "JSON"),
    "UTF-16": (SOUND.decode().encode("utf-16"), "JSON"),
    "Latin-1": (SOUND.replace(b"local_only", b"caf\xe9"), "JSON"),
    "lone surrogate": (SOUND.replace(b"local_only", b"\\ud800"), "JSON"),
    "control character": (SOUND.replace(b"local_only", b"\x1b]0;owned\x07"), "JSON"),
    "key twice": (SOUND.replace(b'"filename"', b'"filename": "b.png", "filename"'), "'filename' occurs twice"),
    "foreign key twice": (SOUND.replace(b"{", b'{"x": 1, "x": 2, ', 1), "'x' occurs twice"),
    "100,000 deep": (b"[" * 100_000 + b"]" * 100_000, "JSON"),
    "100,000 deep inside": (SOUND[:-1] + b', "x": ' + b'{"x":' * 100_000 + b"1" + b"}" * 100_001, "JSON"),
    "list": (b"[]", "the document"),
    "string": (b'"manifest"', "the document"),
    "null": (b"null", "the document"),
    "entries in an object": (manifest(training_data={"a.png": {}}), "training_data"),
    "entries in a string": (manifest(training_data="a.png"), "training_data"),
    "entry is a string": (manifest(entry(), "b.png"), "training_data[1]"),
    "entry is null": (manifest(None), "training_data[0]"),
    "missing is a string": (manifest(training_data_missing="a.png"), "training_data_missing"),
    "missing and there": (manifest(entry(), training_data_missing=[entry()]), "training_data_missing[0]"),
    "twice": (manifest(entry(), entry(), entry(filename="b.png")), "training_data[1]"),
    "no filename": (manifest({"local_path": "x"}), "training_data[0].filename"),
    "filename is a number": (manifest(entry(filename=7)), "training_data[0].filename"),
    "filename leads out": (manifest(entry(filename="../../a.png")), "training_data[0].filename"),
    "filename is absolute": (manifest(entry(filename="/etc/a.png")), "training_data[0].filename"),
    "filename is dots": (manifest(entry(filename="..")), "training_data[0].filename"),
    "filename is empty": (manifest(entry(filename="")), "training_data[0].filename"),
    "filename has NUL": (manifest(entry(filename="a\0.png")), "training_data[0].filename"),
    "filename has ESC": (manifest(entry(filename="\x1b]0;owned\x07.png")), "training_data[0].filename"),
    "filename is too long": (manifest(entry(filename="a" * 256)), "training_data[0].filename"),
    "status is a number": (manifest(entry(status=1)), "training_data[0].status"),
    "status is a list": (manifest(entry(status=["synced"])), "training_data[0].status"),
    "size is a string": (manifest(entry(size_bytes="5")), "training_data[0].size_bytes"),
    "size is true": (manifest(entry(size_bytes=True)), "training_data[0].size_bytes"),
    "size is a float": (manifest(entry(size_bytes=5.5)), "training_data[0].size_bytes"),
    "size is beyond all numbers": (manifest(entry(size_bytes=10**400)), "JSON"),
    "time is a string": (manifest(entry(modified_timestamp="now")), "training_data[0].modified_timestamp"),
    "time is no time": (manifest(entry(modified_timestamp=1e300)), "training_data[0].modified_timestamp"),
    "time is a huge integer": (manifest(entry(modified_timestamp=10**300)), "training_data[0].modified_timestamp"),
    "MD5 is a number": (manifest(entry(md5_hash=7)), "training_data[0].md5_hash"),
    "URL is a number": (manifest(entry(s3_url=7)), "training_data[0].s3_url"),
    "URL is an object": (manifest(entry(s3_url={"url": "x"})), "training_data[0].s3_url"),
    "good is a word": (manifest(entry(good="yes")), "training_data[0].good"),
    "prompt is a list": (manifest(entry(prompt=["a"])), "training_data[0].prompt"),
    "checked at no time": (manifest(entry(checked_at="yesterday")), "training_data[0].checked_at"),
    "checked before all time": (manifest(entry(checked_at="0001-01-01T00:00:00+14:00")), "training_data[0].checked_at"),
    "s3 is a string": (manifest(entry(s3="etag")), "training_data[0].s3"),
    "s3 lacks the rest": (manifest(entry(s3={"etag": "x"})), "training_data[0].s3"),
    "modified after all time": (
        manifest(entry(s3={"etag": "x", "size_bytes": 1, "last_modified": "9999-12-31T23:59:59-14:00"})),
        "training_data[0].s3.last_modified",
    ),
    "other URLs are a string": (manifest(entry(alternate_s3_urls="x")), "training_data[0].alternate_s3_urls"),
    "other URL is a number": (manifest(entry(alternate_s3_urls=[7])), "training_data[0].alternate_s3_urls"),
    "statistics are a list": (manifest(entry(), statistics=[]), "statistics"),
    "name is a number": (manifest(entry(), character_name=5), "character_name"),
    "name leads out": (manifest(entry(), character_name="../0005_bad"), "character_name"),
    "name has ESC": (manifest(entry(), character_name="\x1b]0;owned\x07"), "character_name"),
}


@pytest.mark.parametrize("case", UNSOUND)
def test_an_unsound_manifest_is_told_with_its_place_and_left_as_it_is(crowd: Tree, case: str) -> None:
    content, place = UNSOUND[case]
    path = crowd.write_manifest("0005", content)
    response = crowd.folder(BAD) / "response.json"
    before = snapshot(path), snapshot(response)
    for _ in range(2):
        report = crowd.library().sync()
        problem = only_problem(report)
        assert (problem.actor, problem.code) == (BAD, "manifest")
        assert "data/actor_manifests/0005_manifest.json" in problem.message
        assert place in problem.message
        assert "Mend or restore the file, then run sync again" in problem.message
        assert problem.message.isprintable()
        assert (snapshot(path), snapshot(response)) == before
        others_are_done(crowd, report)
        assert crowd.trash() == []
    assert [(told.actor, told.code) for told in crowd.library().status().problems] == [(BAD, "manifest")]


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "yesterday", 7, [], {}])
def test_a_manifest_whose_own_date_is_none_is_written_anew(crowd: Tree, moment: object) -> None:
    crowd.write_manifest("0005", manifest(entry(), training_data_updated=moment))
    report = crowd.library().sync()
    assert report.problems == ()
    assert crowd.statuses("0005") == {"a.png": "synced"}
    others_are_done(crowd, report)


@pytest.mark.parametrize("depth", [200, 400, 800, 950, 960, 970, 980, 990, 1000])
def test_deep_but_sound_json_is_kept_or_told_and_never_ends_the_run(crowd: Tree, depth: int) -> None:
    nested = json.dumps({"character_name": BAD, "training_data": [], "foreign": 1}).replace(
        "1}", "[" * depth + "]" * depth + "}"
    )
    path = crowd.write_manifest("0005", nested.encode())
    report = crowd.library().sync()
    others_are_done(crowd, report)
    kept = path.read_bytes().replace(b" ", b"").replace(b"\n", b"")
    assert b"[" * depth + b"]" * depth in kept
    if report.problems:
        assert (only_problem(report).actor, only_problem(report).code) == (BAD, "manifest")
        assert path.read_text() == nested
    else:
        assert [row.counts.synced for row in report.actors if row.actor.name == BAD] == [1]


@pytest.mark.parametrize("depth", [400, 900, 1000, 100_000])
@pytest.mark.parametrize("name", ["response.json", "training_response.json", "manifest.json", "prompt_metadata.json"])
def test_deep_legacy_json_is_read_or_told_and_never_ends_the_run(crowd: Tree, name: str, depth: int) -> None:
    url = crowd.url(BAD, "deep.png")
    path = crowd.legacy(BAD, name, b'{"x":' * depth + json.dumps(url).encode() + b"}" * depth)
    before = snapshot(path)
    report = crowd.library().sync()
    others_are_done(crowd, report)
    if report.problems:
        assert {(told.actor, told.filename) for told in report.problems} == {(BAD, name)}
        assert snapshot(path) == before
    else:
        assert url in crowd.manifest_path("0005").read_text()


def test_a_bad_manifest_that_no_folder_has_is_told_too(crowd: Tree) -> None:
    path = crowd.write_manifest("0077", b"{")
    before = snapshot(path)
    report = crowd.library().sync()
    problem = only_problem(report)
    assert (problem.actor, problem.code) == ("0077", "manifest")
    assert "Mend or restore" in problem.message
    assert snapshot(path) == before
    others_are_done(crowd, report)


def test_a_manifest_that_names_nobody_and_has_no_folder_is_told_and_kept(crowd: Tree) -> None:
    path = crowd.write_manifest("0077", b'{"training_data": [], "metadata": {"age": 16}}')
    before = snapshot(path)
    problem = only_problem(crowd.library().sync())
    assert (problem.actor, problem.code) == ("0077", "no_folder")
    assert "set character_name" in problem.message
    assert snapshot(path) == before


@pytest.mark.parametrize("content", [b"{", b"{}", b'{"character_name": "0042_%d"}'])
def test_manifests_whose_names_cannot_be_printed_do_not_reach_the_terminal(crowd: Tree, content: bytes) -> None:
    folder = os.fsencode(crowd.root / "data/actor_manifests")
    os.makedirs(folder)
    for number, name in enumerate((b"\xff", b"\x1b]0;owned\x07", b"a\nb", "\u009b31m".encode())):
        with open(folder + b"/" + name + b"_manifest.json", "wb") as file:
            file.write(content % number if b"%d" in content else content)
    for verb in (("sync", "--offline"), ("status",)):
        ran = run(crowd.root, *verb)
        assert (ran.code, len(ran.told)) == ((0, 0) if b"%d" in content else (1, 4)), ran
        document = run(crowd.root, *verb, "--json").document
        assert {row["actor_name"] for row in document["by_actor"]} >= set(GOOD)
        assert all(problem["message"].isprintable() for problem in document["problems"])


def test_the_command_line_ends_with_1_and_tells_the_bad_manifest_on_one_line(crowd: Tree) -> None:
    crowd.write_manifest("0005", b"{]")
    for verb in (("sync", "--offline"), ("status",)):
        ran = run(crowd.root, *verb)
        assert ran.code == 1
        assert len(ran.told) == 1
        assert ran.told[0].startswith(f"{BAD}: data/actor_manifests/0005_manifest.json is not sound JSON")
        assert "Mend or restore" in ran.told[0]
        assert "1 problem\n" in ran.err
        assert "1 problem" not in ran.out
        document = run(crowd.root, *verb, "--json")
        assert document.code == 1
        assert [told["actor"] for told in document.problems] == [BAD]
        assert document.problems[0].keys() == {"actor", "filename", "code", "message"}
        assert [row["actor_name"] for row in document.document["by_actor"]] == list(GOOD)


def test_a_bad_manifest_that_is_named_on_the_command_line_is_told(crowd: Tree) -> None:
    path = crowd.write_manifest("0005", b"{]")
    before = snapshot(path)
    report = crowd.library().sync(("5",))
    assert only_problem(report).actor == BAD
    assert snapshot(path) == before


# --- response.json -------------------------------------------------------------------------------------------------------

NOT_JSON_OBJECTS: dict[str, bytes] = {
    "HTML": b"<!DOCTYPE html><html><body>502 Bad Gateway</body></html>",
    "empty": b"",
    "truncated": b'{"output": {"output": {"s3_image_urls": ["https://',
    "list": b'["https://story-boards-assets.s3.us-west-1.amazonaws.com/a.png"]',
    "string": b'"https://story-boards-assets.s3.us-west-1.amazonaws.com/a.png"',
    "null": b"null",
    "byte order mark": b'\xef\xbb\xbf{"output": null}',
    "UTF-16": '{"output": null}'.encode("utf-16"),
    "NaN": b'{"delayTime": NaN}',
    "key twice": b'{"s3_image_urls": ["https://a.png"], "s3_image_urls": []}',
    "zeros": bytes(512),
}
LEGACY = ("response.json", "training_response.json", "manifest.json", "prompt_metadata.json")


@pytest.mark.parametrize("name", LEGACY)
@pytest.mark.parametrize("case", NOT_JSON_OBJECTS)
def test_a_legacy_file_that_is_no_json_object_stays_and_the_actor_is_synced(crowd: Tree, name: str, case: str) -> None:
    (crowd.folder(BAD) / "response.json").unlink()
    path = crowd.legacy(BAD, name, NOT_JSON_OBJECTS[case])
    before = snapshot(path)
    report = crowd.library().sync()
    problem = only_problem(report)
    assert (problem.actor, problem.filename, problem.code) == (BAD, name, "manifest")
    assert f"data/actors/{BAD}/training_data/{name}" in problem.message
    assert "mend" in problem.message.lower(), problem.message
    assert snapshot(path) == before
    assert crowd.statuses("0005") == {"a.png": "synced"}
    others_are_done(crowd, report)
    manifests = crowd.manifests()
    assert only_problem(crowd.library().sync()) == problem
    assert crowd.manifests() == manifests


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"status": "FAILED", "error": "CUDA out of memory"}',
        b'{"output": {"output": {"error": "see https://docs.example.com/errors"}, "status": "FAILED"}}',
        b'{"output": null, "status": "IN_QUEUE"}',
        b'{"output": {"output": {"s3_image_urls": []}}}',
        b'{"output": {"output": {"s3_image_urls": null}}}',
        b'{"output": "s3_image_urls"}',
    ],
)
def test_an_error_body_without_urls_goes_to_the_trash(crowd: Tree, body: bytes) -> None:
    path = crowd.legacy(BAD, "response.json", body)
    report = crowd.library().sync()
    assert report.problems == ()
    assert report.response_json_deleted == 1
    assert not path.exists()
    assert [kept.read_bytes() for kept in crowd.trash()] == [body]
    others_are_done(crowd, report)


SECRET = "X-Amz-Signature=0123456789abcdef"
UNPLACEABLE = {
    "another host": "https://images.example.com/a/b.png",
    "no URL": "b.png",
    "empty": "",
    "no scheme": "//story-boards-assets.s3.amazonaws.com/b.png",
    "local file": "file:///data/b.png",
    "no key": "https://story-boards-assets.s3.us-west-1.amazonaws.com/",
    "no image": "https://story-boards-assets.s3.us-west-1.amazonaws.com/a/b.safetensors",
    "a folder": "https://story-boards-assets.s3.us-west-1.amazonaws.com/a/b.png/",
    "not UTF-8": "https://story-boards-assets.s3.us-west-1.amazonaws.com/a/%ff.png",
    "a line break": "https://story-boards-assets.s3.us-west-1.amazonaws.com/a/b%0Ac.png",
    "an escape": "https://story-boards-assets.s3.us-west-1.amazonaws.com/a/%1B]0;owned%07.png",
    "a raw escape": "https://images.example.com/\x1b]0;owned\x07.png",
    "a broken host": "https://[story-boards-assets/b.png",
    "a password": "https://user:secret@story-boards-assets.s3.us-west-1.amazonaws.com/b.png",
    "a look-alike": "https://story-boards-assets.s3.us-west-1.amazonaws.com.example.com/b.png",
    "too long a name": f"https://story-boards-assets.s3.us-west-1.amazonaws.com/{'a' * 252}.png",
    "a signature": f"https://images.example.com/b.png?{SECRET}",
}


@pytest.mark.parametrize("case", UNPLACEABLE)
def test_a_url_that_cannot_be_placed_keeps_response_json_until_it_is_mended(crowd: Tree, case: str) -> None:
    placeable = [crowd.object(BAD, "a.png"), crowd.object(BAD, "far.png")]
    path = crowd.response(BAD, [placeable[0], UNPLACEABLE[case], placeable[1]])
    before = snapshot(path)
    report = crowd.library().sync()
    problem = only_problem(report)
    assert (problem.actor, problem.filename, problem.code) == (BAD, "response.json", "unplaced_url")
    assert "1 of its URLs" in problem.message
    assert "mend or remove" in problem.message
    assert SECRET not in problem.message
    assert problem.message.isprintable()
    assert snapshot(path) == before
    assert crowd.statuses("0005") == {"a.png": "synced", "far.png": "s3_only"}
    others_are_done(crowd, report)
    manifests = crowd.manifests()
    assert only_problem(crowd.library().sync()) == problem
    assert crowd.manifests() == manifests

    crowd.response(BAD, placeable)
    assert crowd.library().sync().problems == ()
    assert not path.exists()
    assert crowd.manifests() == manifests


def test_a_presigned_url_is_recorded_without_its_signature(crowd: Tree) -> None:
    crowd.response(BAD, [f"{crowd.url(BAD, 'a.png')}?X-Amz-Credential=AKIA&{SECRET}"])
    assert crowd.library().sync().problems == ()
    assert SECRET not in crowd.manifest_path("0005").read_text()
    assert [row["s3_url"] for row in crowd.read_manifest("0005")["training_data"]] == [crowd.url(BAD, "a.png")]


def test_a_recorded_url_that_is_none_of_s3_is_kept_and_told_without_its_escapes(crowd: Tree) -> None:
    url = "https://cdn.example.com/\x1b]0;owned\x07\u009b31m/a.png"
    crowd.image(BAD, "far.png")
    crowd.write_manifest("0005", manifest(entry(filename="far.png", status="synced", s3_url=url)))
    for _ in range(2):
        report = crowd.library().sync()
        problem = only_problem(report)
        assert (problem.actor, problem.filename, problem.code) == (BAD, "far.png", "foreign_url")
        assert problem.message.isprintable()
    assert [row["s3_url"] for row in crowd.read_manifest("0005")["training_data"]] == [crowd.url(BAD, "a.png"), url]
    others_are_done(crowd, report)
    for verb in (("sync", "--offline"), ("status",)):
        assert run(crowd.root, *verb).code == 1
        assert run(crowd.root, *verb, "--json").problems[0]["code"] == "foreign_url"


@pytest.mark.parametrize("kind", ["fifo", "folder", "link out of the tree", "dangling link"])
def test_a_response_json_that_is_no_file_of_this_folder_stays(crowd: Tree, tmp_path: Path, kind: str) -> None:
    path = crowd.folder(BAD) / "response.json"
    outside = shutil.move(path, tmp_path / "elsewhere.json")
    before = snapshot(Path(outside))
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(outside if kind == "link out of the tree" else tmp_path / "nowhere.json")
    report = crowd.library().sync()
    if kind != "dangling link":
        assert {(told.actor, told.filename) for told in report.problems} == {(BAD, "response.json")}
    assert os.path.lexists(path)
    assert snapshot(Path(outside)) == before
    assert crowd.trash() == []
    assert crowd.statuses("0005") == {"a.png": "synced"}
    others_are_done(crowd, report)


def test_a_response_json_that_cannot_be_moved_is_told_and_its_actor_is_still_reported(crowd: Tree) -> None:
    trash = crowd.root / "data/.callsheet/trash"
    trash.parent.mkdir(parents=True)
    trash.write_text("in the way")
    path = crowd.folder(BAD) / "response.json"
    before = snapshot(path)
    report = crowd.library().sync()
    problem = only_problem(report)
    assert problem.actor == BAD
    assert "response.json" in problem.filename + problem.message
    assert "run again" in problem.message
    assert snapshot(path) == before
    assert crowd.statuses("0005") == {"a.png": "synced"}
    assert [(row.actor.name, row.manifest_updated, row.response_deleted) for row in report.actors] == [
        (GOOD[0], True, False),
        (BAD, True, False),
        (GOOD[1], True, False),
    ]
    trash.unlink()
    assert crowd.library().sync().response_json_deleted == 1


def test_a_response_json_that_is_written_to_while_it_is_migrated_stays(
    crowd: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = crowd.folder(BAD) / "response.json"
    urls = [crowd.url(BAD, "a.png"), crowd.url(BAD, "new.png")]
    flush = store.Store.flush

    def meddle(manifests: store.Store) -> None:
        """As the last that is done before the file goes."""
        crowd.response(BAD, urls)
        flush(manifests)

    monkeypatch.setattr(store.Store, "flush", meddle)
    report = crowd.library().sync()
    assert [(told.filename, told.code) for told in report.problems] == [("response.json", "changing")]
    assert path.exists()
    monkeypatch.undo()
    assert crowd.library().sync().response_json_deleted == 1
    document = crowd.read_manifest("0005")
    recorded = [*document["training_data"], *document["training_data_missing"]]
    assert {row["s3_url"] or row["alternate_s3_urls"][0] for row in recorded} == set(urls)


def test_a_response_json_whose_urls_are_not_in_the_manifest_that_is_read_back_stays(
    crowd: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that says that it has written, and has not."""
    path = crowd.folder(BAD) / "response.json"
    before = snapshot(path)
    monkeypatch.setattr(files, "write_atomically", lambda *_, **__: None)
    report = crowd.library().sync()
    assert [(told.filename, told.code) for told in report.problems] == [("response.json", "unplaced_url")]
    assert snapshot(path) == before
    monkeypatch.undo()
    assert crowd.library().sync().response_json_deleted == 1


# --- Two folders and one id ---------------------------------------------------------------------------------------------


def two_folders(tree: Tree, first: str, second: str) -> list[tuple[Path, tuple[bytes, int]]]:
    """Both have an image and a `response.json`; returned as they are now."""
    paths = [tree.response(actor, [tree.both(actor, f"{actor}.png")]) for actor in (first, second)]
    return [(path, snapshot(path)) for path in paths]


def test_two_folders_with_one_id_and_no_manifest_are_both_told_and_left_alone(crowd: Tree) -> None:
    responses = two_folders(crowd, "0007_anna", "0007_bert")
    report = crowd.library().sync()
    told = {problem.actor: problem for problem in report.problems}
    assert {actor: problem.code for actor, problem in told.items()} == {
        "0007_anna": "collision",
        "0007_bert": "collision",
    }
    for actor, rival in (("0007_anna", "0007_bert"), ("0007_bert", "0007_anna")):
        assert rival in told[actor].message
        assert f"callsheet adopt {actor}" in told[actor].message
    assert not crowd.manifest_path("0007").exists()
    assert [(path, snapshot(path)) for path, _ in responses] == responses
    others_are_done(crowd, report)

    adopted = crowd.library().adopt("0007_anna")
    assert adopted.stem == "0007"
    report = crowd.library().sync()
    assert [problem.actor for problem in report.problems] == ["0007_bert"]
    assert "callsheet adopt --own 0007_bert" in report.problems[0].message
    assert crowd.statuses("0007") == {"0007_anna.png": "synced"}
    crowd.library().adopt("0007_bert", own=True)
    assert crowd.library().sync().problems == ()
    assert crowd.statuses("0007_bert") == {"0007_bert.png": "synced"}
    assert crowd.statuses("0007") == {"0007_anna.png": "synced"}
    manifests = crowd.manifests()
    assert crowd.library().sync().problems == ()
    assert crowd.manifests() == manifests


def test_a_manifest_goes_on_for_the_folder_that_it_names_and_the_other_is_told(crowd: Tree) -> None:
    crowd.write_manifest("0007", b'{"character_name": "0007_anna", "lora_model": {"rank": 16}}')
    responses = two_folders(crowd, "0007_anna", "0007_bert")
    report = crowd.library().sync()
    problem = only_problem(report)
    assert (problem.actor, problem.code) == ("0007_bert", "collision")
    assert "0007_anna" in problem.message
    assert "callsheet adopt --own 0007_bert" in problem.message
    assert snapshot(responses[1][0]) == responses[1][1]
    assert crowd.statuses("0007") == {"0007_anna.png": "synced"}
    assert crowd.read_manifest("0007")["lora_model"] == {"rank": 16}
    others_are_done(crowd, report)


def test_a_manifest_that_names_another_folder_is_not_touched_until_adopt_settles_it(crowd: Tree) -> None:
    path = crowd.write_manifest("0005", manifest(entry(good=True), character_name="0005_old", metadata={"age": 16}))
    response = crowd.folder(BAD) / "response.json"
    before = snapshot(path), snapshot(response)
    report = crowd.library().sync()
    problem = only_problem(report)
    assert (problem.actor, problem.code) == (BAD, "collision")
    assert "0005_old" in problem.message
    assert f"callsheet adopt {BAD}" in problem.message
    assert f"callsheet adopt --own {BAD}" in problem.message
    assert (snapshot(path), snapshot(response)) == before
    others_are_done(crowd, report)

    crowd.library().adopt(BAD)
    assert crowd.library().sync().problems == ()
    document = crowd.read_manifest("0005")
    assert (document["character_name"], document["metadata"]) == (BAD, {"age": 16})
    assert [(row["filename"], row["status"], row["good"]) for row in document["training_data"]] == [
        ("a.png", "synced", True)
    ]


def test_adopt_own_leaves_the_manifest_of_the_number_alone(crowd: Tree) -> None:
    path = crowd.write_manifest("0005", manifest(entry(filename="old.png", good=True), character_name="0005_old"))
    before = snapshot(path)
    crowd.library().adopt(BAD, own=True)
    assert snapshot(path) == before
    report = crowd.library().sync()
    assert crowd.statuses(BAD) == {"a.png": "synced"}
    document = crowd.read_manifest("0005")
    assert [row["filename"] for row in document["training_data_missing"]] == ["old.png"]
    assert document["training_data_missing"][0]["good"] is True
    others_are_done(crowd, report)


def test_adopt_takes_no_manifest_from_a_folder_that_is_there(crowd: Tree) -> None:
    two_folders(crowd, "0007_anna", "0007_bert")
    path = crowd.write_manifest("0007", b'{"character_name": "0007_anna"}')
    before = snapshot(path)
    with pytest.raises(Collision, match="0007_anna, which is there") as caught:
        crowd.library().adopt("0007_bert")
    assert "callsheet adopt --own 0007_bert" in caught.value.hint
    ran = run(crowd.root, "adopt", "0007_bert")
    assert ran.code == 1
    assert "callsheet adopt --own 0007_bert" in ran.err
    assert ran.out == ""
    assert snapshot(path) == before


def test_adopt_takes_no_manifest_from_a_folder_whose_disk_is_not_mounted(crowd: Tree, tmp_path: Path) -> None:
    crowd.image("0007_bert", "a.png")
    (crowd.root / "data/actors/0007_anna").symlink_to(tmp_path / "unmounted")
    path = crowd.write_manifest("0007", b'{"character_name": "0007_anna"}')
    before = snapshot(path)
    with pytest.raises(Collision):
        crowd.library().adopt("0007_bert")
    assert snapshot(path) == before


def test_adopt_takes_no_manifest_of_its_own_from_another(crowd: Tree) -> None:
    path = crowd.write_manifest("0007_bert", b'{"character_name": "0007_anna"}')
    before = snapshot(path)
    with pytest.raises(Collision):
        crowd.library().adopt("0007_bert", own=True)
    assert snapshot(path) == before


@pytest.mark.parametrize("content", [b"", b"{", b"[]"])
def test_adopt_does_not_take_a_bad_manifest_for_an_empty_one(crowd: Tree, content: bytes) -> None:
    path = crowd.write_manifest("0005", content)
    before = snapshot(path)
    ran = run(crowd.root, "adopt", BAD)
    assert ran.code == 1
    assert "0005_manifest.json" in ran.err
    assert "Mend or restore" in ran.err
    assert snapshot(path) == before


@pytest.mark.parametrize("name", ["no_such_actor", "..", ".", "a\x1b]0;owned\x07", "", "/"])
def test_adopt_of_a_folder_that_is_not_there_makes_nothing(crowd: Tree, name: str) -> None:
    ran = run(crowd.root, "adopt", name)
    assert ran.code == 2
    assert ran.err.count("\n") == 2
    assert crowd.manifests() == {}


def test_adopt_names_the_folder_in_full_so_a_number_is_not_guessed(crowd: Tree) -> None:
    with pytest.raises(UnknownActor):
        crowd.library().adopt("5")


def test_a_collision_that_is_named_on_the_command_line_is_told_with_its_next_step(crowd: Tree) -> None:
    two_folders(crowd, "0007_anna", "0007_bert")
    ran = run(crowd.root, "sync", "--offline", "0007_bert")
    assert ran.code == 1
    assert "callsheet adopt 0007_bert" in ran.err
    for wanted in ("0007_bert", "0007", "7"):
        problem = run(crowd.root, "sync", "--offline", "--json", wanted, "0001").problems[-1]
        assert problem["code"] == "collision"
        assert "callsheet adopt 0007_bert" in problem["message"]


def test_two_manifests_that_name_one_folder_are_told_and_neither_is_changed(crowd: Tree) -> None:
    mine = crowd.write_manifest("0005", manifest(entry()))
    crowd.library().sync()
    other = crowd.write_manifest("0006", manifest(entry(good=True)))
    before = snapshot(mine), snapshot(other)
    report = crowd.library().sync()
    problem = only_problem(report)
    assert (problem.actor, problem.code) == ("0006", "collision")
    assert BAD in problem.message
    assert "move one of the two away" in problem.message
    assert (snapshot(mine), snapshot(other)) == before


# --- Manifests that cannot be written -----------------------------------------------------------------------------------


@pytest.mark.parametrize("flags", [(), ("--json",)])
def test_a_manifests_folder_that_is_a_file_ends_the_run_with_3(crowd: Tree, flags: tuple[str, ...]) -> None:
    path = crowd.root / "data/actor_manifests"
    path.write_text("in the way")
    for verb in ("sync", "status"):
        ran = run(crowd.root, verb, *flags)
        assert ran.code == 3
        assert str(path) in ran.err
        assert "run again" in ran.err
        assert len(ran.err.splitlines()) == 2
        if flags:
            assert ran.document.keys() == {"error", "message", "hint"}
    assert path.read_text() == "in the way"


def test_a_manifest_that_is_a_folder_is_told_and_the_others_are_done(crowd: Tree) -> None:
    crowd.manifest_path("0005").mkdir(parents=True)
    response = crowd.folder(BAD) / "response.json"
    before = snapshot(response)
    report = crowd.library().sync()
    problem = only_problem(report)
    assert problem.actor == BAD
    assert "0005_manifest.json is not a regular file" in problem.message
    assert "Move it away" in problem.message
    assert snapshot(response) == before
    others_are_done(crowd, report)


def test_a_manifest_that_is_a_fifo_does_not_hang_the_run(crowd: Tree) -> None:
    crowd.manifest_path("0005").parent.mkdir(parents=True)
    os.mkfifo(crowd.manifest_path("0005"))
    report = crowd.library().sync()
    assert "is not a regular file" in only_problem(report).message
    others_are_done(crowd, report)


@pytest.mark.parametrize("length", [242, 250, 255])
def test_an_actor_whose_name_is_too_long_for_a_manifest_is_told(crowd: Tree, length: int) -> None:
    name = "x" * length
    crowd.both(name, "a.png")
    response = crowd.response(name, [crowd.url(name, "a.png")])
    before = snapshot(response)
    for wanted in ((name,), ()):  # alone, while there is no folder for manifests yet, and then among others
        report = crowd.library().sync(wanted)
        problem = only_problem(report)
        assert problem.actor == name
        assert "too long" in problem.message
        assert "shorter name" in problem.message
        assert snapshot(response) == before
    others_are_done(crowd, report)


@pytest.mark.parametrize(("name", "stem"), [("0008_" + "x" * 250, "0008"), ("x" * 241, "x" * 241)])
def test_the_longest_names_are_actors_like_any_other(crowd: Tree, name: str, stem: str) -> None:
    crowd.both(name, "a.png")
    response = crowd.response(name, [crowd.url(name, "a.png")])
    report = crowd.library().sync()
    assert report.problems == ()
    assert crowd.statuses(stem) == {"a.png": "synced"}
    assert not response.exists()
    assert len(crowd.trash()) == 2


def test_a_state_folder_that_is_a_file_is_told_for_each_actor_and_loses_nothing(crowd: Tree) -> None:
    (crowd.root / "data/.callsheet").write_text("in the way")
    response = crowd.folder(BAD) / "response.json"
    before = snapshot(response)
    report = crowd.library().sync()
    assert {problem.actor for problem in report.problems} == {*GOOD, BAD}
    assert all("data/.callsheet" in problem.message for problem in report.problems)
    assert all("run again" in problem.message for problem in report.problems)
    assert snapshot(response) == before
    (crowd.root / "data/.callsheet").unlink()
    report = crowd.library().sync()
    assert report.problems == ()
    others_are_done(crowd, report)


def test_what_looks_like_our_leavings_but_cannot_be_removed_does_not_end_the_run(
    crowd: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    leavings = crowd.root / "data/actor_manifests/.callsheet-0badcafe.tmp"
    leavings.mkdir(parents=True)
    monkeypatch.setattr(files, "_STALE_S", -1.0)
    others_are_done(crowd, crowd.library().sync())


# --- A lock that somebody else holds --------------------------------------------------------------------------------------

HOLD = """\
import sys
from filelock import FileLock
with FileLock(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def locked(crowd: Tree, monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that holds the bad actor's lock; it lets go when its stdin is closed."""
    monkeypatch.setattr(store, "_LOCK_TIMEOUT_S", 0.2)
    path = crowd.root / crowd.where.lock("0005")
    path.parent.mkdir(parents=True)
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        yield holder


def test_a_lock_that_another_process_holds_is_told_and_waited_for_no_longer_than_said(
    crowd: Tree, locked: subprocess.Popen[bytes]
) -> None:
    response = crowd.folder(BAD) / "response.json"
    before = snapshot(response)
    report = crowd.library().sync()
    problem = only_problem(report)
    assert problem.actor == BAD
    assert "locks/0005.lock was locked" in problem.message
    assert "wait for that to end, then run again" in problem.message
    assert not crowd.manifest_path("0005").exists()
    assert snapshot(response) == before
    others_are_done(crowd, report)

    locked.communicate()
    report = crowd.library().sync()
    assert report.problems == ()
    assert crowd.statuses("0005") == {"a.png": "synced"}


def test_a_locked_actor_still_has_its_other_problems_told(crowd: Tree, locked: subprocess.Popen[bytes]) -> None:
    os.mkfifo(crowd.folder(BAD) / "pipe.png")
    report = crowd.library().sync()
    assert {problem.filename for problem in report.problems} == {"", "pipe.png"}
    others_are_done(crowd, report)


def test_a_run_that_writes_nothing_needs_no_lock(crowd: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    crowd.library().sync()
    monkeypatch.setattr(store, "_LOCK_TIMEOUT_S", 0.2)
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(crowd.root / crowd.where.lock("0005"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert crowd.library().sync().problems == ()
        assert crowd.library().status().problems == ()
        holder.communicate()
