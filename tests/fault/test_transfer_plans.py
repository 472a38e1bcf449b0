"""Plans that are old or edited: told with file and place; what changed since is left as it is, and nothing is lost."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from callsheet.codec import dump_json
from callsheet.planfile import plan_as_dict, read_plan
from callsheet.remote.directory import DirectoryRemote
from command import run_here
from factory import SETTLED_S, Tree
from kept import Witness, picture, settled
from scene import ANNA, BAD, BERT, IMAGES, KINDS, done, finishes, place, scene, state, verb_of

NEW = picture("somebody else's")

# --- Plans of yesterday ---------------------------------------------------------------------------------------------------------


def _edit_unnoticed(path: Path) -> None:
    status = path.stat()
    path.write_bytes(NEW[: status.st_size].ljust(status.st_size, b"!"))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


CHANGES: dict[str, Callable[[Tree], object]] = {
    "file edited": lambda tree: tree.image(ANNA, BAD, NEW, mtime_s=SETTLED_S + 99),
    "file edited unnoticed": lambda tree: _edit_unnoticed(place(tree)),
    "file deleted": lambda tree: place(tree).unlink(),
    "file appeared": lambda tree: tree.image(ANNA, BAD, NEW),
    "object replaced": lambda tree: tree.object(ANNA, BAD, NEW),
    "object deleted": lambda tree: tree.remote.delete(tree.where.location(ANNA, BAD)),
    "object appeared": lambda tree: tree.object(ANNA, BAD, NEW),
}
_EITHER_SIDE = {
    "file edited": "changing",
    "file edited unnoticed": "changing",
    "file deleted": "local",
    "object replaced": "object_changed",
    "object deleted": "no_such_object",
}
OLD_PLANS = {
    "push": {
        "file edited": "changing",
        "file edited unnoticed": "changing",
        "file deleted": "local",
        "object appeared": "object_changed",
    },
    "pull": {"file appeared": "local", "object replaced": "object_changed", "object deleted": "no_such_object"},
    "repair from S3": _EITHER_SIDE,
    "repair S3": _EITHER_SIDE,
    "evict": _EITHER_SIDE,
    "rm": _EITHER_SIDE,
}


@pytest.mark.parametrize(("kind", "change"), [(kind, change) for kind in KINDS for change in OLD_PLANS[kind]])
def test_a_plan_from_a_file_overwrites_nothing_that_changed_since(tree: Tree, kind: str, change: str) -> None:
    scene(tree, kind)
    raw = dump_json(plan_as_dict(tree.library().plan(verb_of(kind), [ANNA, BERT]).plan))
    if kind == "pull":
        tree.folder(ANNA)
    CHANGES[change](tree)
    here = place(tree).read_bytes() if place(tree).exists() else None
    witness = Witness(tree)
    result = tree.library().apply(read_plan(raw, "plan.json"))
    told = [problem for problem in result.report.problems if problem.code != "corrupt"]
    assert [(problem.actor, problem.filename) for problem in told] == [(ANNA, BAD)], told
    assert told[0].code == OLD_PLANS[kind][change]
    assert told[0].message.endswith("."), "it says what to do"
    done(tree, kind, (ANNA, BAD))
    witness.nothing_lost()
    assert (place(tree).read_bytes() if place(tree).exists() else None) == here, "the file is as it was"
    if kind == "repair S3" and change.startswith("file"):
        kept = [key for heap in tree.library().trash().heaps for key, _ in heap.in_s3]
        assert not [key for key in kept if key.endswith(f"{ANNA}/{BAD}")], "nothing is put away for nothing"
    location = tree.where.location(ANNA, BAD)
    if change in ("object replaced", "object appeared"):
        found = tree.remote.head(location)
        assert b"".join(tree.remote.read(location, if_match=found.etag).blocks) == NEW
    if change != "file edited unnoticed":
        settled(tree)


@pytest.mark.parametrize("kind", KINDS)
def test_a_plan_that_was_carried_out_already_does_no_harm(tree: Tree, kind: str) -> None:
    scene(tree, kind)
    plan = tree.library().plan(verb_of(kind), [ANNA, BERT]).plan
    witness = Witness(tree)
    assert not tree.library().apply(plan).report.problems
    manifests, state_of_things = tree.manifests(), witness.everything()
    again = tree.library().apply(plan)
    if kind != "push":  # whose objects are there, with the same bytes
        assert {(problem.actor, problem.filename) for problem in again.report.problems} == set(IMAGES)
    assert witness.everything() == state_of_things
    assert tree.manifests() == manifests
    done(tree, kind)
    settled(tree)
    witness.nothing_lost()


# --- Plans that were edited --------------------------------------------------------------------------------------------------------

Document = dict[str, Any]


def _set(*path: str | int) -> Callable[[Any], Callable[[Document], None]]:
    def to(value: Any) -> Callable[[Document], None]:
        def edit(document: Document) -> None:
            inner: Any = document
            for part in path[:-1]:
                inner = inner[part]
            if value is None:
                del inner[path[-1]]
            else:
                inner[path[-1]] = value

        return edit

    return to


def _first(key: str) -> Callable[[Any], Callable[[Document], None]]:
    return _set("actions", 0, key)


EDITS: dict[str, tuple[Callable[[Document], None], str]] = {
    "another version": (_set("callsheet_plan")(2), "is no plan of this version"),
    "no version": (_set("callsheet_plan")(None), "is no plan of this version"),
    "version as text": (_set("callsheet_plan")("1"), "is no plan of this version"),
    "no verb": (_set("verb")(None), "verb"),
    "unknown verb": (_set("verb")("destroy"), "verb"),
    "verb is a list": (_set("verb")(["rm"]), "verb"),
    "no actions": (_set("actions")(None), "actions"),
    "actions are an object": (_set("actions")({}), "actions"),
    "an action is text": (_set("actions", 0)("rm"), "actions[0]"),
    "unknown op": (_first("op")("delete"), "actions[0].op"),
    "op is an object": (_first("op")({}), "actions[0].op"),
    "actor leads up": (_first("actor")(".."), "actions[0].actor"),
    "actor is a path": (_first("actor")("../../etc"), "actions[0].actor"),
    "actor is absolute": (_first("actor")("/etc"), "actions[0].actor"),
    "actor is empty": (_first("actor")(""), "actions[0].actor"),
    "actor is hidden": (_first("actor")(".git"), "actions[0]"),
    "actor is a number": (_first("actor")(1), "actions[0].actor"),
    "actor has a NUL": (_first("actor")("a\0b"), "actions[0].actor"),
    "filename leads up": (_first("filename")("../x.png"), "actions[0].filename"),
    "filename is a windows path": (_first("filename")("..\\x.png"), "actions[0].filename"),
    "filename is no image": (_first("filename")("response.json"), "actions[0]"),
    "filename is hidden": (_first("filename")(".x.png"), "actions[0]"),
    "filename is too long": (_first("filename")("x" * 300 + ".png"), "actions[0].filename"),
    "no filename": (_first("filename")(None), "actions[0].filename"),
    "no bucket": (_first("bucket")(None), "actions[0].bucket"),
    "bucket is a path": (_first("bucket")("a/../b"), "actions[0]"),
    "bucket is a host": (_first("bucket")("evil.example:80/x"), "actions[0]"),
    "key is empty": (_first("key")(""), "actions[0]"),
    "key is a number": (_first("key")(3), "actions[0].key"),
    "reason is a list": (_first("reason")([]), "actions[0].reason"),
    "base is no MD5": (_first("base")("x"), "actions[0].base"),
    "size is text": (_set("actions", 0, "s3", "size_bytes")("9"), "actions[0].s3.size_bytes"),
    "size is negative": (_set("actions", 0, "s3", "size_bytes")(-1), "actions[0].s3.size_bytes"),
    "size is true": (_set("actions", 0, "s3", "size_bytes")(True), "actions[0].s3.size_bytes"),
    "no size": (_set("actions", 0, "s3", "size_bytes")(None), "actions[0].s3.size_bytes"),
    "no ETag": (_set("actions", 0, "s3", "etag")(None), "actions[0]"),
    "ETag has a line break": (_set("actions", 0, "s3", "etag")("x\r\nEvil: 1"), "actions[0].s3.etag"),
    "ETag is a number": (_set("actions", 0, "s3", "etag")(1), "actions[0].s3.etag"),
    "no MD5": (_set("actions", 0, "local", "md5")(None), "actions[0]"),
    "MD5 is short": (_set("actions", 0, "local", "md5")("abc"), "actions[0].local.md5"),
    "MD5 in capitals": (_set("actions", 0, "local", "md5")("A" * 32), "actions[0].local.md5"),
    "local is a list": (_first("local")([]), "actions[0].local"),
    "trashed without a run": (_first("trashed")({"size_bytes": 1}), "actions[0].trashed.run"),
    "hostile run": (_first("trashed")({"run": "../x", "size_bytes": 1}), "actions[0].trashed.run"),
    "hostile undoes": (_set("undoes")("../x"), "undoes"),
    "undoes a number": (_set("undoes")(7), "undoes"),
    "refusals are text": (_set("refusals")("no"), "refusals"),
    "marks are text": (_set("marks")("no"), "marks"),
}  # fmt: skip
RAW = {
    "empty": b"",
    "not JSON": b"push everything",
    "half": b'{"callsheet_plan": 1, "verb": "rm", "actions": [',
    "an array": b"[]",
    "not UTF-8": b'{"callsheet_plan": 1, "verb": "\xff"}',
    "a lone surrogate": b'{"callsheet_plan": 1, "verb": "rm", "actions": [], "undoes": "\\ud800"}',
    "absurdly deep": b'{"callsheet_plan": 1, "actions": ' + b"[" * 100_000,
    "twice the same key": b'{"callsheet_plan": 1, "callsheet_plan": 1, "verb": "rm", "actions": []}',
}


@pytest.fixture
def repairs(tmp_path: Path) -> tuple[Tree, Document]:
    """A tree whose S3 is a folder, so that the command line finds it, and the plan of a repair."""
    folder = tmp_path / "s3"
    folder.mkdir()
    tree = Tree(tmp_path / "project")
    for bucket in (tree.where.bucket, "storyboard-user-files"):
        (folder / bucket).mkdir()
    tree.remote = DirectoryRemote(str(folder), tree.where.region)
    (tree.root / "callsheet.toml").write_text(f'remote = "file://{folder}"\n')
    scene(tree, "repair from S3")
    return tree, plan_as_dict(tree.library().plan("repair").plan)


@pytest.mark.parametrize("case", [*EDITS, *RAW])
def test_an_edited_plan_is_refused_with_its_file_and_place_and_nothing_is_done(
    repairs: tuple[Tree, Document], capsys: pytest.CaptureFixture[str], case: str
) -> None:
    tree, document = repairs
    witness, manifests = Witness(tree), tree.manifests()
    before = witness.everything()
    path = tree.root / "plan.json"
    place_told = ""
    if case in EDITS:
        edit, place_told = EDITS[case]
        edited = copy.deepcopy(document)
        edit(edited)
        path.write_text(json.dumps(edited))
    else:
        path.write_bytes(RAW[case])
    ran = run_here(tree.root, "apply", str(path), "--yes", capsys=capsys)
    assert ran.code == 2, (ran.out, ran.err)
    assert str(path) in ran.err
    assert place_told in ran.err
    assert ran.out == ""
    assert witness.everything() == before
    assert tree.manifests() == manifests
    assert tree.trash() == []
    assert not state(tree, "runs").exists()


def test_the_plan_that_the_edits_start_from_is_sound(
    repairs: tuple[Tree, Document], capsys: pytest.CaptureFixture[str]
) -> None:
    tree, document = repairs
    witness, path = Witness(tree), tree.root / "plan.json"
    path.write_text(json.dumps(document))
    ran = run_here(tree.root, "apply", str(path), "--yes", capsys=capsys)
    assert ran.code == 0, ran.err
    done(tree, "repair from S3")
    witness.nothing_lost()


ODD: dict[str, Callable[[Document], None]] = {
    "an ETag that no header can hold": _set("actions", 0, "s3", "etag")("☃"),
    "an ETag with a quote": _set("actions", 0, "s3", "etag")('x" , "y'),
    "a bucket that is not there": _first("bucket")("nowhere-at-all"),
    "a key with a lone surrogate's escape": _first("key")("%ED%A0%80"),
    "a size that is another": _set("actions", 0, "s3", "size_bytes")(2**62),
    "an actor that is not there": _first("actor")("0099_nobody"),
    "a file that is another": _set("actions", 0, "local", "md5")("0" * 32),
}


@pytest.mark.parametrize("case", ODD)
def test_what_a_plan_is_wrong_about_is_named_and_the_rest_is_done(repairs: tuple[Tree, Document], case: str) -> None:
    tree, document = repairs
    witness = Witness(tree)
    ODD[case](document)
    result = tree.library().apply(read_plan(json.dumps(document).encode(), "plan.json"))
    action = document["actions"][0]
    assert [(problem.actor, problem.filename) for problem in result.report.problems] == [
        (action["actor"], action["filename"])
    ]
    assert len(result.done) == len(IMAGES) - 1
    witness.nothing_lost()
    finishes(tree, "repair from S3", witness)


@pytest.mark.parametrize("verb", ["push", "pull", "evict"])
def test_nothing_in_the_trash_is_taken_for_an_images_place(tree: Tree, verb: str) -> None:
    if verb != "pull":
        tree.image(ANNA, BAD, NEW)
    if verb != "push":
        tree.object(ANNA, BAD, NEW)
    library = tree.library()
    plan = library.plan(verb).plan
    trashed = tree.where.s3_trash("20261122T000000.000Z-0000", tree.where.location(ANNA, BAD))
    tree.object(ANNA, BAD, NEW, at=trashed)
    result = library.apply(replace(plan, actions=(replace(plan.actions[0], location=trashed),)))
    assert [problem.code for problem in result.report.problems] == ["plan"]
    assert result.done == ()
    assert place(tree).exists() is (verb != "pull")
