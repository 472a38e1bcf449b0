"""The cost of a sync and of a status grows as the tree does: requests by the page, looks by the file, memory by the actor."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from callsheet import codec, hashing, local, reconcile, store, system
from callsheet.settings import open_library
from command import environment
from factory import SETTLED_S, Tree, md5_of
from servers import Server, tool
from sink import Sink, sink

CLOCK = Path(__file__).parents[2] / "benchmarks" / "clock.py"
IMAGES_OF_EACH = 30
IMAGES = 30_000
AT_FIRST_BYTES = 60_000_000
EACH_BYTES = 540  # so that a million would stay under 600 MB
COMMANDS = (("sync", "--json"), ("sync", "--json"), ("status", "--json"))
"""A first sync, one that finds nothing new, and a status."""


def _fill(tree: Tree, server: Sink, images: int) -> None:
    """Images of a few bytes on both sides: links to one file for each actor, which is quick."""
    for number in range(images // IMAGES_OF_EACH):
        actor = f"{number:05}_many"
        first = tree.image(actor, f"{actor}_0.png", actor.encode(), mtime_s=SETTLED_S)
        for image in range(IMAGES_OF_EACH):
            name = f"{actor}_{image}.png"
            if image:
                os.link(first, first.with_name(name))
            location = tree.where.location(actor, name)
            server.hold(f"/{location.bucket}/{location.key}", len(actor), md5_of(actor.encode()))


def test_memory_grows_so_slowly_that_a_million_images_fit(tmp_path: Path) -> None:
    """`make bench` measures the same with a million."""
    tree = Tree(tmp_path / "tree")
    with sink() as server:
        _fill(tree, server, IMAGES)
        env = environment(Server(server.endpoint).env)
        for command in COMMANDS:
            peak_bytes = _peak_bytes(tmp_path, env, "--root", str(tree.root), *command)
            assert peak_bytes < AT_FIRST_BYTES + EACH_BYTES * IMAGES, f"{command}: {peak_bytes / 1e6:.0f} MB"


def _peak_bytes(folder: Path, env: dict[str, str], *arguments: str) -> int:
    """Of a `callsheet` that must find all images synced, in a process whose parent is small: what a parent holds is counted, too."""
    out, err = folder / "stdout", folder / "stderr"
    command = [sys.executable, "-I", "-S", str(CLOCK), str(out), str(err), tool("callsheet"), *arguments]
    done = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True)
    cost = json.loads(done.stdout)
    report = json.loads(out.read_text())
    assert cost["exit"] == 0, err.read_text()
    assert report["images"] == report["synced"]
    peak_bytes: int = cost["peak_bytes"]
    return peak_bytes


def test_nothing_is_done_more_often_for_each_image_or_actor_of_a_larger_tree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: Counter[str] = Counter()

    def count(module: Any, name: str) -> None:
        plain: Callable[..., Any] = getattr(module, name)

        def counted(*arguments: Any, **named: Any) -> Any:
            calls[name] += len(arguments[0]) if name == "hash_files" else 1
            return plain(*arguments, **named)

        monkeypatch.setattr(module, name, counted)

    for module, name in (
        (codec, "decode"),
        (hashing, "hash_files"),
        (local, "scan"),
        (local, "_examined"),
        (system, "inventory"),
        (system, "read_files"),
        (local, "read_stamped"),
        (local, "stamp"),
        (reconcile, "judge"),
        (store.Store, "update"),
        (store.Store, "settled_ns"),
    ):
        count(module, name)

    found: dict[int, list[Counter[str]]] = {}
    for images in (300, 3_000):
        tree = Tree(tmp_path / str(images))
        with sink() as server:
            _fill(tree, server, images)
            for name, value in Server(server.endpoint).env.items():
                monkeypatch.setenv(name, value)
            library = open_library(tree.root)
            for deed in (library.sync, library.sync, library.status):
                calls.clear()
                server.requests.clear()
                assert deed().counts.synced == images
                found.setdefault(images, []).append(calls + server.requests)
    for few, many in zip(found[300], found[3_000], strict=True):
        assert many["list"] <= few["list"] * 10
        assert all(many[name] <= 10 * few[name] for name in many), (few, many)
    first, again, status = found[3_000]
    assert first["hash_files"] == 3_000
    assert not again["hash_files"] + again["judge"] + again["update"] + again["decode"]
    actors = 3_000 // IMAGES_OF_EACH
    for looked in again, status:
        assert (looked["inventory"], looked["read_files"], looked["_examined"]) == (actors, actors, 0)
    assert (again["list"], status["list"]) == (3, 0)
