"""Runs that are killed while they move images lose nothing, and can be gone on with or taken back."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from callsheet.layout import Layout

TIMES = 48
KILLED = Path(__file__).with_name("killed_verbs.py")


def test_killed_pushes_pulls_repairs_evictions_removals_and_undos_lose_nothing(tmp_path: Path) -> None:
    buckets, root = tmp_path / "buckets", tmp_path / "project"
    (buckets / Layout().bucket).mkdir(parents=True)
    arguments = [str(root), str(buckets), str(TIMES), "7"]
    env = {**os.environ, "PYTHONPATH": str(KILLED.parents[1])}
    run = subprocess.run([sys.executable, str(KILLED), *arguments], capture_output=True, text=True, env=env)
    assert run.returncode == 0, run.stderr
    midst, aside = map(int, run.stdout.split())
    assert midst >= TIMES / 3, f"only {midst} runs were killed while they moved images, {aside} before or after"
