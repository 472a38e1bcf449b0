"""What a push or pull has seen is recorded once, together with what it did, and comes to the same as if it were recorded twice."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from callsheet import files
from callsheet.layout import Layout
from callsheet.model import Location
from callsheet.remote.contract import ANYTHING, Held, Source
from callsheet.remote.memory import MemoryRemote
from factory import Tree
from kept import carried_out, settled

HERE, THERE, BOTH = "0000_here", "0001_there", "0002_both"


def _fill(tree: Tree) -> None:
    """Each actor has an image on both sides but for the one that it is named for."""
    for actor in (HERE, THERE, BOTH):
        tree.both(actor, "both.png")
    tree.image(HERE, "here.png")
    tree.object(THERE, "there.png")


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the manifests, each time that one is written."""
    names: list[str] = []
    write_atomically = files.write_atomically

    def noted(path: str, data: bytes, *, flush_folder: bool = True) -> None:
        names.append(Path(path).name)
        write_atomically(path, data, flush_folder=flush_folder)

    monkeypatch.setattr(files, "write_atomically", noted)
    return names


def _told(tree: Tree) -> dict[str, object]:
    """What the manifests say, but for when."""
    found: dict[str, object] = {}
    for name in tree.manifests():
        document = tree.read_manifest(name.removesuffix("_manifest.json"))
        del document["training_data_updated"]
        for row in document["training_data"]:
            for key in ("checked_at", "modified_timestamp", "modified_date"):
                del row[key]
            (row["s3"] or {}).pop("last_modified", None)
        found[name] = document
    return found


@pytest.mark.parametrize("verb", ["push", "pull"])
def test_every_manifest_is_written_once_and_says_what_two_steps_would(
    tmp_path: Path, writes: list[str], verb: str
) -> None:
    in_two, at_once = Tree(tmp_path / "two"), Tree(tmp_path / "once")
    for tree in (in_two, at_once):
        _fill(tree)
    library = in_two.library()
    library.apply(library.plan(verb))
    assert len(writes) == 4
    writes.clear()
    result = carried_out(at_once.library(), verb)
    assert sorted(writes) == ["0000_manifest.json", "0001_manifest.json", "0002_manifest.json"]
    assert not result.report.problems
    assert result.report.counts.total == 5
    assert _told(at_once) == _told(in_two)
    settled(at_once)


def test_files_that_were_hashed_for_a_plan_are_not_hashed_again(tree: Tree, hashed: list[str]) -> None:
    _fill(tree)
    assert not carried_out(tree.library(), "push").report.problems
    assert len(hashed) == len(set(hashed)) == 4
    settled(tree)


class _Held(MemoryRemote):
    """Takes nothing until the run is to stop."""

    def __init__(self) -> None:
        super().__init__((Layout().bucket,))
        self.stopped = threading.Event()

    def put(self, location: Location, body: bytes | Source, *, md5: str, replaces: Held = ANYTHING) -> str:
        assert self.stopped.wait(30)
        return super().put(location, body, md5=md5, replaces=replaces)

    def stop(self) -> bool:
        self.stopped.set()
        return True


def test_a_stopped_run_records_what_it_saw_of_actors_that_it_did_not_come_to(tmp_path: Path) -> None:
    remote = _Held()
    tree = Tree(tmp_path / "project", remote)
    for number in range(40):
        tree.image(f"{number:04}_x", "here.png")
    library = tree.library()
    result = library.apply(library.plan("push", record_later=True), stop=remote.stop)
    assert result.interrupted
    statuses = [tree.statuses(f"{number:04}")["here.png"] for number in range(40)]
    assert set(statuses) == {"synced", "local_only"}
    settled(tree)


@pytest.mark.parametrize("verb", ["repair", "evict", "rm"])
def test_what_others_take_away_is_on_record_before(tree: Tree, verb: str) -> None:
    _fill(tree)
    tree.image(BOTH, "both.png", b"changed")
    tree.library().plan(verb, [HERE, BOTH], prefer="local", record_later=True)
    assert set(tree.statuses("0000")) == {"both.png", "here.png"}
    assert set(tree.statuses("0002")) == {"both.png"}


def test_a_plan_that_acts_on_nothing_is_recorded_at_once(tree: Tree) -> None:
    _fill(tree)
    proposal = tree.library().plan("push", [THERE, BOTH], record_later=True)
    assert not proposal.plan.actions
    assert set(tree.manifests()) == {"0001_manifest.json", "0002_manifest.json"}
