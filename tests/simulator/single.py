"""Every single fault: each call that a run makes fails once, or from there on, or is the last one before a crash, one after another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from simulator.engine import Breach, Strike
from simulator.story import ACTORS, Deed, History, Play

A, B = (ACTORS[0], "a.png"), (ACTORS[0], "b.png")
_BOTH = (Deed("save", A, "one"), Deed("upload", A, "one"), Deed("save", B, "two"), Deed("upload_other", B, "two"))
_DIFFER = (Deed("save", A, "one"), Deed("upload", A, "two"), Deed("save", B, "three"), Deed("upload_other", B, "four"))
_LEGACY = (Deed("save", A, "one"), Deed("upload", A, "one"), Deed("response", A, number=7))

MODES = {
    "fails once": ("fail", False, 1),
    "fails once after its effect": ("fail", True, 1),
    "fails from there on": ("down", False, 1),
    "is killed before": ("kill", False, 1),
    "is killed after": ("kill", True, 1),
    "loses power before": ("cut", False, 2),
    "loses power after": ("cut", True, 2),
}
"""The strike, whether it comes after the effect, and how many seeds decide what a power cut leaves."""


@dataclass(frozen=True)
class Scene:
    """What is there; the run that is struck; and what must finish, afterwards, what it began: by default the same run, again."""

    before: tuple[Deed, ...]
    run: Deed
    after: tuple[Deed, ...] | None = None

    @property
    def recovery(self) -> tuple[Deed, ...]:
        return (self.run,) if self.after is None else self.after


SCENES = {
    "sync": Scene(_BOTH, Deed("sync", number=1)),
    "migration": Scene(_LEGACY, Deed("sync", number=1)),
    "push": Scene((Deed("save", A, "one"), Deed("save", B, "two")), Deed("push")),
    "pull": Scene((Deed("upload", A, "one"), Deed("upload_other", B, "two")), Deed("pull")),
    "repair from here": Scene(_DIFFER, Deed("repair", number=1)),
    # An image whose local file is in the trash, and whose object has not come yet, is one to be pulled.
    "repair from s3": Scene(_DIFFER, Deed("repair", number=2), (Deed("repair", number=2), Deed("pull"))),
    "evict": Scene((*_BOTH, Deed("sync", number=1)), Deed("evict")),
    "rm": Scene(_BOTH, Deed("rm", A)),
    "undo of a push": Scene((Deed("save", A, "one"), Deed("push")), Deed("undo"), ()),
    "undo of a removal": Scene((*_BOTH, Deed("rm", A)), Deed("undo"), ()),
    "restore": Scene((*_BOTH, Deed("rm", A)), Deed("restore", number=0), ()),
    "mark": Scene((Deed("save", A, "one"), Deed("sync")), Deed("mark", A, number=7)),
}


def _played(scene: Scene, strike: Strike | None, seed: int) -> tuple[Play, int]:
    """The history, and how many calls of the struck run could have been struck."""
    rounds = tuple((deed,) for deed in (*scene.before, scene.run, *scene.recovery))
    play = Play(History(seed, rounds))
    calls = play.play_struck(len(scene.before), strike)
    return play, calls


def statuses(play: Play) -> dict[object, str]:
    return {image: row.status for machine in play.machines.values() for image, row in play.judge.rows(machine).items()}


def points(scene: Scene, kind: str) -> int:
    """How many calls a strike of that kind can come at."""
    return _played(scene, Strike(kind, 1 << 30), 0)[1]


def check(name: str, mode: str) -> int:
    """Strike each call of a scene's run in one way. `Breach`, or returns how many histories were played."""
    scene = SCENES[name]
    kind, after, seeds = MODES[mode]
    undisturbed = statuses(_played(scene, None, 0)[0])
    played = 0
    for strike in _strikes(scene, kind, after=after):
        for seed in range(seeds):
            try:
                end = statuses(_played(scene, strike, seed)[0])
            except Breach as breach:
                raise AssertionError(f"{name}, {strike}, seed {seed}: {breach}") from breach
            assert not scene.recovery or end == undisturbed, (
                f"{name}, {strike}, seed {seed}: left {end}, not {undisturbed}"
            )
            played += 1
    return played


def _strikes(scene: Scene, kind: str, *, after: bool) -> Iterator[Strike]:
    for at in range(1, points(scene, kind) + 1):
        yield Strike(kind, at, after)
