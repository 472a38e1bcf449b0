"""What a push and a pull cost beside programs that only copy."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from benchmarks import checks, ground
from benchmarks.framework import Case, Contender, Failure, Group, Site, Target
from benchmarks.ground import WHERE, Ground, Size

from servers import Server, tool

_FEW_ROUNDS = 3
"""A push of 100,000 images is counted so often."""

_SLOW_ROUNDS = 3
"""awscli takes part in so many counted rounds."""


@contextmanager
def _cases(size: Size, suffix: str, bench_dir: str) -> Iterator[Site]:
    trees = ground.make(bench_dir, size)
    with ground.store() as server:
        site = _Site(trees, server, ground.environment(server, trees.folder))
        cases = [_push(site, f"push{suffix}")]
        if not suffix:
            cases.append(_pull(site))
        yield Site(site.env, trees.folder, cases, trees.tidy)


@dataclass(frozen=True)
class _Site:
    trees: Ground
    server: Server
    env: Mapping[str, str]

    def empty_and_unknown(self) -> None:
        """Nothing is in the bucket, and nothing recorded."""
        ground.clear(self.server)
        self.trees.forget()

    def empty_and_known(self) -> None:
        """Nothing is in the bucket, which a sync has seen and recorded: every image is `local_only`."""
        self.empty_and_unknown()
        command = [tool("callsheet"), "--root", self.trees.root, "sync", "--json"]
        done = subprocess.run(command, env=dict(self.env), stdin=subprocess.DEVNULL, capture_output=True, check=False)
        if done.returncode:
            raise Failure(f"the sync before a push: {done.stderr.decode()}")


def _push(site: _Site, name: str) -> Case:
    """Every run is into an empty bucket."""
    trees, flat, folder = site.trees, site.trees.flat, ground.place("s3://")

    def uploaded(*_: str) -> str:
        return checks.in_bucket(trees, site.server)

    def callsheet(label: str, prepare: Callable[[], None]) -> Contender:
        def check(*_: str) -> str:
            return uploaded() or checks.recorded(trees, trees.root)

        return Contender(label, (tool("callsheet"), "--root", trees.root, "push"), check, prepare)

    def peer(label: str, *arguments: str, most_rounds: int = 0) -> Contender:
        command = (tool(label.split()[0]), *arguments)
        return Contender(label, command, uploaded, lambda: ground.clear(site.server), most_rounds)

    # rclone is told to move as many at once as callsheet does, and not to ask for the bucket first: both make it faster.
    rclone = ("copy", "--checksum", flat, ground.place(), "--transfers", "8", "--s3-no-check-bucket")
    ours = (
        callsheet("callsheet push, nothing recorded", site.empty_and_unknown),
        callsheet("callsheet push, after a sync", site.empty_and_known),
    )
    peers: tuple[Contender, ...] = (
        peer("rclone copy --checksum", *rclone),
        peer("s5cmd cp", "cp", f"{flat}/", f"{folder}/"),
    )
    if trees.images < ground.MANY.images:
        peers += (peer("aws s3 cp --recursive", *_AWS, flat, folder, most_rounds=_SLOW_ROUNDS),)
    return _case(name, f"Upload {trees}, into an empty bucket", site, ours, peers, trees.tidy)


def _pull(site: _Site) -> Case:
    """Every run is into an empty folder; what the one before has written is on disk by then."""
    trees, pulled, folder = site.trees, site.trees.pulled, ground.place("s3://")

    def check(*_: str) -> str:
        images = os.path.join(pulled, WHERE.actors_dir)
        return checks.on_disk(trees, images, "training_data/") or checks.recorded(trees, pulled)

    def peer(label: str, *arguments: str, most_rounds: int = 0) -> Contender:
        command = (tool(label.split()[0]), *arguments)
        return Contender(label, command, lambda *_: checks.on_disk(trees, pulled), trees.make_way, most_rounds)

    ours = (
        Contender("callsheet pull", (tool("callsheet"), "--root", pulled, "pull"), check, trees.make_way),
    )  # fmt: skip
    peers = (
        peer("rclone copy --checksum", "copy", "--checksum", ground.place(), pulled, "--transfers", "8"),
        peer("s5cmd cp", "cp", f"{folder}/*", f"{pulled}/"),
        peer("aws s3 cp --recursive", *_AWS, folder, pulled, most_rounds=_SLOW_ROUNDS),
    )

    def fill() -> None:
        ground.fill(trees, site.server, site.env)

    return _case("pull", f"Download {trees}, into an empty tree", site, ours, peers, fill)


_AWS = ("s3", "cp", "--recursive", "--only-show-errors")


def _case(
    name: str,
    title: str,
    site: _Site,
    ours: tuple[Contender, ...],
    others: tuple[Contender, ...],
    begin: Callable[[], None],
) -> Case:
    peers = tuple(contender.label for contender in others)
    limits = (("cpu_s", 0.7), ("wall_s", 0.8))
    targets = tuple(Target(mine.label, measure, limit, peers) for mine in ours for measure, limit in limits)
    most = _FEW_ROUNDS if site.trees.images >= ground.MANY.images else 0
    return Case(name, title, (*ours, *others), targets, peers, site.trees.images, begin, most)


GROUPS = (
    Group("moving", ("push", "pull"), partial(_cases, ground.LARGE, "")),
    Group("moving-100k", ("push-100k",), partial(_cases, ground.MANY, "-100k")),
)
