"""A program that syncs a tree again and again and kills each sync at a random moment. Run as a process of its own:

    python killed.py ROOT BUCKETS TIMES SEED

Prints how many syncs were killed before they had ended, and how many had ended.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

from callsheet import codec
from callsheet.layout import Layout
from callsheet.remote.directory import DirectoryRemote
from callsheet.settings import open_library


def _sync(root: str, buckets: str) -> None:
    open_library(root, remote=DirectoryRemote(buckets, Layout().region), environ={}).sync()


def _killed(root: str, buckets: str, after_s: float) -> bool:
    """Sync in a process of its own that gets SIGKILL; whether that came before its end."""
    child = os.fork()
    if child == 0:
        try:
            _sync(root, buckets)
        finally:
            os._exit(0)
    time.sleep(after_s)
    os.kill(child, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def _edit(root: Path, rng: random.Random, times: int) -> None:
    """Give the next sync something to write: touch images, and put back a `response.json` that was migrated."""
    for folder in root.glob("data/actors/*/training_data"):
        for image in folder.glob("*.png"):
            if rng.random() < 0.3:
                image.write_bytes(rng.randbytes(3000))
                os.utime(image, (1_760_000_000 + times, 1_760_000_000 + times))
    for kept in root.glob("data/.callsheet/trash/*/data/actors/*/training_data/response.json"):
        target = root / kept.relative_to(kept.parents[4])
        if not target.exists():
            kept.replace(target)


def main(root: str, buckets: str, times: int, seed: int) -> None:
    rng = random.Random(seed)
    start = time.perf_counter()
    _sync(root, buckets)
    usual_s = time.perf_counter() - start
    killed = 0
    for number in range(times):
        _edit(Path(root), rng, number)
        was_killed = _killed(root, buckets, rng.uniform(0, usual_s))
        # The first sync imports what the others have then, and other processes come and go: half of them are to be killed.
        usual_s *= 1.1 if was_killed else 0.9
        killed += was_killed
        for path in Path(root).glob("data/actor_manifests/*_manifest.json"):
            codec.decode(path.read_bytes(), path.name)
    print(killed, times - killed)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
