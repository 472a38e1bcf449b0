"""The peak memory of a push and of a pull has a bound that neither the size nor the number of the images moves much.

`make bench` measures the same with one image of 2 GiB, and with 20,000.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from command import environment
from factory import Tree
from servers import Server, tool
from sink import large_image, many_images, sink

CLOCK = Path(__file__).parents[2] / "benchmarks" / "clock.py"
LARGE_BYTES = 256 << 20
LARGE_LIMIT_BYTES = 100_000_000
MANY, ACTORS = 3_000, 30
MANY_LIMIT_BYTES = 50_000_000 + 12_500 * MANY  # so that 20,000 would stay under 300 MB


def _one_large(tree: Tree) -> None:
    large_image(tree, LARGE_BYTES)


def _many_small(tree: Tree) -> None:
    many_images(tree, MANY, ACTORS)


@pytest.mark.parametrize(
    ("fill", "limit_bytes"),
    [(_one_large, LARGE_LIMIT_BYTES), (_many_small, MANY_LIMIT_BYTES)],
    ids=["one large", "many small"],
)
def test_moving_images_takes_little_memory(fill: Callable[[Tree], None], limit_bytes: int, tmp_path: Path) -> None:
    pushed, pulled = Tree(tmp_path / "pushed"), Tree(tmp_path / "pulled")
    fill(pushed)
    with sink() as server:
        env = environment(Server(server.endpoint).env)
        for verb, tree in (("push", pushed), ("pull", pulled)):
            peak_bytes = _peak_bytes(tmp_path, env, "--root", str(tree.root), verb)
            assert peak_bytes < limit_bytes, f"{verb}: {peak_bytes / 1e6:.0f} MB"
    assert _sizes(pulled) == _sizes(pushed)


def _peak_bytes(folder: Path, env: dict[str, str], *arguments: str) -> int:
    """Of a `callsheet` that must succeed, in a process whose parent is small: what a parent holds is counted, too."""
    out, err = folder / "stdout", folder / "stderr"
    command = [sys.executable, "-I", "-S", str(CLOCK), str(out), str(err), tool("callsheet"), *arguments]
    done = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True)
    cost = json.loads(done.stdout)
    assert cost["exit"] == 0, err.read_text()
    peak_bytes: int = cost["peak_bytes"]
    return peak_bytes


def _sizes(tree: Tree) -> dict[str, int]:
    """Of all image files, by name."""
    folder = tree.root / tree.where.actors_dir
    return {path.name: path.stat().st_size for path in folder.rglob("*") if path.is_file()}
