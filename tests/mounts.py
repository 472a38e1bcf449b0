"""Real disks that are small or closed: tmpfs and bind mounts, which only root may make."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from factory import Tree

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")


@contextmanager
def mounted(folder: Path, *options: str, source: str = "tmpfs") -> Iterator[None]:
    """Something mounted on `folder`, and unmounted at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", *options, source, str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    with mounted(folder, "-t", "tmpfs", "-o", f"size={size}"):
        yield


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """The folder as it is, on a mount that cannot be written to."""
    with mounted(folder, "--bind", source=str(folder)):
        subprocess.run(["mount", "-o", "remount,ro,bind", str(folder)], check=True)
        yield


def one_at_a_time(tree: Tree) -> None:
    (tree.root / "callsheet.toml").write_text("transfers = 1\n")


def fill(folder: Path) -> Path:
    """A file that takes all the room that is left."""
    ballast = folder / "ballast"
    with open(ballast, "wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while file.write(b"x" * size):
                    pass
            except OSError as error:
                assert error.errno == errno.ENOSPC  # noqa: PT017
    return ballast
