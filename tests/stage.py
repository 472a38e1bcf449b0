"""A small tree in which every verb has something to do, with a folder as its bucket, and the command line on it."""

from __future__ import annotations

import io
import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from callsheet.layout import Layout
from callsheet.remote.directory import DirectoryRemote
from command import Ran, environment, run, run_here
from factory import SETTLED_S, Tree

ANNA, BERT = "0000_anna", "0001_bert"
LATER_S = SETTLED_S + 60


def picture(seed: int) -> bytes:
    """A PNG that can be decoded, another for each seed, all of one size."""
    held = io.BytesIO()
    Image.new("L", (16, 16), seed).save(held, "PNG", compress_level=0)
    return held.getvalue()


@dataclass(frozen=True)
class Stage:
    """A tree, and the folder that holds its bucket."""

    tree: Tree
    buckets: Path

    @property
    def env(self) -> Mapping[str, str]:
        return {"CALLSHEET_REMOTE": f"file://{self.buckets}"}

    @property
    def root(self) -> Path:
        return self.tree.root

    def process(self, *arguments: str) -> Ran:
        """Run `callsheet` in a process of its own."""
        return run(self.root, *arguments, env=self.env)

    def images(self) -> dict[str, bytes]:
        """Every image here, by actor and name."""
        folder = self.root / self.tree.where.actors_dir
        return {f"{path.parts[-3]}/{path.name}": path.read_bytes() for path in sorted(folder.glob("*/training_data/*"))}

    def objects(self) -> dict[str, bytes]:
        """Every object in the bucket, by its key below the prefix; not those of the trash."""
        folder = self.buckets / self.tree.where.bucket / self.tree.where.prefix
        found = {
            str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
        }
        return {key: content for key, content in found.items() if not key.startswith(".trash")}

    def sides(self) -> tuple[dict[str, bytes], dict[str, bytes]]:
        return self.images(), self.objects()

    def everything(self) -> dict[str, tuple[bytes, int]]:
        """Bytes and mtime (ns) of every file there is, on both sides, ours included, and each folder."""
        found = {}
        for top in (self.root, self.buckets):
            for path in sorted(top.rglob("*")):
                content = path.read_bytes() if path.is_file() else b""
                found[str(path)] = (content, path.stat().st_mtime_ns if path.is_file() else 0)
        return found


class Here(Stage):
    """The same within this process: for many cases of what one process has proven."""

    _capsys: pytest.CaptureFixture[str]

    def __init__(self, stage: Stage, capsys: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch) -> None:
        super().__init__(stage.tree, stage.buckets)
        object.__setattr__(self, "_capsys", capsys)
        for name, value in self.env.items():
            patch.setenv(name, value)

    def __call__(self, *arguments: str) -> Ran:
        return run_here(self.root, *arguments, capsys=self._capsys)


def empty_stage(folder: Path) -> Stage:
    """No images yet, on either side."""
    (folder / "buckets" / Layout().bucket).mkdir(parents=True)
    return Stage(
        Tree(folder / "project", DirectoryRemote(str(folder / "buckets"), Layout().region)), folder / "buckets"
    )


def set_stage(folder: Path) -> Stage:
    """Anna has two images on both sides, one that is only here and good, one that is only in S3, and three that differ: one changed here,
    one in S3, one on both sides. Bert has one that is only here. All of it is recorded."""
    stage = empty_stage(folder)
    tree = stage.tree
    for seed, name in enumerate(("same_1.png", "same_2.png", "edited.png", "replaced.png", "both.png")):
        tree.both(ANNA, name, picture(seed))
    tree.image(ANNA, "mine.png", picture(10))
    tree.object(ANNA, "theirs.png", picture(11))
    tree.image(BERT, "bert.png", picture(12))
    tree.library().sync()
    tree.library().mark("0", "mine.png", good=True)
    tree.image(ANNA, "edited.png", picture(20), mtime_s=LATER_S)
    tree.object(ANNA, "replaced.png", picture(21))
    tree.image(ANNA, "both.png", picture(22), mtime_s=LATER_S)
    tree.object(ANNA, "both.png", picture(23))
    tree.library().sync()
    for journal in (stage.root / tree.where.journal_dir).glob("*"):
        os.unlink(journal)  # marking is a run, too
    return stage


@dataclass(frozen=True)
class Talk:
    """What was said on a terminal: all of it, and stdout, where that is a pipe."""

    code: int
    screen: str
    out: str


def on_terminal(stage: Stage, *arguments: str, answer: str, until: str = "[y/N]", piped: bool = False) -> Talk:
    """Run `callsheet` on a terminal, and type `answer` as soon as `until` is shown."""
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "callsheet", "--root", str(stage.root), *arguments]
    environ = environment({**stage.env, "TERM": "xterm", "COLUMNS": "160"})
    out = subprocess.PIPE if piped else follower
    screen, deadline, answered = b"", time.monotonic() + 30, False
    with subprocess.Popen(command, stdin=follower, stdout=out, stderr=follower, env=environ) as process:
        os.close(follower)
        while time.monotonic() < deadline:
            if select.select([leader], [], [], 0.2)[0]:
                try:
                    block = os.read(leader, 65536)
                except OSError:  # nobody has the other end any more
                    break
                screen += block
            if not answered and until in screen.decode(errors="replace"):
                os.write(leader, answer.encode())
                answered = True
        if not answered:
            process.kill()
        printed = process.stdout.read().decode() if process.stdout else ""
        code = process.wait(30)
    os.close(leader)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.decode().replace("\r\n", "\n"))
    assert answered, text
    return Talk(code, text, printed)
