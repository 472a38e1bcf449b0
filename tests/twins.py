"""A tree with every kind of work in it, and copies of it to do that work in different ways and compare all that came of it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from concurrent.futures import Executor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from callsheet import system
from callsheet.layout import Layout
from callsheet.library import Library
from callsheet.remote.directory import DirectoryRemote
from callsheet.report import Report
from callsheet.result import Transfer
from callsheet.settings import open_library
from factory import SETTLED_S, Tree
from kept import picture

MOMENT = datetime(2026, 5, 4, 3, 2, 1, 987, tzinfo=UTC)
HERE, IN_S3, BOTH, EDITED_HERE, EDITED_IN_S3 = "here.png", "in_s3.png", "both.png", "edited.png", "remade.png"
LEAVINGS = (".callsheet-", "%put-")
Told = Report | Transfer
Verb = Callable[[Library, Executor | None, Callable[[object], None]], Told]


def write_original(root: Path, actors: int) -> None:
    """A tree that has been synced, and has changed on both sides since; with a collision and a manifest that is not sound."""
    tree = _tree(root)
    names = [f"{number:04}_actor" for number in range(actors)]
    for actor in names:
        for name in (BOTH, EDITED_HERE, EDITED_IN_S3):
            tree.both(actor, name, picture(f"{actor} {name}"))
    with pytest.MonkeyPatch.context() as patch:
        stand_still(patch, MOMENT - timedelta(days=1))
        open_twin(root).sync()
    for actor in names:
        tree.image(actor, HERE, picture(f"{actor} here"))
        tree.object(actor, IN_S3, picture(f"{actor} in S3"))
        tree.image(actor, EDITED_HERE, picture(f"{actor} edited"), mtime_s=SETTLED_S + 9)
        tree.object(actor, EDITED_IN_S3, picture(f"{actor} remade"))
        tree.response(actor, [tree.url(actor, BOTH)])
    tree.image("0000_rival", BOTH)
    tree.write_manifest("0001", b"{")


def stand_still(patch: pytest.MonkeyPatch, moment: datetime = MOMENT) -> None:
    """What is recorded is of this moment: the clock is read here, and workers are told."""
    patch.setattr(system, "now", lambda: moment)


def _tree(root: Path) -> Tree:
    where = Layout()
    (root / "buckets" / where.bucket).mkdir(parents=True)
    return Tree(root, DirectoryRemote(str(root / "buckets"), where.region))


def open_twin(root: Path) -> Library:
    return open_library(root, remote=f"file://{root}/buckets", environ={})


def _sync(verify: bool) -> Verb:
    return lambda library, executor, seen: library.sync(verify=verify, executor=executor, on_progress=seen)


def _moving(verb: str, prefer: str = "") -> Verb:
    def move(library: Library, executor: Executor | None, seen: Callable[[object], None]) -> Told:
        plan = library.plan(verb, prefer=prefer, executor=executor)
        return library.apply(plan, executor=executor, on_outcome=seen)

    return move


VERBS = {
    "sync": _sync(verify=False),
    "sync --verify": _sync(verify=True),
    "push": _moving("push"),
    "pull": _moving("pull"),
    "repair": _moving("repair"),
}


def state(root: Path) -> dict[str, object]:
    """Every file below the root with its bytes, and the mtime of images on this disk.

    Run ids are random, and a store says when it got an object: neither is told. Nor is what a killed writer leaves, which later runs sweep,
    nor memos, which rest on those times.
    """
    found: dict[str, object] = {}
    for path in sorted(path for path in root.rglob("*") if path.is_file() and not path.name.startswith(LEAVINGS)):
        name = _nameless(str(path.relative_to(root)))
        if "/memos/" in name:
            continue
        if "/hashed/" in name:  # of which hashes, and not since when: that is read from the machine's clock
            found[name] = path.read_bytes().split()[0]
        elif "/runs/" in name:  # outcomes come in no order
            found[name] = sorted(_nameless(line) for line in path.read_text().splitlines())
        elif name.startswith("data/actor_manifests/"):
            found[name] = re.sub(r'"last_modified": "[^"]*"', "", path.read_text())
        else:
            kept = name.startswith("data/actors") and path.suffix == ".png"
            found[name] = path.read_bytes(), path.stat().st_mtime_ns if kept else 0
    return found


def _nameless(text: str) -> str:
    return re.sub(r"\d{8}T\d{6}\.\d{3}Z-[0-9a-f]{4}", "RUN", text)


def as_told(told: Told) -> dict[str, Any]:
    """The JSON document of a run."""
    document: dict[str, Any] = json.loads(_nameless(json.dumps(told.as_dict())))
    return document


def unseen(_: object) -> None:
    """For who does not look at progress."""
