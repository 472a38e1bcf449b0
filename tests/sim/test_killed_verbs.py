"""Runs that are killed while they move images lose nothing, and can be gone on with or taken back."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from callsheet.layout import Layout
from command import environment
from servers import Server, ministack

KILLED = Path(__file__).with_name("killed_verbs.py")


def check(root: Path, store: str, times: int, seed: int) -> str:
    """Kill so many runs. Returns what is printed of it."""
    run = subprocess.run(
        [sys.executable, str(KILLED), str(root), store, str(times), str(seed)],
        capture_output=True,
        text=True,
        env=environment({**Server(store).env, "PYTHONPATH": str(KILLED.parents[1])}),
    )
    assert run.returncode == 0, run.stderr
    midst, aside = map(int, run.stdout.split())
    told = f"{midst} runs were killed while they moved images, {aside} before or after"
    assert midst >= times / 12, f"only {told}"
    return told


def test_killed_pushes_pulls_repairs_evictions_removals_and_undos_lose_nothing(tmp_path: Path) -> None:
    buckets = tmp_path / "buckets"
    (buckets / Layout().bucket).mkdir(parents=True)
    check(tmp_path / "project", str(buckets), 48, 7)


def test_nor_do_they_against_a_real_server(tmp_path: Path) -> None:
    with ministack() as server:
        server.make_bucket(Layout().bucket)
        check(tmp_path / "project", server.endpoint, 12, 7)
