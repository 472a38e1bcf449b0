"""Whatever happened to a tree, and however it ended: after a sync, a check finds what is wrong and nothing else, and mending loses nothing."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from callsheet import files
from callsheet.checkup import Checkup, Code
from factory import Tree, md5_of
from sim.history import history
from sim.play import Play
from sim.trouble import Inline, install
from sim.world import Image, located

SEED = 20_261_126
HISTORIES = 40

_OF_KILLED_RUNS = {Code.UNFINISHED, Code.TORN_JOURNAL}
_OF_ROT = {Code.CORRUPT}
_OF_LIES = {Code.OBJECT_CORRUPT, Code.STATUS}


@dataclass
class Checked(Play):
    """A play in which the tree is mended before each sync, and checked after it."""

    mended: Counter[Code] = field(default_factory=Counter)
    found: Counter[Code] = field(default_factory=Counter)

    def _sync_and_check(self, *, verify: bool = False) -> None:
        self._mend()
        super()._sync_and_check(verify=verify)
        self._check()

    def _mend(self) -> None:
        before = self.world()
        mended = self.library.fsck(fix=True, executor=self.executor)
        self.mended.update(one.code for one in mended.mended)
        self._check_survival(before)
        again = self.library.fsck(executor=self.executor)
        left = [one for one in again.findings if one.fixable]
        assert not left, left

    def _check(self) -> None:
        checkup = self.library.fsck(read="both", executor=self.executor)
        told = "\n".join(self.lines)
        allowed = _OF_KILLED_RUNS if "[crash" in told or "[fault" in told else set()
        allowed = allowed | (_OF_ROT if ". rot " in told else set()) | (_OF_LIES if ". lie " in told else set())
        surprises = [one for one in checkup.findings if one.code not in allowed]
        assert not surprises, surprises
        self.found.update(one.code for one in checkup.findings)
        assert _named(checkup, Code.CORRUPT) >= set(self._rotten()), "a file's bytes are not as recorded, and not named"
        assert _named(checkup, Code.OBJECT_CORRUPT) >= set(self._lied_about()), "an object's bytes are not as recorded"

    def _rotten(self) -> Iterator[Image]:
        """The images whose bytes here are not those that are recorded, by opening every file."""
        here = self.world().here
        for image, item in self._records():
            if image in here and item["md5_hash"] not in (None, md5_of(here[image])):
                yield image

    def _lied_about(self) -> Iterator[Image]:
        there = self.world().there
        for image, item in self._records():
            if item["s3"] and item["s3"]["md5"] not in (None, md5_of(there[located(item["s3_url"])])):
                yield image

    def _records(self) -> Iterator[tuple[Image, dict]]:  # type: ignore[type-arg]
        for path in self.tree.root.glob(f"{self.tree.where.manifests_dir}/*_manifest.json"):
            document = json.loads(path.read_bytes())
            for item in document["training_data"]:
                yield (document["character_name"], item["filename"]), item


def _named(checkup: Checkup, code: Code) -> set[Image]:
    return {(one.actor, one.filename) for one in checkup.findings if one.code is code}


def _played(root: Path, seed: int) -> Checked:
    play = Checked(Tree(root), Inline())
    with pytest.MonkeyPatch.context() as patch:
        install(play.gate, patch)
        patch.setattr(files, "_STALE_S", -1.0)  # what is left behind is seen at once
        try:
            play.play(history(random.Random(seed)))
        except Exception as error:
            story = "\n".join(play.lines)
            raise AssertionError(f"history {seed} failed:\n{story}\n{error!r}") from error
    return play


def test_a_check_finds_what_is_wrong_and_nothing_else(tmp_path: Path) -> None:
    mended: Counter[Code] = Counter()
    found: Counter[Code] = Counter()
    for seed in range(SEED, SEED + HISTORIES):
        play = _played(tmp_path / str(seed), seed)
        mended += play.mended
        found += play.found
    assert mended.keys() >= {Code.TEMPORARY, Code.ASIDE}, f"too little went wrong to tell: {mended}"
    assert found.keys() >= {Code.CORRUPT, Code.OBJECT_CORRUPT, Code.UNFINISHED}, f"too little went wrong: {found}"
