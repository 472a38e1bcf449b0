"""Jobs: what they are asked for is done once, in turn, and told; what stops a server loses none."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from asking import ask, done, job, listening

from api_server import Api, running
from callsheet.model import Location
from callsheet.remote.contract import Source
from callsheet.remote.memory import MemoryRemote
from factory import Tree
from stage import ANNA, BERT, picture

NAMES = ("a.png", "b.png", "c.png")


class Gate(MemoryRemote):
    """A store that lets objects in only while it is open."""

    def __init__(self) -> None:
        super().__init__(("story-boards-assets",))
        self.opened = threading.Event()
        self.waiting: list[str] = []

    def put(self, location: Location, body: Source | bytes, *, md5: str, replaces: str | None = None) -> str:
        self.waiting.append(location.key)
        assert self.opened.wait(20)
        return super().put(location, body, md5=md5, replaces=replaces)


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def tree(tmp_path: Path, gate: Gate) -> Tree:
    """Three images of Anna and one of Bert, all of them only here, and recorded."""
    tree = Tree(tmp_path / "project", gate)
    for seed, name in enumerate(NAMES):
        tree.image(ANNA, name, picture(seed))
    tree.image(BERT, "bert.png", picture(9))
    tree.library().sync()
    return tree


@pytest.fixture
def api(tree: Tree) -> Iterator[Api]:
    with running(tree.library(), watch=False) as api:
        yield api


def open_gate(api: Api) -> None:
    gate = api.service.library.remote
    assert isinstance(gate, Gate)
    gate.opened.set()


def test_a_push_is_told_from_beginning_to_end_and_can_be_taken_back(api: Api, tree: Tree) -> None:
    open_gate(api)
    with listening(api) as heard:
        asked = ask(api, verb="push", actors=["0"])
        assert (asked["state"], asked["actors"]) == ("queued", [ANNA])
        told = [heard.next("job")]
        while told[-1]["state"] != "done":
            told.append(heard.next("job"))
    assert [event["state"] for event in told if event["state"] != "running"] == ["queued", "done"]
    assert {event["phase"] for event in told} == {None, "looking", "moving"}
    assert all("plan" not in event and "outcomes" not in event for event in told)
    whole = job(api, asked["id"])
    assert whole == {**told[-1], "plan": None, "outcomes": whole["outcomes"], "outcome_count": 3}
    assert sorted(row["filename"] for row in whole["outcomes"]) == sorted(NAMES)
    assert (whole["summary"]["done"], whole["summary"]["synced"], whole["moved"]["actions_done"]) == (3, 3, 3)
    assert set(tree.statuses("0000").values()) == {"synced"}
    undone = done(api, verb="undo", run=whole["run"])
    assert undone["run_to_undo"] == whole["run"]
    assert set(tree.statuses("0000").values()) == {"local_only"}
