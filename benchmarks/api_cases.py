"""How fast the server answers, beside one that hashes for each request as first attempts do: one client on one connection."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

import urllib3
from benchmarks.framework import Failure, say

from callsheet.layout import Layout
from servers import tool

_HERE = os.path.dirname(os.path.abspath(__file__))
_WHERE = Layout()
_LOAD_S = 2.0
_MADE_AT_S = 1_760_000_000
_START_S = 60.0


@dataclass(frozen=True)
class Asked:
    """One path that is asked for again and again. `limit_s` bounds the median latency; `rate` is the least number of answers a second, 0: any."""

    title: str
    path: str
    actors: int
    images: int
    image_bytes: int
    limit_s: float
    rate: float = 0
    naive: bool = False


_DATA = "/api/actors/00000_bench/training-data"
_CASES = {
    "api-17": Asked("An actor of 17 images of 320 KB", _DATA, 1, 17, 320 << 10, 0.005, 400, naive=True),
    "api-1000": Asked("An actor of 1,000 images of 8 KB", _DATA, 1, 1000, 8 << 10, 0.025, naive=True),
    "api-list": Asked(
        "100 of 30,000 actors, filtered", "/api/actors?status=local_only&per_page=100", 30_000, 1, 0, 0.05
    ),
}
NAMES = tuple(_CASES)


def measured(bench_dir: str, chosen: frozenset[str], rounds: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each chosen case's name and results. `Failure` if a server did not answer as it should."""
    for name in NAMES:
        if name in chosen:
            say(f"Measuring {name} …")
            root = _tree(os.path.join(bench_dir, name), _CASES[name])
            yield name, _measure(root, _CASES[name], rounds)


def table(result: Mapping[str, Any]) -> Iterator[str]:
    """A case's results for a terminal."""
    yield f"\n{result['title']}"
    for label, row in result["contenders"].items():
        middle, least, most = row["median_s"]
        yield f"  {label:24}  median {middle * 1e3:8.2f} ms ({least * 1e3:.2f}–{most * 1e3:.2f})  {row['rate'][0]:8,.0f} answers/s"
    for target in result["targets"]:
        yield f"  Target: {target['what']}: {'met' if target['met'] else 'MISSED'}"


def _measure(root: str, asked: Asked, rounds: int) -> dict[str, Any]:
    runs: dict[str, list[dict[str, float]]] = {}
    with contextlib.ExitStack() as stack:
        servers = {"callsheet serve": stack.enter_context(_callsheet(root))}
        if asked.naive:
            servers["hashes at each request"] = stack.enter_context(_naive(root))
        for number in range(rounds + 1):
            for label, server in servers.items():
                cost = _load(server, asked.path)
                if number:
                    runs.setdefault(label, []).append(cost)
    rows = {label: {key: _spread([run[key] for run in costs]) for key in costs[0]} for label, costs in runs.items()}
    ours = rows["callsheet serve"]
    targets = [{"what": f"median ≤ {asked.limit_s * 1e3:g} ms", "met": ours["median_s"][0] <= asked.limit_s}]
    if asked.rate:
        targets.append({"what": f"≥ {asked.rate:g} answers a second", "met": ours["rate"][0] >= asked.rate})
    return {"title": asked.title, "contenders": rows, "targets": targets}


def _load(server: str, path: str) -> dict[str, float]:
    command = [sys.executable, "-I", "-S", os.path.join(_HERE, "load.py"), server, path, str(_LOAD_S)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failure(f"{server}{path}: {done.stderr.strip()}")
    cost: dict[str, float] = json.loads(done.stdout)
    return cost


def _spread(values: list[float]) -> tuple[float, float, float]:
    return median(values), min(values), max(values)


@contextlib.contextmanager
def _callsheet(root: str) -> Iterator[str]:
    """Host and port of a server that has read all manifests."""
    command = [
        tool("callsheet"),
        "--root",
        root,
        "--remote",
        f"file://{root}/buckets",
        "serve",
        "--port",
        "0",
        "--no-watch",
    ]
    with _server(command) as server, urllib3.PoolManager() as http:
        deadline = time.monotonic() + _START_S
        while http.request("GET", f"http://{server}/api/actors?per_page=1").json()["indexing"]:
            if time.monotonic() > deadline:
                raise Failure("the server did not come to the end of its manifests")
            time.sleep(0.1)
        yield server


def _naive(root: str) -> contextlib.AbstractContextManager[str]:
    return _server([sys.executable, os.path.join(_HERE, "naive.py"), root])


@contextlib.contextmanager
def _server(command: list[str]) -> Iterator[str]:
    """A process that tells in its first line where it listens."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline() if process.stdout else ""
        port = re.search(r"(\d+)/?\s*$", line)
        if port is None:
            raise Failure(f"{command[0]} did not start: {line!r}")
        yield f"127.0.0.1:{port[1]}"
    finally:
        process.terminate()
        process.wait(10)
        if process.stdout:
            process.stdout.close()


def _tree(folder: str, asked: Asked) -> str:
    """A tree with manifests, from the last time if it was made whole."""
    whole = os.path.join(folder, "whole")
    if os.path.exists(whole):
        return folder
    source = random.Random(0)
    for number in range(asked.actors):
        name = f"{number:05}_bench"
        os.makedirs(os.path.join(folder, _WHERE.training_dir(name)), exist_ok=True)
        for image in range(asked.images if asked.image_bytes else 0):
            path = os.path.join(folder, _WHERE.image(name, f"{name}_{image}.jpg"))
            with open(path, "wb") as file:
                file.write(source.randbytes(asked.image_bytes))
            os.utime(path, (_MADE_AT_S, _MADE_AT_S))
        if not asked.image_bytes:
            _record(folder, name, number)
    os.makedirs(os.path.join(folder, "buckets", _WHERE.bucket), exist_ok=True)
    if asked.image_bytes:
        command = [tool("callsheet"), "--root", folder, "sync", "--offline"]
        subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
    with open(whole, "w", encoding="utf-8"):
        pass
    return folder


def _record(folder: str, name: str, number: int) -> None:
    """A manifest of images that need not be there: the list tells what is recorded."""
    rows = [
        {
            "filename": f"{name}_{image}.jpg",
            "local_path": _WHERE.image(name, f"{name}_{image}.jpg"),
            "size_bytes": 327_680,
            "modified_timestamp": float(_MADE_AT_S),
            "md5_hash": f"{number:032x}",
            "status": "local_only" if number % 7 == image else "synced",
        }
        for image in range(3)
    ]
    path = os.path.join(folder, _WHERE.manifest(name[:5]))
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"character_id": name[:5], "character_name": name, "training_data": rows}, file, indent=2)
