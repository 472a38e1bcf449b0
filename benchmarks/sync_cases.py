"""What a sync costs beside rclone, which compares and hashes the same files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from benchmarks import checks, ground
from benchmarks.framework import Case, Check, Contender, Target, nothing, run
from benchmarks.ground import Ground

from servers import ministack, tool

NAMES = ("noop", "cold", "offline", "start")


@contextmanager
def cases(trees: Ground) -> Iterator[tuple[Mapping[str, str], list[Case]]]:
    """The cases, and the environment that their commands need: a server that holds all images, and a tree that was synced with it."""
    with ministack() as server:
        env = ground.environment(server, trees.folder)
        ground.fill(trees, server, env)
        cold = _cold(trees)
        run(cold.contenders[0], env, trees.folder)
        yield env, [_noop(trees), cold, _offline(trees), _start(trees)]


def _noop(trees: Ground) -> Case:
    def equal(_: str, err: str) -> str:
        return checks.all_equal(trees, err)

    sync = _sync(trees, "callsheet sync", "sync", "--json")
    verify = _sync(trees, "callsheet sync --verify", "sync", "--verify", "--json")
    compare = _rclone(trees, "check", "--checksum", trees.flat, ground.place(), check=equal)
    at_once = _rclone(trees, "check", "--checksum", "--fast-list", trees.flat, ground.place(), check=equal)
    peers = (compare.label, at_once.label)
    return Case(
        "noop",
        "Nothing has changed: is everything still equal?",
        (sync, verify, compare, at_once),
        tuple(Target(sync.label, "wall_s", 1.0, (peer,)) for peer in peers),
        peers,
    )


def _cold(trees: Ground) -> Case:
    sync = _sync(
        trees, "callsheet sync, nothing recorded", "sync", "--json", written=trees.actors, prepare=trees.forget
    )
    hashsum = _rclone(trees, "hashsum", "MD5", trees.flat, check=lambda out, _: checks.same_sums(trees, out))
    compare = _rclone(
        trees, "check", "--checksum", "--fast-list", trees.flat, ground.place(),
        check=lambda _, err: checks.all_equal(trees, err),
    )  # fmt: skip
    return Case(
        "cold",
        "Nothing is recorded yet: hash, compare and write everything",
        (sync, hashsum, compare),
        (Target(sync.label, "wall_s", 1.0, (hashsum.label,)),),
        (hashsum.label, compare.label),
    )


def _offline(trees: Ground) -> Case:
    sync = _sync(trees, "callsheet sync --offline", "sync", "--offline", "--json")
    target = Target(sync.label, "wall_s", 0.5)
    return Case("offline", "Nothing has changed, S3 is not looked at", (sync,), (target,))


def _start(trees: Ground) -> Case:
    shown = Contender(
        "callsheet --help",
        (tool("callsheet"), "--help"),
        lambda out, _: "" if "sync" in out else "no help was shown",
    )
    status = Contender(
        "callsheet status",
        (tool("callsheet"), "--root", trees.root, "status", "--json"),
        lambda out, _: checks.counted(trees, out),
    )
    target = Target(shown.label, "cpu_s", 0.15)
    return Case("start", "Without hashing or network", (shown, status), (target,))


def _sync(
    trees: Ground, label: str, *arguments: str, written: int = 0, prepare: Callable[[], None] = nothing
) -> Contender:
    command = (tool("callsheet"), "--root", trees.root, *arguments)
    return Contender(label, command, lambda out, _: checks.synced(trees, out, written), prepare)


def _rclone(trees: Ground, *arguments: str, check: Check) -> Contender:
    label = "rclone " + " ".join(arguments[: arguments.index(trees.flat)])
    return Contender(label, (tool("rclone"), *arguments), check)
