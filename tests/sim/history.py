"""Random histories of a tree and its bucket: what may happen, told in a line a step, and the shortest part of it that still fails."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from PIL import Image as Picture

from sim.trouble import Trouble
from sim.world import Image

ACTORS = ("0000_ann", "0001_bo")
STRANGER = "0002_cy"
"""An actor that may come to be, on either side."""

NAMES = ("a.png", "b.png")


def _png(colour: tuple[int, int, int]) -> bytes:
    file = io.BytesIO()
    Picture.new("RGB", (2, 2), colour).save(file, "PNG")
    return file.getvalue()


CONTENTS = {
    "red": _png((255, 0, 0)),
    "green": _png((0, 255, 0)),
    "blue": _png((0, 0, 255)),
    "noise": b"no image, but bytes",
}


def bytes_of(name: str) -> bytes:
    """The content of that name: `red`, or `red 17`, which is seen nowhere else and as good an image."""
    kind, _, number = name.partition(" ")
    return CONTENTS[kind] + number.encode()


EDITS = {"save": 10, "rot": 4, "drop": 4, "rename": 3, "truncate": 2, "upload": 8, "upload_other": 4, "vanish": 4}
"""What users and other programs do, and how often. `upload_other` is an object as another uploader leaves it: its ETag is no MD5."""

INTERFERING = EDITS | {"upload": 20}

RUNS = {
    "sync": 3,
    "verify": 2,
    "push": 4,
    "pull": 4,
    "repair": 6,
    "repair_local": 4,
    "repair_s3": 4,
    "evict": 4,
    "rm": 3,
    "undo": 4,
    "undo_run": 3,
    "restore": 3,
    "plan": 3,
    "apply": 4,
    "mark": 2,
    "empty": 1,
}
"""What is asked of `callsheet`."""

RARE = {"elsewhere": 2, "lie": 2}

_DELICATE = ("copy", "put", "delete", "read", "link", "rename", "unlink")
"""Effects around which the least must go wrong."""

_VERBS = ("push", "pull", "repair", "repair_local", "repair_s3", "evict", "rm")
TROUBLESOME = (*_VERBS, "sync", "undo", "undo_run", "restore", "apply")


@dataclass(frozen=True)
class Step:
    """One deed, and all that it may need: `number` picks one of what came before, `scope` is for which images (`all`, `actor`, `image`, `good`).

    `trouble` comes while it goes on; `edit` is what somebody else does then. `then` is what follows: `again`, `undo` or `redo`.
    """

    deed: str
    image: Image
    other: str
    content: str
    number: int
    scope: str
    trouble: Trouble | None = None
    edit: Step | None = None
    then: str = ""

    def __str__(self) -> str:
        told = [self.deed]
        if self.deed in (*EDITS, *RARE, "both", "mark"):
            told.append("/".join(self.image))
        elif self.deed in _VERBS:
            told.append(
                {"all": "", "actor": self.image[0], "image": "/".join(self.image), "good": "--good"}[self.scope]
            )
        if self.deed in ("save", "both", "upload", "upload_other", "lie", "elsewhere"):
            told.append(f"= {self.content}")
        if self.deed == "rename":
            told.append(f"-> {self.other}")
        if self.deed in ("undo_run", "restore", "apply", "plan"):
            told.append(f"#{self.number}")
        if self.trouble:
            told.append(f"({self.trouble.kind}{f': {self.edit}' if self.edit else ''})")
        return " ".join((*told, f", then {self.then}" if self.then else ""))


_PREPARED: dict[str, tuple[tuple[str, ...], ...]] = {
    "push": (("vanish", "save"), ("save",)),
    "pull": (("drop", "upload"), ("drop", "upload_other"), ("both", "drop"), ("both", "sync", "evict")),
    "repair": (
        ("both", "sync", "save"),
        ("both", "sync", "upload"),
        ("both", "sync", "truncate"),
        ("both", "verify", "rot"),
    ),
    "repair_local": (("save", "upload"), ("save", "upload_other"), ("elsewhere", "save")),
    "repair_s3": (("save", "upload"), ("save", "upload_other"), ("both", "truncate")),
    "evict": (("both",), ("save", "upload_other"), ("save", "lie"), ("both", "sync", "rot")),
    "rm": (("both",), ("save", "upload_other"), ("upload",)),
    "apply": (("save", "plan", "save"), ("both", "plan", "vanish"), ("both", "plan", "upload"), ("upload", "plan")),
    "undo": (
        ("save", "vanish", "push"),
        ("both", "rm", "upload"),
        ("both", "evict", "save"),
        ("both", "rm"),
        ("both", "evict"),
        ("mark",),
    ),
    "undo_run": (("push", "undo"), ("both", "rm", "undo"), ("repair_s3", "undo")),
    "restore": (
        ("both", "rm"),
        ("both", "rm", "upload"),
        ("both", "rm", "save"),
        ("save", "upload", "repair_s3"),
        ("save", "upload", "repair_local"),
    ),
}
"""What gives a run something to do, all of it to one image."""


def history(rng: random.Random) -> list[Step]:
    """One history: some edits to begin with, then anything, and mostly with something to do."""
    steps = [_step(rng, EDITS | {"both": 12}) for _ in range(rng.randint(2, 4))]
    everything = {**EDITS, **RARE, **{deed: 2 * often for deed, often in RUNS.items()}}
    length = rng.randint(12, 20)
    while len(steps) < length:
        step = _step(rng, everything)
        if step.deed in _PREPARED and rng.random() < 0.7:
            before = rng.choice(_PREPARED[step.deed])
            steps += [replace(_step(rng, {deed: 1}), image=step.image, number=step.number) for deed in before]
        steps.append(step)
    return steps


def shrunk(steps: Sequence[Step], fails: Callable[[Sequence[Step]], bool]) -> list[Step]:
    """As few steps as still fail, and as simple: drops one after another, then what they need not have, while that goes on."""
    found = list(steps)
    smaller = True
    while smaller:
        smaller = False
        for index in reversed(range(len(found))):
            for attempt in ([*found[:index], *found[index + 1 :]], *_simpler(found, index)):
                if fails(attempt):
                    found, smaller = attempt, True
                    break
    return found


def _simpler(steps: list[Step], index: int) -> list[list[Step]]:
    step = steps[index]
    plainer = [replace(step, trouble=None, edit=None), replace(step, then=""), replace(step, scope="all")]
    return [[*steps[:index], plain, *steps[index + 1 :]] for plain in plainer if plain != step]


def _step(rng: random.Random, deeds: dict[str, int], *, fresh: bool = False) -> Step:
    deed = rng.choices(list(deeds), list(deeds.values()))[0]
    image = STRANGER if rng.random() < 0.1 else rng.choice(ACTORS), rng.choice(NAMES)
    trouble = _trouble(rng) if deed in TROUBLESOME and rng.random() < 0.4 else None
    return Step(
        deed,
        image,
        rng.choice(NAMES),
        rng.choice(list(CONTENTS)) + (f" {rng.randrange(10_000)}" if fresh or rng.random() < 0.5 else ""),
        rng.randrange(1000),
        rng.choices(("all", "actor", "image", "good"), (6, 3, 2, 1))[0],
        trouble,
        replace(_step(rng, INTERFERING, fresh=True), image=image) if trouble and trouble.kind == "edit" else None,
        rng.choices(("", "again", "undo", "redo"), (4, 2, 3, 2))[0] if deed in TROUBLESOME else "",
    )


def _trouble(rng: random.Random) -> Trouble:
    kind = rng.choices(("crash", "fault", "edit"), (4, 2, 3))[0]
    early, after = rng.random() < 0.2, rng.random() < 0.5
    if rng.random() < 0.5:
        return Trouble(kind, rng.randint(1, 2), after, of=rng.choice(_DELICATE))
    return Trouble(kind, 1 + int(rng.expovariate(1 / 7)), after, early)
