"""What killed writers leave behind goes away, and nothing else does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from callsheet import files
from factory import Tree

ACTOR = "0000_x"
LEAVINGS = ".callsheet-0badcafe.tmp"


@pytest.mark.parametrize("place", ["manifests", "images"])
def test_a_sync_removes_old_temporary_files_and_leaves_those_that_are_being_written(
    tree: Tree, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    tree.image(ACTOR, "a.png")
    tree.library().sync()
    folder = tree.root / tree.where.manifests_dir if place == "manifests" else tree.folder(ACTOR)
    (folder / LEAVINGS).write_text("half of it")
    (folder / ".somebody-elses.tmp").write_text("theirs")
    tree.library().sync()
    assert (folder / LEAVINGS).exists()
    monkeypatch.setattr(files, "_STALE_S", -1.0)
    tree.library().sync(dry_run=True)
    assert (folder / LEAVINGS).exists()
    tree.library().sync()
    assert not (folder / LEAVINGS).exists()
    assert (folder / ".somebody-elses.tmp").exists()


def test_the_age_of_a_temporary_file_is_not_the_time_that_it_was_given(tree: Tree) -> None:
    leavings = tree.image(ACTOR, LEAVINGS, mtime_s=1.0)
    now = datetime.now(UTC)
    files.sweep_temporaries(str(leavings.parent), now)
    assert leavings.exists()
    files.sweep_temporaries(str(leavings.parent), now + timedelta(hours=2))
    assert not leavings.exists()
