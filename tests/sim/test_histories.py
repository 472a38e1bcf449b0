"""Invariant 1, on random histories: bytes that existed on either side survive on a side, in the trash of a side, or as an S3 version."""

from __future__ import annotations

import random
import re
import shutil
import tempfile
import uuid
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from callsheet.layout import Layout
from callsheet.remote.s3 import S3Remote
from factory import Tree
from servers import REGION, Server
from sim.history import Step, history, shrunk
from sim.play import Play, played
from sim.trouble import install

SEED = 20_250_101
"""Of the first history; each further one has the next number."""

HISTORIES = 80
ON_S3 = 10


def _fails(steps: Sequence[Step]) -> tuple[list[str], Exception | None]:
    folder = tempfile.mkdtemp(prefix="callsheet-history-")
    try:
        play, error = played(Path(folder), steps)
        return play.lines, error
    finally:
        shutil.rmtree(folder)


def check(seed: int) -> list[str]:
    """Play one history, and return its story; if it fails, tell the shortest part of it that does."""
    steps = history(random.Random(seed))
    lines, error = _fails(steps)
    if error is None:
        return lines
    least = shrunk(steps, lambda fewer: _fails(fewer)[1] is not None)
    lines, error = _fails(least)
    story = "\n".join(lines)
    raise AssertionError(f"history {seed} failed, and so does this part of it:\n{story}\n{error!r}") from error


def test_whatever_happens_no_bytes_are_lost_and_every_status_is_true() -> None:
    told = "\n".join(line for seed in range(SEED, SEED + HISTORIES) for line in check(seed))
    for place in ("put|copy|delete|read", "link|rename|unlink|create|write"):
        assert re.search(rf"\[crash (before|after) ({place})", told), f"nothing crashed at {place}"
        assert re.search(rf"\[edit (before|after) ({place})", told), f"nobody else edited at {place}"


@pytest.mark.parametrize("batch", range(5))
def test_nor_are_they_on_a_real_s3_server_with_many_threads(
    ministack_server: Server, tmp_path: Path, batch: int
) -> None:
    store = S3Remote(REGION, endpoint_url=ministack_server.endpoint)
    for seed in range(SEED + batch, SEED + ON_S3, 5):
        bucket = ministack_server.make_bucket(f"history-{uuid.uuid4().hex[:12]}")
        play = Play(Tree(tmp_path / str(seed), store, replace(Layout(), bucket=bucket)))
        with pytest.MonkeyPatch.context() as patch:
            install(play.gate, patch)
            try:
                play.play(history(random.Random(seed)))
            except Exception as error:
                story = "\n".join(play.lines)
                raise AssertionError(f"history {seed} failed:\n{story}\n{error!r}") from error
