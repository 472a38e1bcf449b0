"""MD5 of local files alone, by callsheet's own function in a process of its own, beside rclone's."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from benchmarks import checks, ground
from benchmarks.framework import Case, Contender, Group, Site, Target
from benchmarks.ground import Size

from servers import tool

_HASH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "hash.py")


@contextmanager
def _cases(name: str, size: Size, limit: float, bench_dir: str) -> Iterator[Site]:
    trees = ground.make(bench_dir, size)
    ours = Contender(
        "callsheet.hashing",
        (sys.executable, _HASH, trees.flat),
        lambda out, _: checks.same_sums(trees, out),
    )
    rclone = Contender(
        "rclone hashsum MD5",
        (tool("rclone"), "hashsum", "MD5", trees.flat),
        lambda out, _: checks.same_sums(trees, out),
    )
    targets = (Target(ours.label, "wall_s", limit, (rclone.label,)),)
    case = Case(name, f"MD5 of {trees}", (ours, rclone), targets, (rclone.label,))
    yield Site({"PATH": os.defpath, "RCLONE_CONFIG": os.devnull}, trees.folder, [case], trees.tidy)


GROUPS = tuple(
    Group(name, (name,), partial(_cases, name, size, limit))
    for name, size, limit in (("md5", ground.LARGE, 1.0), ("md5-8gb", ground.HUGE, 0.4), ("md5-100k", ground.MANY, 1.0))
)
