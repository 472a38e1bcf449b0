"""How the cost of a command grows with the tree: from 1,000 images to a million, each of a few bytes."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from statistics import linear_regression
from typing import Any

from benchmarks import ground
from benchmarks.framework import Case, Contender, Group, Site, Target
from benchmarks.ground import Ground, Size

from servers import tool

_SIZES = {f"growth-{label}": Size(images // 33, images, 64, linked=False) for label, images in (("1k", 1_000), ("10k", 10_000), ("100k", 100_000))}  # fmt: skip
_SIZES["growth-1m"] = Size(30_000, 1_000_000, 64, linked=False)
_COMMANDS = ("first sync", "no-op sync", "status")
_PEAK_BYTES = 600e6
_EXPONENT = 1.05
_ROUNDS = {"growth-1k": 5, "growth-10k": 5, "growth-100k": 3, "growth-1m": 1}
NAMES = tuple(_SIZES)


@contextmanager
def _cases(name: str, bench_dir: str) -> Iterator[Site]:
    trees = ground.make(bench_dir, _SIZES[name])
    with ground.store(trees) as server:
        first, again, status = _COMMANDS
        contenders = (
            _contender(trees, first, "sync", forget=True),
            _contender(trees, again, "sync"),
            _contender(trees, status, "status"),
        )
        targets = tuple(Target(label, "peak_bytes", _PEAK_BYTES) for label in _COMMANDS)
        rounds = _ROUNDS[name]
        case = Case(name, f"{trees}", contenders, targets, objects=trees.images, most_rounds=rounds, once=rounds == 1)
        yield Site(ground.environment(server, trees.folder), trees.folder, [case], trees.tidy)


def _contender(trees: Ground, label: str, verb: str, *, forget: bool = False) -> Contender:
    def check(out: str, _: str) -> str:
        report = json.loads(out)
        wanted = {"actors": trees.actors, "images": trees.images, "synced": trees.images, "problems": []}
        return ", ".join(f"{key} is {report[key]!r}" for key, value in wanted.items() if report[key] != value)

    command = (tool("callsheet"), "--root", trees.root, verb, "--json")
    return Contender(label, command, check, trees.forget) if forget else Contender(label, command, check)


def exponents(cases: dict[str, Any]) -> dict[str, Any]:
    """By command, the slope of CPU time over the number of images, both logarithmic, from 10,000 images on: before that, it is start-up."""
    sizes = [cases[name] for name in NAMES if name in cases and cases[name]["objects"] >= 10_000]
    if len(sizes) < 2:
        return {}
    found = {}
    for command in _COMMANDS:
        points = [(math.log(case["objects"]), math.log(case["contenders"][command]["cpu_s"][0])) for case in sizes]
        slope = _slope(points)
        found[command] = {"exponent": slope, "most_images": sizes[-1]["objects"], "met": slope <= _EXPONENT}
    return found


def _slope(points: list[tuple[float, float]]) -> float:
    """Of the line that is nearest to them, by least squares."""
    xs, ys = zip(*points, strict=True)
    return linear_regression(xs, ys).slope


GROUPS = tuple(Group(name, (name,), partial(_cases, name)) for name in NAMES)
