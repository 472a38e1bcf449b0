"""That the memory of a push and a pull depends neither on how large an image is, nor much on how many there are."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import ground
from benchmarks.framework import Case, Contender, Group, Site, Target
from benchmarks.ground import WHERE

from factory import Tree
from servers import Server, tool
from sink import large_image, many_images, sink

_NAMES = ("large", "many")
_LARGE_BYTES = 2 << 30
_MANY, _ACTORS = 20_000, 200
_LIMIT_BYTES = 300e6


@contextmanager
def _cases(bench_dir: str) -> Iterator[Site]:
    """Their files, 2 GiB at most, go away at the end."""
    os.makedirs(bench_dir, exist_ok=True)
    with sink() as server, tempfile.TemporaryDirectory(prefix="memory-", dir=bench_dir) as folder:
        env = ground.environment(Server(server.endpoint), folder)
        large, many = (Tree(Path(folder, name)) for name in _NAMES)

        def make_large() -> None:
            large_image(large, _LARGE_BYTES)

        def make_many() -> None:
            server.clear()
            many_images(many, _MANY, _ACTORS)

        cases = [
            _case("large", f"One image of {_LARGE_BYTES >> 30} GiB", large, make_large),
            _case("many", f"{_MANY:,} images of less than 100 bytes", many, make_many),
        ]
        yield Site(env, folder, cases)


def _case(name: str, title: str, tree: Tree, begin: Callable[[], None]) -> Case:
    """Push a tree, then pull it into an empty one."""
    pulled = Tree(tree.root.with_name(f"{name}-pulled"))

    def check(*_: str) -> str:
        return "" if _md5s(pulled) == _md5s(tree) else "what was pulled is not what was pushed"

    contenders = (
        Contender(f"callsheet push, {name}", (tool("callsheet"), "--root", str(tree.root), "push"), lambda *_: ""),
        Contender(f"callsheet pull, {name}", (tool("callsheet"), "--root", str(pulled.root), "pull"), check),
    )
    targets = tuple(Target(contender.label, "peak_bytes", _LIMIT_BYTES) for contender in contenders)
    return Case(name, title, contenders, targets, begin=begin, once=True)


def _md5s(tree: Tree) -> dict[str, str]:
    """Of all files of a tree's actors, by their paths."""
    md5s = {}
    top = tree.root / WHERE.actors_dir
    for folder, _, names in os.walk(top):
        for name in names:
            path = os.path.join(folder, name)
            with open(path, "rb") as file:
                md5s[os.path.relpath(path, top)] = hashlib.file_digest(file, "md5").hexdigest()
    return md5s


GROUPS = (Group("memory", _NAMES, _cases),)
