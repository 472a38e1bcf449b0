"""The list of actors is what the manifests say at this moment, whoever wrote them."""

from __future__ import annotations

import json
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from callsheet.library import Library
from callsheet.model import Counts
from callsheet.survey import Survey
from callsheet.web.index import FILTERS, SORTS, Index
from callsheet.web.views import Row
from factory import Tree

ACTORS = ("0000_ann", "0001_bo", "0002_cy", "0010_di")


class Listener:
    """What an index told."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.gone: list[str] = []


@contextmanager
def indexed(library: Library) -> Iterator[tuple[Index, Listener]]:
    told = Listener()
    index = Index(library, told.rows.append, told.gone.append)
    index.start()
    try:
        _until(lambda: index.indexing is None)
        yield index, told
    finally:
        index.close()


def _until(true: Callable[[], bool], timeout_s: float = 20) -> None:
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def actors(tree: Tree) -> Tree:
    """Ann: 2 synced, 1 local only. Bo: 1 in S3 only. Cy: 1 out of sync and good. Di: nothing yet but a folder."""
    tree.both(ACTORS[0], "a.png")
    tree.both(ACTORS[0], "b.png")
    tree.image(ACTORS[0], "c.png")
    tree.folder(ACTORS[1])
    tree.object(ACTORS[1], "a.png")
    tree.image(ACTORS[2], "a.png", b"here")
    tree.object(ACTORS[2], "a.png", b"there")
    library = tree.library()
    library.sync()
    library.mark(ACTORS[2], "a.png", good=True)
    tree.folder(ACTORS[3])
    return tree


def _names(index: Index, **wanted: object) -> list[str]:
    return [row.actor.name for row in index.page(**wanted).rows]  # type: ignore[arg-type]


def test_every_actor_has_a_row_with_what_its_manifest_says(actors: Tree) -> None:
    with indexed(actors.library()) as (index, _):
        rows = {row.actor.name: row for row in index.page().rows}
        assert list(rows) == list(ACTORS)
        assert rows[ACTORS[0]].counts == Counts(synced=2, local_only=1)
        assert rows[ACTORS[1]].counts == Counts(s3_only=1)
        assert (rows[ACTORS[2]].counts, rows[ACTORS[2]].good) == (Counts(out_of_sync=1), 1)
        assert (rows[ACTORS[3]].counts, rows[ACTORS[3]].updated) == (Counts(), None)
        assert index.totals.counts == Counts(synced=2, local_only=1, s3_only=1, out_of_sync=1)
        assert index.totals.actors == 4


def test_it_is_searched_filtered_sorted_and_paged(actors: Tree) -> None:
    with indexed(actors.library()) as (index, _):
        assert _names(index, q="O") == [ACTORS[1]]
        assert _names(index, q="000") == list(ACTORS[:3])
        assert _names(index, statuses=["out_of_sync", "s3_only"]) == [ACTORS[1], ACTORS[2]]
        assert _names(index, statuses=["missing"]) == []
        assert _names(index, sort="-name") == list(reversed(ACTORS))
        assert _names(index, sort="-total")[0] == ACTORS[0]
        assert _names(index, sort="updated")[0] == ACTORS[3]
        assert _names(index, page=2, per_page=3) == [ACTORS[3]]
        assert index.page(page=9).total == 4
        for sort in SORTS:
            assert sorted(_names(index, sort=f"-{sort}")) == list(ACTORS)
        for name in FILTERS:
            index.page(statuses=[name])


def test_ties_are_sorted_by_name_whichever_way_round(actors: Tree) -> None:
    with indexed(actors.library()) as (index, _):
        assert _names(index, sort="missing") == _names(index, sort="-missing") == list(ACTORS)


def test_neighbours_are_those_in_natural_order(actors: Tree) -> None:
    with indexed(actors.library()) as (index, _):
        assert index.neighbours(ACTORS[0]) == (None, ACTORS[1])
        assert index.neighbours(ACTORS[2]) == (ACTORS[1], ACTORS[3])
        assert index.neighbours(ACTORS[3]) == (ACTORS[2], None)
        assert index.neighbours("9999_nobody") == (None, None)


def test_a_change_by_anybody_is_told_and_shown(actors: Tree) -> None:
    with indexed(actors.library()) as (index, told):
        actors.library().mark(ACTORS[0], "a.png", "b.png", good=True)  # another process would do the same
        _until(lambda: bool(told.rows))
        assert [(row.actor.name, row.good) for row in told.rows] == [(ACTORS[0], 2)]
        assert index.row(ACTORS[0]) == told.rows[0]


def test_whoever_asks_need_not_wait_for_the_next_look(actors: Tree) -> None:
    with indexed(actors.library()) as (index, _):
        for good in (True, False) * 10:
            actors.library().mark(ACTORS[0], "c.png", good=good)
            index.refresh()
            row = index.row(ACTORS[0])
            assert row is not None
            assert row.good == good


def test_actors_come_and_go(actors: Tree) -> None:
    with indexed(actors.library()) as (index, told):
        actors.folder("0011_eve")
        _until(lambda: index.row("0011_eve") is not None)
        os.rmdir(actors.folder("0011_eve"))
        os.rmdir(actors.root / actors.where.folder("0011_eve"))
        _until(lambda: told.gone == ["0011_eve"])
        assert index.totals.actors == 4


def test_a_manifest_that_cannot_be_used_is_a_row_that_says_so(actors: Tree) -> None:
    actors.write_manifest("0001", b"{")
    with indexed(actors.library()) as (index, _):
        row = index.row(ACTORS[1])
        assert row is not None
        assert row.fault is not None
        assert row.fault.code == "manifest"
        assert row.problems == 1
        assert _names(index, statuses=["problems"]) == [ACTORS[1]]


def test_folders_that_belong_to_nobody_are_problems_of_the_list(actors: Tree) -> None:
    actors.folder("0001_other")
    with indexed(actors.library()) as (index, _):
        assert [(told.actor, told.code) for told in index.problems] == [("0001_other", "collision")]


def test_a_tree_that_cannot_be_read_is_told_and_no_actor_is_taken_for_gone(actors: Tree) -> None:
    with indexed(actors.library()) as (index, told):
        os.rename(actors.root / actors.where.actors_dir, actors.root / "aside")
        _until(lambda: bool(index.problems))
        assert index.problems[0].code == "tree"
        assert _names(index) == list(ACTORS)
        os.rename(actors.root / "aside", actors.root / actors.where.actors_dir)
        _until(lambda: not index.problems)
        assert told.gone == []


def test_an_actor_whose_folder_is_a_link_is_one_like_others(actors: Tree) -> None:
    away = actors.root / "other disk"
    (away / "training_data").mkdir(parents=True)
    (away / "training_data/a.png").write_bytes(b"a")
    link = actors.root / actors.where.folder("0011_eve")
    library = actors.library()
    with indexed(library) as (index, told):
        link.symlink_to(away)
        _until(lambda: index.row("0011_eve") is not None)
        library.sync(["0011"], offline=True)
        index.refresh()
        row = index.row("0011_eve")
        assert row is not None
        assert row.counts == Counts(local_only=1)
        away.rename(actors.root / "unplugged")
        index.refresh(fully=True)
        assert index.row("0011_eve") == row, "a disk that is not mounted is no deleted actor"
        link.unlink()
        actors.manifest_path("0011").unlink()
        _until(lambda: told.gone == ["0011_eve"])
        assert list(index.page().rows) == _anew(actors)


def test_the_heart_beats_on_after_a_look_that_failed(actors: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("callsheet.web.index._AGAIN_S", 0.05)
    library, told, survey = actors.library(), [], Library.survey

    def failing(_: Library) -> Survey:
        told.append("failed")
        raise ZeroDivisionError

    with indexed(library) as (index, _):
        monkeypatch.setattr(Library, "survey", failing)
        actors.folder("0011_eve")
        _until(lambda: bool(told))
        monkeypatch.setattr(Library, "survey", survey)
        _until(lambda: index.row("0011_eve") is not None)


def link_to_nothing(tree: Tree, stem: str) -> None:
    """In the place of a manifest; Emacs locks a file with one, under a hidden name."""
    path = tree.manifest_path(stem)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to("somebody@somewhere.1234")


def test_a_manifest_that_is_a_link_to_nothing_hides_no_other(actors: Tree) -> None:
    with indexed(actors.library()) as (index, _):
        for stem in (".#0000", "0001"):
            link_to_nothing(actors, stem)
        for good in (True, False) * 2:
            for actor, name in ((ACTORS[0], "a.png"), (ACTORS[2], "a.png")):
                actors.library().mark(actor, name, good=good)
                index.refresh()
                row = index.row(actor)
                assert row is not None
                assert bool(row.good) == good


def test_after_any_changes_it_is_what_a_new_one_would_be(tmp_path: Path) -> None:
    rng = random.Random(7)
    tree = Tree(tmp_path / "project")
    library = tree.library()
    with indexed(library) as (index, _):
        for _ in range(60):
            name = f"{rng.randrange(8):04}_{rng.choice('ab')}"
            match rng.randrange(5):
                case 0:
                    tree.image(name, f"{rng.randrange(3)}.png")
                case 1:
                    library.sync(offline=True, accept_loss=True)
                case 2:
                    rows = [{"filename": "x.png", "status": "local_only", "md5_hash": "0" * 32, "good": True}]
                    tree.write_manifest(name[:4], {"character_name": name, "training_data": rows})
                case 3:
                    tree.manifest_path(name[:4]).unlink(missing_ok=True)
                case 4:
                    link_to_nothing(tree, rng.choice((name[:4], f".#{name[:4]}")))
            index.refresh()
            assert list(index.page(per_page=500).rows) == _anew(tree)


def _anew(tree: Tree) -> list[Row]:
    with indexed(tree.library()) as (index, _):
        return list(index.page(per_page=500).rows)


def test_rows_are_never_torn_while_many_ask_and_one_writes(actors: Tree) -> None:
    library = actors.library()
    faults: list[object] = []
    ended = threading.Event()
    with indexed(library) as (index, _):

        def ask() -> None:
            while not ended.is_set():
                index.refresh()
                found = index.page(statuses=["synced"])
                if [row.actor.name for row in found.rows] != [ACTORS[0]]:
                    faults.append(found)

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for number in range(40):
            library.mark(ACTORS[0], "a.png", prompt=str(number))
        ended.set()
        for thread in threads:
            thread.join()
    assert not faults
    assert json.loads(actors.manifest_path("0000").read_bytes())["training_data"][0]["prompt"] == "39"
