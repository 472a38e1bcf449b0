"""Many more histories than a test has time for: python soak.py [--histories N] [--first SEED] [--processes N].

Each breach is told when it is found, and the others go on. Exit code 1 if there was one.
"""

from __future__ import annotations

import argparse
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

_BATCH = 1000


def _checked(first: int, count: int) -> tuple[int, float, list[str]]:
    """How many were played, the seconds of CPU that they took, and the breaches among them."""
    from simulator.test_simulator import check

    start_s, breaches = time.process_time(), []
    for seed in range(first, first + count):
        try:
            check(range(seed, seed + 1))
        except AssertionError as breach:
            breaches.append(str(breach))
    return count, time.process_time() - start_s, breaches


def main() -> int:
    parser = argparse.ArgumentParser(description="Play simulated histories and hold each to the promises.")
    parser.add_argument("--histories", type=int, default=1_000_000)
    parser.add_argument("--first", type=int, default=1_000_000, help="the seed of the first; each has the next number")
    parser.add_argument("--processes", type=int, default=2)
    wanted = parser.parse_args()
    start_s, played, cpu_s, breaches = time.monotonic(), 0, 0.0, 0
    last = wanted.first + wanted.histories
    with ProcessPoolExecutor(wanted.processes) as pool:
        jobs = [pool.submit(_checked, first, min(_BATCH, last - first)) for first in range(wanted.first, last, _BATCH)]
        for job in as_completed(jobs):
            count, seconds, told = job.result()
            played, cpu_s, breaches = played + count, cpu_s + seconds, breaches + len(told)
            for breach in told:
                print(f"\n{breach}", flush=True)
            print(f"\r{played} of {wanted.histories} histories", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    a_minute, elapsed_s, found = played / cpu_s * 60, time.monotonic() - start_s, breaches or "none"
    print(
        f"{played} histories, breaches: {found}, {elapsed_s:.0f} s, {cpu_s:.0f} s of CPU: {a_minute:.0f} a minute a core"
    )
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
