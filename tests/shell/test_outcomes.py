"""What came of a run, a part at a time: while it goes on, after a crash, and of a journal that makes no sense."""

from __future__ import annotations

from pathlib import Path

import pytest

from callsheet.errors import PlanError, UnknownRun
from callsheet.library import Library
from factory import Tree

ACTOR = "0000_x"
NAMES = [f"{number}.png" for number in range(7)]


@pytest.fixture
def library(tree: Tree) -> Library:
    for name in NAMES:
        tree.image(ACTOR, name)
    return tree.library()


@pytest.fixture
def pushed(library: Library) -> str:
    return library.apply(library.plan("push")).run_id


def journal(library: Library, run: str) -> Path:
    return Path(library.root) / library.where.journal(run)


def test_parts_make_up_the_whole_in_the_order_in_which_it_was_known(library: Library, pushed: str) -> None:
    whole, count = library.journal.outcomes(pushed, 0, 100)
    assert count == len(NAMES)
    assert {outcome.action.filename for outcome in whole} == set(NAMES)
    parts = [library.journal.outcomes(pushed, start, 3) for start in (0, 3, 6, 9)]
    assert [outcome for part, _ in parts for outcome in part] == whole
    assert {count for _, count in parts} == {len(NAMES)}
    known = {step.outcome for step in library.past(pushed).steps}
    assert known == set(whole)


def test_they_can_be_read_while_the_run_goes_on(library: Library) -> None:
    run = ""
    seen = []

    def begun(told: str) -> None:
        nonlocal run
        run = told

    library.apply(
        library.plan("push"),
        on_begun=begun,
        on_outcome=lambda known: seen.append((known, library.journal.outcomes(run, 0, 100)[0])),
    )
    assert len(seen) == len(NAMES)
    for number, (known, outcomes) in enumerate(seen):
        assert outcomes[number] == known


def test_a_line_that_a_crash_cut_short_is_left_out(library: Library, pushed: str) -> None:
    path = journal(library, pushed)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-2]) + lines[-2][:-5])  # the last line says that it ended
    outcomes, count = library.journal.outcomes(pushed, 0, 100)
    assert len(outcomes) == count == len(NAMES) - 1


@pytest.mark.parametrize(
    "line", [b'{"n":99,"outcome":"done"}\n', b'{"n":0,"outcome":\n', b'{"x":0,"outcome":"done"}\n']
)
def test_a_journal_that_makes_no_sense_is_told(library: Library, pushed: str, line: bytes) -> None:
    with open(journal(library, pushed), "ab") as file:
        file.write(line)
    with pytest.raises(PlanError, match=pushed):
        library.journal.outcomes(pushed, 0, 100)


@pytest.mark.parametrize(("run", "error"), [("20250101T000000.000Z-0000", UnknownRun), ("../x", PlanError)])
def test_a_run_that_is_none_is_told(library: Library, run: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        library.journal.outcomes(run, 0, 100)
