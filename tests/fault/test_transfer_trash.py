"""Journals that are torn or edited, a trash that was emptied or damaged: told, and nothing is lost."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from callsheet.errors import PlanError, UnknownRun
from factory import Tree
from kept import Witness, carried_out, named, picture, settled
from scene import ANNA, BAD, BERT, GOOD, IMAGES, KINDS, done, finishes, place, run, scene, state

NEW = picture("somebody else's")

# --- Journals --------------------------------------------------------------------------------------------------------------------


def journal_of(tree: Tree, run_id: str) -> Path:
    return tree.root / tree.where.journal(run_id)


BAD_JOURNALS: dict[str, tuple[Callable[[list[bytes]], list[bytes]], str]] = {
    "no JSON": (lambda lines: [b"nonsense", *lines[1:]], ":1"),
    "a torn line in its middle": (lambda lines: [*lines[:2], lines[2][:20], *lines[3:]], ":3"),
    "another version": (lambda lines: [lines[0].replace(b'"callsheet_run":1', b'"callsheet_run":9'), *lines[1:]], ""),
    "a hostile run": (lambda lines: [_with(lines[0], run="../../x"), *lines[1:]], ":1.run"),
    "another run's": (lambda lines: [_with(lines[0], run="20200101T000000.000Z-abcd"), *lines[1:]], ":1.run"),
    "a hostile undoes": (lambda lines: [_with(lines[0], undoes="../../x"), *lines[1:]], ":1.undoes"),
    "no time": (lambda lines: [_with(lines[0], started="yesterday"), *lines[1:]], ":1.started"),
    "an action that leads up": (lambda lines: [lines[0], lines[1].replace(b"bad.png", b"../x.png"), *lines[2:]], ":2"),
    "an outcome of no action": (lambda lines: [*lines, b'{"n":99,"outcome":"done"}'], "is about an action"),
    "a number that is none": (lambda lines: [*lines, b'{"n":"0","outcome":"done"}'], "n is no number"),
    "binary": (lambda lines: [b"\0\xff" * 100, *lines], ":1"),
}  # fmt: skip


def _with(line: bytes, **values: str) -> bytes:
    return json.dumps({**json.loads(line), **values}).encode()


@pytest.mark.parametrize("case", BAD_JOURNALS)
def test_a_journal_that_makes_no_sense_is_told_with_its_place_and_nothing_is_done(tree: Tree, case: str) -> None:
    scene(tree, "rm")
    before = carried_out(tree.library(), "rm", BERT)
    result = carried_out(tree.library(), "rm", ANNA)
    damage, told = BAD_JOURNALS[case]
    path = journal_of(tree, result.run_id)
    sound = path.read_bytes()
    path.write_bytes(b"\n".join(damage(sound.splitlines())) + b"\n")
    witness, manifests = Witness(tree), tree.manifests()
    library = tree.library()
    attempts: tuple[Callable[[], object], ...] = (
        lambda: library.plan_undo(result.run_id),
        lambda: library.plan_restore(result.run_id),
        library.plan_undo,  # must not silently take back the run before
    )
    for attempt in attempts:
        with pytest.raises(PlanError) as caught:
            attempt()
        assert str(path) in str(caught.value)
        assert told in str(caught.value)
    assert tree.manifests() == manifests
    assert [heap.run_id for heap in library.trash().heaps] == [before.run_id, result.run_id]
    path.write_bytes(sound)
    for _ in range(2):
        assert not library.apply(library.plan_undo()).report.problems
    settled(tree)
    witness.nothing_lost()


@pytest.mark.parametrize("cut", ["after the steps", "in an outcome", "before the end"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_journal_that_a_crash_cut_short_is_good_for_an_undo(tree: Tree, kind: str, cut: str) -> None:
    scene(tree, kind)
    before = {actor: tree.statuses(actor[:4]) for actor in (ANNA, BERT)}
    result = run(tree, kind)
    path = journal_of(tree, result.run_id)
    lines, witness = path.read_bytes().splitlines(keepends=True), Witness(tree)
    steps = [line for line in lines if b'"action"' in line or b"callsheet_run" in line]
    assert len(steps) > len(IMAGES)
    kept = {"after the steps": steps, "in an outcome": [*lines[:-3], lines[-3][:-9]], "before the end": lines[:-1]}[cut]
    path.write_bytes(b"".join(kept))
    library = tree.library()
    undone = library.apply(library.plan_undo())
    assert not undone.report.problems, undone.report.problems
    assert {actor: tree.statuses(actor[:4]) for actor in (ANNA, BERT)} == before
    settled(tree)
    witness.nothing_lost()
    redone = library.apply(library.plan_undo(undone.run_id))
    assert not redone.report.problems, redone.report.problems
    done(tree, kind)
    settled(tree)
    witness.nothing_lost()


@pytest.mark.parametrize("run_id", ["../x", "..", "/etc/passwd", "a/b", "", "x" * 65, "nul\0", ".hidden", "trick\n"])
def test_a_run_s_id_leads_nowhere(tree: Tree, run_id: str) -> None:
    scene(tree, "rm")
    library = tree.library()
    with pytest.raises((PlanError, UnknownRun)):
        library.plan_undo(run_id)
    with pytest.raises((PlanError, UnknownRun)):
        library.plan_restore(run_id)
    with pytest.raises(UnknownRun):
        library.empty_trash([run_id])


def test_an_unknown_run_is_told_as_such(tree: Tree) -> None:
    scene(tree, "rm")
    library = tree.library()
    for attempt in (library.plan_undo, library.plan_restore):
        with pytest.raises(UnknownRun, match="20200101T000000"):
            attempt("20200101T000000.000Z-0000")


def test_a_backup_beside_a_journal_is_no_run(tree: Tree) -> None:
    scene(tree, "rm")
    result = carried_out(tree.library(), "rm", ANNA)
    path = journal_of(tree, result.run_id)
    path.with_name(f"{path.stem} (copy).jsonl").write_bytes(b"half a copy")
    (path.parent / "empty.jsonl").write_bytes(b"")
    library = tree.library()
    assert not library.apply(library.plan_undo()).report.problems
    settled(tree)


@pytest.mark.parametrize("kind", ["repair from S3", "rm"])
def test_a_root_whose_name_is_not_utf_8_breaks_no_journal(tmp_path: Path, kind: str) -> None:
    tree = Tree(tmp_path / os.fsdecode(b"pro\xffject"))
    scene(tree, kind)
    witness = Witness(tree)
    state(tree, "trash").write_bytes(b"in the way")
    result = run(tree, kind)
    assert {(problem.actor, problem.filename) for problem in result.report.problems} == set(IMAGES)
    json.dumps(result.as_dict(), ensure_ascii=False).encode()
    past = tree.library().journal.read(result.run_id)
    assert past.ended
    state(tree, "trash").unlink()
    if kind == "rm":  # whose objects are in the trash of S3
        finishes(tree, kind, witness)
    witness.nothing_lost()


# --- The trash -------------------------------------------------------------------------------------------------------------------


TRASHING = ("repair from S3", "repair S3", "rm")


@pytest.mark.parametrize("kind", TRASHING)
def test_an_undo_after_the_trash_was_emptied_says_so_and_changes_nothing(tree: Tree, kind: str) -> None:
    scene(tree, kind)
    result = run(tree, kind)
    library = tree.library()
    emptied = library.empty_trash()
    assert [heap.run_id for heap in emptied.heaps] == [result.run_id]
    assert not emptied.problems
    assert not library.trash().heaps
    assert tree.trash() == []
    witness, manifests = Witness(tree), tree.manifests()
    undone = library.apply(library.plan_undo(result.run_id))
    assert {(problem.actor, problem.filename) for problem in undone.report.problems} == set(IMAGES)
    assert all("trash any more" in problem.message for problem in undone.report.problems), undone.report.problems
    assert all("emptied" in problem.message for problem in undone.report.problems)
    assert not undone.done
    assert tree.manifests() == manifests
    done(tree, kind)
    settled(tree)
    witness.nothing_lost()


@pytest.mark.parametrize("kind", ["repair from S3", "rm"])
@pytest.mark.parametrize("verb", ["undo", "restore"])
def test_a_damaged_file_in_the_trash_is_not_put_back_and_stays_there(tree: Tree, kind: str, verb: str) -> None:
    scene(tree, kind)
    sound = place(tree).read_bytes()
    result = run(tree, kind)
    trashed = next(path for path in tree.trash() if str(path).endswith(f"{ANNA}/training_data/{BAD}"))
    trashed.write_bytes(sound[:-1])
    if verb == "restore" and kind == "repair from S3":
        for actor, name in IMAGES:
            place(tree, actor, name).unlink()
    witness = Witness(tree)
    library = tree.library()
    proposal = library.plan_undo(result.run_id) if verb == "undo" else library.plan_restore(result.run_id)
    back = library.apply(proposal)
    named(back, ANNA, BAD, "local", str(trashed), "is not what was put there", "by hand")
    assert {outcome.action.filename for outcome in back.done} == {BAD, GOOD}
    assert trashed.read_bytes() == sound[:-1]
    witness.nothing_lost()
    trashed.write_bytes(sound)
    if kind == "repair from S3" and verb == "undo":
        place(tree).unlink()
    witness = Witness(tree)
    library.apply(library.plan_restore(result.run_id, only=[BAD]))
    assert place(tree).read_bytes() == sound
    settled(tree)
    witness.nothing_lost()


@pytest.mark.parametrize("side", ["here", "in S3"])
def test_a_restore_overwrites_nothing_that_took_the_place(tree: Tree, side: str) -> None:
    scene(tree, "rm")
    result = run(tree, "rm")
    if side == "here":
        tree.image(ANNA, BAD, NEW)
    else:
        tree.object(ANNA, BAD, NEW)
    witness = Witness(tree)
    library = tree.library()
    back = library.apply(library.plan_restore(result.run_id))
    assert {(problem.actor, problem.filename) for problem in back.report.problems} == {(ANNA, BAD)}
    held = place(tree).read_bytes() if side == "here" else _body(tree)
    assert held == NEW
    assert tree.statuses("0002") == {BAD: "synced", GOOD: "synced"}
    settled(tree)
    witness.nothing_lost()


def _body(tree: Tree) -> bytes:
    location = tree.where.location(ANNA, BAD)
    return b"".join(tree.remote.read(location, if_match=tree.remote.head(location).etag).blocks)


def test_a_stranger_s_file_in_the_trash_breaks_nothing(tree: Tree) -> None:
    scene(tree, "rm")
    result = run(tree, "rm")
    stray = state(tree, "trash", result.run_id) / os.fsdecode(b"stra\xffy\n.png")
    stray.write_bytes(NEW)
    state(tree, "trash", "not a run!").mkdir()
    library = tree.library()
    found = library.trash()
    assert [heap.run_id for heap in found.heaps] == [result.run_id]
    json.dumps(found.as_dict(), ensure_ascii=False).encode()
    assert not library.apply(library.plan_undo()).report.problems
    assert stray.read_bytes() == NEW
    assert not library.empty_trash([result.run_id]).problems
    assert not stray.exists()


def test_the_trash_of_a_run_that_goes_on_is_not_emptied(tree: Tree) -> None:
    scene(tree, "rm")
    result = run(tree, "rm")
    path = journal_of(tree, result.run_id)
    path.write_bytes(b"".join(line for line in path.read_bytes().splitlines(keepends=True) if b"ended" not in line))
    witness = Witness(tree)
    library = tree.library()
    told = library.empty_trash()
    assert [problem.code for problem in told.problems] == ["under_way"]
    assert not told.heaps
    witness.nothing_lost()


def test_the_trash_of_a_run_that_goes_on_for_days_is_emptied_only_when_that_is_over(tree: Tree) -> None:
    scene(tree, "rm")
    result = run(tree, "rm")
    path = journal_of(tree, result.run_id)
    first, *rest = path.read_bytes().splitlines()
    started = (datetime.now(UTC) - timedelta(days=3)).isoformat()
    lines = [_with(first, started=started), *(line for line in rest if b"ended" not in line)]
    path.write_bytes(b"\n".join(lines) + b"\n")
    witness, library = Witness(tree), tree.library()
    with path.open("rb") as journal:
        fcntl.flock(journal, fcntl.LOCK_EX)
        told = library.empty_trash()
    assert [problem.code for problem in told.problems] == ["under_way"]
    witness.nothing_lost()
    assert [heap.run_id for heap in library.empty_trash().heaps] == [result.run_id]


def test_the_trash_of_a_run_whose_journal_makes_no_sense_is_taken_for_one_that_goes_on(tree: Tree) -> None:
    scene(tree, "rm")
    result = run(tree, "rm")
    path = journal_of(tree, result.run_id)
    path.write_bytes(b"nonsense\n" + path.read_bytes())
    witness = Witness(tree)
    library = tree.library()
    told = library.empty_trash()
    assert [(problem.filename, problem.code) for problem in told.problems] == [(result.run_id, "under_way")]
    assert not told.heaps
    witness.nothing_lost()
    path.unlink()
    told = library.empty_trash()
    assert [(problem.filename, problem.code) for problem in told.problems] == [(result.run_id, "not_ours")]
    told = library.empty_trash([result.run_id])
    assert [problem.code for problem in told.problems] == ["under_way"]
    witness.nothing_lost()


def test_emptying_what_cannot_be_deleted_is_told_and_goes_on(tree: Tree) -> None:
    scene(tree, "rm")
    first = carried_out(tree.library(), "rm", ANNA)
    second = carried_out(tree.library(), "rm", BERT)
    aside = tree.root / "aside"
    state(tree, "trash", first.run_id).rename(aside)
    state(tree, "trash", first.run_id).symlink_to(aside)
    library = tree.library()
    told = library.empty_trash()
    assert [problem.filename for problem in told.problems] == [first.run_id]
    assert [heap.run_id for heap in told.heaps] == [second.run_id]
    assert len([path for path in aside.rglob("*") if path.is_file()]) == 2
    state(tree, "trash", first.run_id).unlink()
    aside.rename(state(tree, "trash", first.run_id))
    assert not library.empty_trash().problems
    assert not library.trash().heaps


def test_a_young_trash_outlives_an_emptying_of_old_ones(tree: Tree) -> None:
    scene(tree, "rm")
    result = run(tree, "rm")
    witness = Witness(tree)
    library = tree.library()
    assert not library.empty_trash(older_than=timedelta(days=1)).heaps
    assert not library.empty_trash([result.run_id], older_than=timedelta(days=1)).heaps
    witness.nothing_lost()
