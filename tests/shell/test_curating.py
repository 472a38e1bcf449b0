"""Marks and prompts: each image gets its own, all of them or none, on record and taken back to the letter."""

from __future__ import annotations

import pytest

from callsheet.action import Curation
from callsheet.errors import CallsheetError, Collision, ObjectChanged, UnknownImage
from callsheet.layout import PROMPT_METADATA
from callsheet.library import Library
from callsheet.model import Entry
from callsheet.report import Moved
from factory import Tree

ACTOR = "0000_x"
NAMES = tuple(f"{ACTOR}_{number}.png" for number in (1, 2, 10))


@pytest.fixture
def library(tree: Tree) -> Library:
    for name in NAMES:
        tree.image(ACTOR, name)
    tree.library().sync()
    return tree.library()


def said(library: Library) -> dict[str, tuple[bool | None, str | None]]:
    return {entry.filename: (entry.good, entry.prompt) for entry in library.manifest(ACTOR).entries}


def take_back(library: Library, run: str = "") -> None:
    result = library.apply(library.plan_undo(run))
    assert result.report.problems == ()


def test_each_image_gets_its_own_change_in_one_run_that_is_taken_back_exactly(library: Library) -> None:
    library.mark(ACTOR, NAMES[0], good=True, prompt="a face")
    before = said(library)
    changes = {NAMES[2]: Curation(None, "hands"), NAMES[0]: Curation(False, None), NAMES[1]: Curation(True, "a back")}
    curated = library.curate(ACTOR, changes)
    assert [entry.filename for entry in curated.entries] == list(NAMES)
    assert said(library) == {NAMES[0]: (False, "a face"), NAMES[1]: (True, "a back"), NAMES[2]: (None, "hands")}
    assert library.journal.runs()[-1] == curated.run_id
    take_back(library)
    assert said(library) == before


def test_what_is_as_wanted_already_makes_no_run(tree: Tree, library: Library) -> None:
    library.mark(ACTOR, NAMES[0], good=True, prompt="a face")
    before, runs = tree.manifests(), library.journal.runs()
    curated = library.curate(ACTOR, {NAMES[0]: Curation(True, "a face"), NAMES[1]: Curation(None, "")})
    assert (curated.run_id, [entry.prompt for entry in curated.entries]) == ("", ["a face", None])
    assert (tree.manifests(), library.journal.runs()) == (before, runs)


def test_an_empty_prompt_takes_the_prompt_away_and_no_legacy_file_brings_it_back(tree: Tree) -> None:
    tree.image(ACTOR, NAMES[0])
    tree.legacy(ACTOR, PROMPT_METADATA, {"images": {NAMES[0]: {"prompt": "a face"}}})
    library = tree.library()
    library.sync()
    run = library.curate(ACTOR, {NAMES[0]: Curation(None, "")}).run_id
    library.sync()
    assert said(library) == {NAMES[0]: (None, "")}
    take_back(library, run)
    assert said(library) == {NAMES[0]: (None, "a face")}


def test_to_take_marks_back_moves_nothing_and_tells_of_no_move(library: Library) -> None:
    library.mark(ACTOR, NAMES[0], good=True)
    moved = list[Moved]()
    library.apply(library.plan_undo(), on_moved=moved.append)
    assert moved == []
    assert said(library)[NAMES[0]] == (None, None)


def test_a_check_sees_each_image_as_it_is_and_can_refuse_all(tree: Tree, library: Library) -> None:
    library.mark(ACTOR, NAMES[1], good=True)
    before, runs, seen = tree.manifests(), library.journal.runs(), list[Entry]()

    def check(entry: Entry) -> None:
        seen.append(entry)
        if entry.good:
            raise ObjectChanged(f"{entry.filename} is not what was seen")

    with pytest.raises(ObjectChanged):
        library.curate(ACTOR, dict.fromkeys(NAMES, Curation(False, "all")), check=check)
    assert [(entry.filename, entry.good) for entry in seen] == [(NAMES[0], None), (NAMES[1], True)]
    assert (tree.manifests(), library.journal.runs()) == (before, runs)


@pytest.mark.parametrize("dry_run", [False, True])
def test_one_image_that_is_not_recorded_keeps_all_from_being_changed(
    tree: Tree, library: Library, dry_run: bool
) -> None:
    before = tree.manifests()
    with pytest.raises(UnknownImage, match="nobody"):
        library.curate(ACTOR, {NAMES[0]: Curation(True, None), "nobody.png": Curation(True, None)}, dry_run=dry_run)
    assert tree.manifests() == before


def test_a_dry_run_says_what_would_be_and_writes_nothing(tree: Tree, library: Library) -> None:
    before = tree.manifests()
    curated = library.curate(ACTOR, {NAMES[0]: Curation(True, "a face")}, dry_run=True)
    assert (curated.run_id, curated.entries[0].good, curated.entries[0].prompt) == ("", True, "a face")
    assert (tree.manifests(), library.journal.runs()) == (before, [])


def test_a_manifest_that_names_another_folder_is_not_marked(tree: Tree, library: Library) -> None:
    document = tree.read_manifest("0000")
    tree.write_manifest("0000", {**document, "character_name": "0000_other"})
    with pytest.raises(Collision):
        library.curate(ACTOR, {NAMES[0]: Curation(True, None)})


class Killed(BaseException):
    """The process died."""


@pytest.mark.parametrize("written", [False, True], ids=["before the manifest was written", "after"])
def test_a_mark_whose_run_was_killed_can_be_taken_back(
    library: Library, monkeypatch: pytest.MonkeyPatch, written: bool
) -> None:
    from callsheet import files

    first = library.curate(ACTOR, {NAMES[0]: Curation(True, None)}).run_id
    write = files.write_atomically

    def dying(path: str, data: bytes, *, flush_folder: bool = True) -> None:
        if written:
            write(path, data, flush_folder=flush_folder)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(files, "write_atomically", dying)
        with pytest.raises(Killed):
            library.mark(ACTOR, NAMES[1], good=True)
    assert said(library)[NAMES[1]] == ((True, None) if written else (None, None))
    plan = library.plan_undo().plan
    assert (plan.undoes == first) is not written
    take_back(library)
    assert said(library)[NAMES[0]][0] is (True if written else None)
    assert said(library)[NAMES[1]] == (None, None)


def test_a_journal_that_cannot_be_written_keeps_the_mark_from_being_made(tree: Tree, library: Library) -> None:
    journals = tree.root / tree.where.journal_dir
    journals.parent.mkdir(exist_ok=True)
    journals.write_text("in the way")
    before = tree.manifests()
    with pytest.raises(CallsheetError):
        library.mark(ACTOR, NAMES[0], good=True)
    assert tree.manifests() == before
