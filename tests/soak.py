"""Longer proofs than a test suite has time for, one after another: python soak.py [--seed N] [PART…]. Exit code 1 at a breach.

simulator   a million simulated histories
killed      200 runs that move images, killed at random moments, on real files and a real S3 server
crowd       40 times eleven processes at once, likewise
swift       the contract of stores, held against OpenStack Swift, which is installed below build/ for that
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable
from pathlib import Path

from callsheet.layout import Layout
from servers import ministack
from sim.crowd import rounds
from sim.test_killed_verbs import check

_TESTS = Path(__file__).parent
_SWIFT = _TESTS.parent / "build" / "swift"
_SWIFT_VERSION = "2.38.3"
_KILLED = 200
_ROUNDS = 40


def _simulator(_: int) -> str:
    subprocess.run([sys.executable, str(_TESTS / "simulator" / "soak.py")], check=True)
    return "no breach"


def _killed(seed: int) -> str:
    with tempfile.TemporaryDirectory() as folder, ministack() as server:
        server.make_bucket(Layout().bucket)
        return check(Path(folder), server.endpoint, _KILLED, seed)


def _crowd(seed: int) -> str:
    with tempfile.TemporaryDirectory() as folder, ministack() as server:
        os.environ.update(server.env)
        playing = rounds(Path(folder), server, seed)
        for _ in range(_ROUNDS):
            playing.play()
            print(f"\r{playing.played} of {_ROUNDS} rounds", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return f"{playing.played} rounds, {len(playing.marks)} images marked"


def _swift(_: int) -> str:
    python = _SWIFT / "bin" / "python"
    if not python.exists():
        venv.create(_SWIFT, with_pip=True)
    install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", f"swift=={_SWIFT_VERSION}"]
    subprocess.run([str(python), *install], check=True)
    env = {**os.environ, "SWIFT_PYTHON": str(python)}
    contract = [sys.executable, "-m", "pytest", str(_TESTS / "contract"), "-k", "swift"]
    subprocess.run(contract, env=env, cwd=_TESTS.parent, check=True)
    return f"Swift {_SWIFT_VERSION}"


_PARTS: dict[str, Callable[[int], str]] = {
    "simulator": _simulator,
    "killed": _killed,
    "crowd": _crowd,
    "swift": _swift,
}


def main() -> int:
    parser = argparse.ArgumentParser(description="Hold long runs to the promises.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(_PARTS)}; by default all")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32), help="for what is chosen at random")
    wanted = parser.parse_args()
    if unknown := [part for part in wanted.parts if part not in _PARTS]:
        parser.error(f"no such part: {', '.join(unknown)}")
    for part in wanted.parts or _PARTS:
        start_s = time.monotonic()
        print(f"{part} (seed {wanted.seed}) …", file=sys.stderr)
        try:
            told = _PARTS[part](wanted.seed)
        except (AssertionError, subprocess.CalledProcessError) as breach:
            print(f"{part}, seed {wanted.seed}: {breach}")
            return 1
        print(f"{part}: {told}, {time.monotonic() - start_s:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
