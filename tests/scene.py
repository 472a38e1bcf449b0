"""Scenes for the faults of transfers: two actors, each with two images that a verb is about, and a store that can be meddled with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from callsheet.model import Location, RemoteObject
from callsheet.remote.contract import ANYTHING, Anything, Held, Reading, Source
from callsheet.remote.memory import MemoryRemote
from callsheet.result import Transfer
from factory import SETTLED_S, USER_BUCKET, Tree
from kept import Witness, carried_out, picture, settled

ANNA, BERT = "0001_anna", "0002_bert"
BAD, GOOD = "bad.png", "good.png"
IMAGES = tuple((actor, name) for actor in (ANNA, BERT) for name in (BAD, GOOD))

KINDS = ("push", "pull", "repair from S3", "repair S3", "evict", "rm")
AFTER = {
    "push": "synced",
    "pull": "synced",
    "repair from S3": "synced",
    "repair S3": "synced",
    "evict": "s3_only",
    "rm": None,
}


class Meddled(MemoryRemote):
    """A store in memory that runs `then` once, in the middle of a request for the object whose name is `at`."""

    def __init__(self, at: str, moment: str, then: Callable[[], object]) -> None:
        super().__init__(("story-boards-assets", USER_BUCKET))
        self.at = at
        self.moment = moment
        self.then: Callable[[], object] | None = then
        self.armed = False

    def _now(self, moment: str, location: Location) -> None:
        if self.armed and self.then and moment == self.moment and location.key.endswith(f"{ANNA}/{self.at}"):
            then, self.then = self.then, None
            then()

    def head(self, location: Location) -> RemoteObject:
        found = super().head(location)
        self._now("head", location)
        return found

    def read(self, location: Location, *, if_match: str, into: memoryview | None = None) -> Reading:
        reading = super().read(location, if_match=if_match, into=into)
        self._now("read", location)
        return reading

    def put(self, location: Location, body: bytes | Source, *, md5: str, replaces: Held = ANYTHING) -> str:
        self._now("put", location)
        return super().put(location, body, md5=md5, replaces=replaces)

    def copy(self, source: Location, target: Location, *, if_match: str, replaces: Held = ANYTHING) -> str:
        etag = super().copy(source, target, if_match=if_match, replaces=replaces)
        self._now("copy", source)
        return etag

    def delete(self, location: Location, *, if_match: str | Anything = ANYTHING) -> None:
        self._now("delete", location)
        super().delete(location, if_match=if_match)


def state(tree: Tree, *parts: str) -> Path:
    return tree.root.joinpath(tree.where.state_dir, *parts)


def place(tree: Tree, actor: str = ANNA, filename: str = BAD) -> Path:
    return tree.root / tree.where.image(actor, filename)


def scene(tree: Tree, kind: str) -> None:
    """Two actors, each with an image that `kind` (a verb, or which side of a repair wins) is about, recorded."""
    for actor in (ANNA, BERT):
        for name in (BAD, GOOD):
            content = picture(f"{actor} {name}")
            if kind != "pull":
                tree.image(actor, name, content)
            if kind != "push":
                tree.object(actor, name, content)
    tree.library().sync()
    for actor in (ANNA, BERT):
        for name in (BAD, GOOD):
            if kind == "repair from S3":
                tree.object(actor, name, picture(f"{actor} {name} in S3"))
            if kind == "repair S3":
                tree.image(actor, name, picture(f"{actor} {name} here"), mtime_s=SETTLED_S + 9)
    tree.library().sync()
    if isinstance(tree.remote, Meddled):
        tree.remote.armed = True


def verb_of(kind: str) -> str:
    return kind.partition(" ")[0]


def done(tree: Tree, kind: str, *but: tuple[str, str]) -> None:
    """All but some of a scene is as its verb leaves it."""
    for actor in (ANNA, BERT):
        statuses = tree.statuses(actor[:4])
        for name in (BAD, GOOD):
            if (actor, name) not in but:
                assert statuses.get(name) == AFTER[kind], (actor, name, statuses)


def run(tree: Tree, kind: str) -> Transfer:
    return carried_out(tree.library(), verb_of(kind), ANNA, BERT)


def finishes(tree: Tree, kind: str, witness: Witness) -> None:
    """The same command, now that nothing is in its way."""
    result = run(tree, kind)
    assert not result.report.problems, result.report.problems
    done(tree, kind)
    settled(tree)
    witness.nothing_lost()
