"""The planted bugs still fit the source, and what is to notice them is there; `make mutants` plants them."""

from __future__ import annotations

from pathlib import Path

import pytest

import callsheet
from mutants.table import MUTANTS, Mutant, planted, seeds_of
from simulator.test_simulator import HISTORIES

SOURCE = Path(callsheet.__file__).parent
HOME = Path(__file__).parents[2]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_fits_the_source_and_its_killer_is_there(mutant: Mutant) -> None:
    text = planted(mutant, (SOURCE / mutant.file).read_text(encoding="utf-8"))
    compile(text, mutant.file, "exec")
    if seeds := seeds_of(mutant.killer):
        assert seeds.stop <= HISTORIES, "the suite does not play these"
    else:
        path, _, test = mutant.killer.partition("::")
        assert f"def {test.partition('[')[0]}(" in (HOME / path).read_text(encoding="utf-8")


def test_a_mutant_that_does_not_fit_is_told() -> None:
    with pytest.raises(AssertionError, match="0 times"):
        planted(MUTANTS[0], "")


def test_no_two_mutants_are_one() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
    assert len({(mutant.file, mutant.old, mutant.new) for mutant in MUTANTS}) == len(MUTANTS)
