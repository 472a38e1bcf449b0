"""Many more histories than a test has time for: python soak.py [--histories N] [--first SEED] [--processes N]. Exit code 1 at a breach."""

from __future__ import annotations

import argparse
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

_BATCH = 1000


def _checked(first: int, count: int) -> tuple[int, float]:
    """How many were played, and the seconds of CPU that they took."""
    from simulator.test_simulator import check

    start_s = time.process_time()
    check(range(first, first + count))
    return count, time.process_time() - start_s


def main() -> int:
    parser = argparse.ArgumentParser(description="Play simulated histories and hold each to the promises.")
    parser.add_argument("--histories", type=int, default=1_000_000)
    parser.add_argument("--first", type=int, default=1_000_000, help="the seed of the first; each has the next number")
    parser.add_argument("--processes", type=int, default=2)
    wanted = parser.parse_args()
    start_s, played, cpu_s = time.monotonic(), 0, 0.0
    last = wanted.first + wanted.histories
    with ProcessPoolExecutor(wanted.processes) as pool:
        jobs = [pool.submit(_checked, first, min(_BATCH, last - first)) for first in range(wanted.first, last, _BATCH)]
        try:
            for job in as_completed(jobs):
                count, seconds = job.result()
                played, cpu_s = played + count, cpu_s + seconds
                print(f"\r{played} of {wanted.histories} histories", end="", file=sys.stderr, flush=True)
        except AssertionError as breach:
            pool.shutdown(cancel_futures=True)
            print(f"\n{breach}")
            return 1
    print(file=sys.stderr)
    a_minute = played / cpu_s * 60
    elapsed_s = time.monotonic() - start_s
    print(f"{played} histories, no breach, {elapsed_s:.0f} s, {cpu_s:.0f} s of CPU: {a_minute:.0f} a minute a core")
    return 0


if __name__ == "__main__":
    sys.exit(main())
