"""`python store.py LATENCY [HELD]`: the S3 server of the benchmarks, in a process of its own.

It is `tests/sink.py`: all in memory, and quick enough that what is measured is the client. Every listing is LATENCY seconds late. HELD is a
file that tells what is there from the start: a JSON object of size and ETag by path. Prints its URL, and ends with its stdin.
"""

from __future__ import annotations

import os
import sys

import orjson

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "tests"))

from sink import sink

_KEPT_BYTES = 1 << 20


def main(latency_s: float, held: str = "") -> None:
    with sink(kept_bytes=_KEPT_BYTES, latency_s=latency_s) as server:
        if held:
            with open(held, "rb") as file:
                for path, (size_bytes, etag) in orjson.loads(file.read()).items():
                    server.hold(path, size_bytes, etag)
            server.paths()
        print(server.endpoint, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(float(sys.argv[1]), *sys.argv[2:])
