"""What a sync costs beside rclone, which compares the same files: of few large images, and of many small ones."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count

from benchmarks import checks, ground
from benchmarks.framework import Case, Check, Contender, Group, Site, Target, nothing, run
from benchmarks.ground import Ground, Size

from servers import tool

_CHANGED = 100
"""One image of so many is changed."""


@contextmanager
def _cases(size: Size, suffix: str, bench_dir: str) -> Iterator[Site]:
    """A server that holds all images, and a tree that was synced with it."""
    trees = ground.make(bench_dir, size)
    with ground.store(trees) as server:
        env = ground.environment(server, trees.folder)
        cold = _cold(trees, suffix)
        run(cold.contenders[0], env, trees.folder)
        cases = [_noop(trees, suffix), cold, _changed(trees, suffix)]
        if not suffix:
            cases += [_offline(trees), _start(trees)]
        yield Site(env, trees.folder, cases, trees.tidy)


def _noop(trees: Ground, suffix: str) -> Case:
    sync = _sync(trees, "callsheet sync", "sync", "--json")
    verify = _sync(trees, "callsheet sync --verify", "sync", "--verify", "--json")
    peers = [_check(trees, *flags) for flags in (("--checksum",), ("--checksum", "--fast-list"), ("--size-only",))]
    checksum, _, size_only = (peer.label for peer in peers)
    limit = 0.35 if suffix else 0.6
    targets = [Target(sync.label, "wall_s", limit, (checksum,))]
    if suffix:
        targets.append(Target(sync.label, "wall_s", 1.0, (size_only,)))
    return Case(
        f"noop{suffix}",
        f"Nothing has changed: are {trees} still equal?",
        (sync, verify, *peers),
        tuple(targets),
        tuple(peer.label for peer in peers),
    )


def _cold(trees: Ground, suffix: str) -> Case:
    sync = _sync(
        trees, "callsheet sync, nothing recorded", "sync", "--json", written=trees.actors, prepare=trees.forget
    )
    hashsum = _rclone(trees, "hashsum", "MD5", trees.flat, check=lambda out, _: checks.same_sums(trees, out))
    compare = _check(trees, "--checksum", "--fast-list")
    targets = () if suffix else (Target(sync.label, "wall_s", 1.0, (hashsum.label,)),)
    title = f"Nothing is recorded yet: hash, compare and write {trees}"
    return Case(f"cold{suffix}", title, (sync, hashsum, compare), targets, (hashsum.label, compare.label))


def _changed(trees: Ground, suffix: str) -> Case:
    """Images get a new time, so that only their bytes can tell that they are what they were."""
    images = sorted(trees.md5s)[::_CHANGED]
    times = count(ground.MADE_AT_S + 1)

    def touch() -> None:
        moment = next(times)
        for image in images:
            path = os.path.join(trees.flat, image)
            os.utime(path, (moment, moment))

    label = "callsheet sync, 1 % changed"
    actors = len({image.partition("/")[0] for image in images})
    sync = _sync(trees, label, "sync", "--json", written=actors, prepare=touch)
    compare = _check(trees, "--checksum")
    title = f"One image of {_CHANGED} has a new time, of {trees}"
    return Case(f"changed{suffix}", title, (sync, compare), (), (compare.label,))


def _offline(trees: Ground) -> Case:
    sync = _sync(trees, "callsheet sync --offline", "sync", "--offline", "--json")
    target = Target(sync.label, "wall_s", 0.5)
    return Case("offline", f"Nothing has changed of {trees}, S3 is not looked at", (sync,), (target,))


def _start(trees: Ground) -> Case:
    empty = os.path.join(trees.folder, "empty")
    os.makedirs(os.path.join(empty, ground.WHERE.actors_dir), exist_ok=True)
    shown = Contender(
        "callsheet --help",
        (tool("callsheet"), "--help"),
        lambda out, _: "" if "sync" in out else "no help was shown",
    )
    nothing_there = Contender(
        "callsheet status, empty tree",
        (tool("callsheet"), "--root", empty, "status", "--json"),
        lambda out, _: "" if '"actors": 0' in out else "it found actors",
    )
    status = Contender(
        f"callsheet status, {trees.images:,} images",
        (tool("callsheet"), "--root", trees.root, "status", "--json"),
        lambda out, _: checks.counted(trees, out),
    )
    targets = tuple(Target(one.label, "cpu_s", 0.15) for one in (shown, nothing_there))
    return Case("start", "Without hashing or network", (shown, nothing_there, status), targets)


def _sync(
    trees: Ground, label: str, *arguments: str, written: int = 0, prepare: Callable[[], None] = nothing
) -> Contender:
    command = (tool("callsheet"), "--root", trees.root, *arguments)
    return Contender(label, command, lambda out, _: checks.synced(trees, out, written), prepare)


def _check(trees: Ground, *flags: str) -> Contender:
    place = ground.place()
    return _rclone(trees, "check", *flags, trees.flat, place, check=lambda _, err: checks.all_equal(trees, err))


def _rclone(trees: Ground, *arguments: str, check: Check) -> Contender:
    label = "rclone " + " ".join(arguments[: arguments.index(trees.flat)])
    return Contender(label, (tool("rclone"), *arguments), check)


GROUPS = (
    Group("sync", ("noop", "cold", "changed", "offline", "start"), partial(_cases, ground.LARGE, "")),
    Group("sync-100k", ("noop-100k", "cold-100k", "changed-100k"), partial(_cases, ground.MANY, "-100k")),
)
