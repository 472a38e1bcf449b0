"""What a sync costs beside rclone, which compares and hashes the same files: `make bench`.

Whole processes are measured, in turn, so that whatever else the machine does hits all of them; the first round is not
counted. Every run is checked to have done its work. See docs/performance.md.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from importlib.util import find_spec
from statistics import median
from typing import Any

import orjson

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))
sys.path.insert(0, os.path.join(sys.path[0], "tests"))

from benchmarks import ground
from benchmarks.ground import IMAGE_BYTES, WHERE, Ground, say

from servers import ministack, tool

_HERE = os.path.dirname(os.path.abspath(__file__))
_PROJECT = os.path.dirname(_HERE)
_BENCH_DIR = os.path.join(_PROJECT, ".bench")
_TOOLS = ("callsheet", "rclone", "ministack")
_PROOF = "etag"

Check = Callable[[str, str], str]
"""What is wrong with a run, from its stdout and stderr; empty if nothing is."""


@dataclass(frozen=True)
class Cost:
    """What one process took."""

    wall_s: float
    cpu_s: float
    peak_bytes: int


@dataclass(frozen=True)
class Contender:
    """One command of a case. `prepare` runs before each of its runs, and is not measured."""

    label: str
    command: tuple[str, ...]
    check: Check
    prepare: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Target:
    """A promise: `measure` of `contender` is at most `limit` (seconds), or `limit` times that of `peer`, if there is one."""

    contender: str
    measure: str
    limit: float
    peer: str = ""


@dataclass(frozen=True)
class Case:
    """Commands that are measured in turn."""

    name: str
    title: str
    contenders: tuple[Contender, ...]
    targets: tuple[Target, ...] = ()
    peers: tuple[str, ...] = ()


class Failure(Exception):
    """A run that did not do what it was to do: its time means nothing."""


def cases(trees: Ground, place: str) -> Iterator[Case]:
    """All that is measured. `place` is where rclone finds the objects."""

    def callsheet(label: str, *arguments: str, written: int = 0, forget: bool = False) -> Contender:
        command = (tool("callsheet"), "--root", trees.root, *arguments)
        prepare = trees.forget if forget else _nothing
        return Contender(label, command, lambda out, _: _synced(trees, out, written), prepare)

    def rclone(*arguments: str, check: Check) -> Contender:
        return Contender(
            "rclone " + " ".join(arguments[: arguments.index(trees.flat)]), (tool("rclone"), *arguments), check
        )

    def equal(_: str, err: str) -> str:
        return _all_equal(trees, err)

    compare = rclone("check", "--checksum", trees.flat, place, check=equal)
    compare_listed_at_once = rclone("check", "--checksum", "--fast-list", trees.flat, place, check=equal)
    hashsum = rclone("hashsum", "MD5", trees.flat, check=lambda out, _: _same_sums(trees, out))
    peers = (compare.label, compare_listed_at_once.label)
    sync, verify, cold = "callsheet sync", "callsheet sync --verify", "callsheet sync, nothing recorded"
    offline, status, shown = "callsheet sync --offline", "callsheet status", "callsheet --help"

    yield Case(
        "noop",
        "Nothing has changed: is everything still equal?",
        (
            callsheet(sync, "sync", "--json"),
            callsheet(verify, "sync", "--verify", "--json"),
            compare,
            compare_listed_at_once,
        ),
        tuple(Target(sync, "wall_s", 1.0, peer) for peer in peers),
        peers,
    )
    yield Case(
        "cold",
        "Nothing is recorded yet: hash, compare and write everything",
        (callsheet(cold, "sync", "--json", written=trees.actors, forget=True), hashsum, compare_listed_at_once),
        (Target(cold, "wall_s", 1.0, hashsum.label),),
        (hashsum.label, compare_listed_at_once.label),
    )
    yield Case(
        "offline",
        "Nothing has changed, S3 is not looked at",
        (callsheet(offline, "sync", "--offline", "--json"),),
        (Target(offline, "wall_s", 0.5),),
    )
    yield Case(
        "start",
        "Without hashing or network",
        (
            Contender(
                shown, (tool("callsheet"), "--help"), lambda out, _: "" if "sync" in out else "no help was shown"
            ),
            Contender(
                status,
                (tool("callsheet"), "--root", trees.root, "status", "--json"),
                lambda out, _: _counted(trees, out),
            ),
        ),
        (Target(shown, "cpu_s", 0.15),),
    )


def _nothing() -> None:
    pass


def _counted(trees: Ground, out: str) -> str:
    report = json.loads(out)
    wanted = {"actors": trees.actors, "images": trees.images, "synced": trees.images, "problems": []}
    wrong = [f"{key} is {report[key]!r}" for key, value in wanted.items() if report[key] != value]
    return ", ".join(wrong)


def _synced(trees: Ground, out: str, written: int) -> str:
    """Whether a sync saw and wrote what it had to, and whether every manifest tells the truth and how it is known."""
    if wrong := _counted(trees, out):
        return wrong
    if (updated := json.loads(out)["manifests_updated"]) != written:
        return f"{updated} manifests were written"
    recorded = {}
    folder = os.path.join(trees.root, WHERE.manifests_dir)
    for name in os.listdir(folder):
        with open(os.path.join(folder, name), "rb") as file:
            manifest = orjson.loads(file.read())
        for entry in manifest["training_data"]:
            recorded[f"{manifest['character_name']}/{entry['filename']}"] = entry["md5_hash"]
            if entry["evidence"] != _PROOF:
                return f"{entry['filename']} is known by {entry['evidence']}, not by {_PROOF}"
    return "" if recorded == trees.md5s else "the manifests have other MD5s than the images"


def _all_equal(trees: Ground, err: str) -> str:
    found = {word: int(number) for number, word in re.findall(r"(\d+) (differences found|matching files)", err)}
    return "" if found == {"differences found": 0, "matching files": trees.images} else err.strip() or "it said nothing"


def _same_sums(trees: Ground, out: str) -> str:
    sums = {path: md5 for md5, path in (line.split("  ", 1) for line in out.splitlines())}
    return "" if sums == trees.md5s else "it found other MD5s than the images have"


def run(contender: Contender, env: Mapping[str, str], folder: str) -> Cost:
    """One process, from start to end. `Failure` if it did not do its work."""
    contender.prepare()
    files = [os.path.join(folder, name) for name in ("stdout", "stderr")]
    clock = [sys.executable, "-I", "-S", os.path.join(_HERE, "clock.py"), *files, *contender.command]
    done = subprocess.run(clock, env=dict(env), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True)
    cost = json.loads(done.stdout)
    out, err = (_text(path) for path in files)
    wrong = f"exit code {cost['exit']}: {err.strip()}" if cost["exit"] else contender.check(out, err)
    if wrong:
        raise Failure(f"{contender.label}: {wrong}")
    return Cost(cost["wall_s"], cost["cpu_s"], cost["peak_bytes"])


def measure(case: Case, env: Mapping[str, str], folder: str, rounds: int) -> dict[str, list[Cost]]:
    """The costs of each contender, one for each counted round. Every round starts with another one."""
    costs: dict[str, list[Cost]] = {contender.label: [] for contender in case.contenders}
    for number in range(rounds + 1):
        shift = number % len(case.contenders)
        for contender in case.contenders[shift:] + case.contenders[:shift]:
            cost = run(contender, env, folder)
            if number:
                costs[contender.label].append(cost)
    return costs


def summary(case: Case, costs: Mapping[str, list[Cost]]) -> dict[str, Any]:
    """A case's results as plain data: (median, least, most) of each measure, and of its ratio to each peer, round by round."""
    rows: dict[str, Any] = {}
    for label, runs in costs.items():
        rows[label] = {name: _spread(_values(runs, name)) for name in ("wall_s", "cpu_s", "peak_bytes")}
        rows[label]["ratios"] = {
            peer: {
                name: _spread([a / b for a, b in zip(_values(runs, name), _values(costs[peer], name), strict=True)])
                for name in ("wall_s", "cpu_s")
            }
            for peer in case.peers
            if label not in case.peers
        }
        rows[label]["runs"] = [vars(cost) for cost in runs]
    return {"title": case.title, "contenders": rows, "targets": [_verdict(target, rows) for target in case.targets]}


def _values(runs: list[Cost], name: str) -> list[float]:
    return [getattr(cost, name) for cost in runs]


def _spread(values: list[float]) -> tuple[float, float, float]:
    return median(values), min(values), max(values)


def _verdict(target: Target, rows: Mapping[str, Any]) -> dict[str, Any]:
    row = rows[target.contender]
    value = (row["ratios"][target.peer] if target.peer else row)[target.measure][0]
    return {**vars(target), "value": value, "met": value <= target.limit}


def table(result: Mapping[str, Any]) -> Iterator[str]:
    """A case's results for a terminal."""
    width = max(map(len, result["contenders"]))
    yield f"\n{result['title']}"
    yield f"  {'':{width}}  {'wall, s':>22}  {'CPU, s':>22}  {'peak, MiB':>9}"
    for label, row in result["contenders"].items():
        yield (
            f"  {label:{width}}  {_shown(row['wall_s'])}  {_shown(row['cpu_s'])}  {row['peak_bytes'][0] / 2**20:>9.0f}"
        )
    for label, row in result["contenders"].items():
        for peer, ratio in row["ratios"].items():
            yield f"  {label} / {peer}: wall{_shown(ratio['wall_s'])}, CPU{_shown(ratio['cpu_s'])}"
    for target in result["targets"]:
        limit = f"{target['limit']:g} × {target['peer']}" if target["peer"] else f"{target['limit']:g} s"
        word = "met" if target["met"] else "MISSED"
        yield f"  Target: {target['contender']}, {target['measure'].removesuffix('_s')} ≤ {limit}: {word}"


def _shown(spread: tuple[float, float, float]) -> str:
    middle, least, most = spread
    return f"{middle:7.3f} ({least:.3f}–{most:.3f})".rjust(22)


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    rclone = subprocess.run([tool("rclone"), "version"], capture_output=True, text=True, check=True).stdout
    names = re.findall(r"(?m)^model name\s*: (.*)$", _text("/proc/cpuinfo") if os.path.exists("/proc/cpuinfo") else "")
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "cpu": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "load_before": _load(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "callsheet": f"{version('callsheet')} {_code()}",
        "hashed_by": "_md5lanes" if find_spec("callsheet._md5lanes") else "hashlib",
        "rclone": rclone.split()[1],
        "ministack": version("ministack"),
    }


def _load() -> float:
    """How many processes wanted a core, on average over the last minute."""
    return round(os.getloadavg()[0], 2)


def _code() -> str:
    """A fingerprint of callsheet's own files: figures of code that is edited meanwhile are of no code at all."""
    digest = hashlib.sha256()
    for folder, folders, names in os.walk(os.path.join(_PROJECT, "src", "callsheet")):
        folders.sort()
        for name in sorted(names):
            if name.endswith((".py", ".so")):
                with open(os.path.join(folder, name), "rb") as file:
                    digest.update(f"{name}\0".encode() + file.read())
    return digest.hexdigest()[:12]


def _text(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()


def main() -> int:
    """Measure, print, and write `.bench/results.json`. 1 if a run did not do its work."""
    names = ("noop", "cold", "offline", "start")
    parser = argparse.ArgumentParser(description="What a sync costs beside rclone.")
    parser.add_argument("--rounds", type=int, default=7, help="counted rounds, after one that is not [7]")
    parser.add_argument("--only", action="append", choices=names, help="only this case; may be given again")
    parser.add_argument("--actors", type=int, default=289, help="[289]")
    parser.add_argument("--images", type=int, default=2451, help="[2451]")
    options = parser.parse_args()
    if options.rounds < 1 or not 1 <= options.actors <= options.images:
        parser.error("at least one round, one actor, and one image for each actor")
    if lacking := [name for name in _TOOLS if not os.access(tool(name), os.X_OK)]:
        print(f"Not installed beside {sys.executable}: {', '.join(lacking)}. Run: make setup", file=sys.stderr)
        return 1
    try:
        trees = ground.make(_BENCH_DIR, options.actors, options.images)
    except OSError as error:
        print(
            f"The images could not be made: {error}. They take {options.images * IMAGE_BYTES / 1e6:,.0f} MB",
            file=sys.stderr,
        )
        return 1
    results: dict[str, Any] = {"machine": machine(), "actors": trees.actors, "images": trees.images, "cases": {}}
    with ministack() as server:
        env = ground.environment(server, trees.folder)
        place = ground.upload(trees, server, env)
        try:
            chosen = list(cases(trees, place))
            run(next(case for case in chosen if case.name == "cold").contenders[0], env, trees.folder)
            for case in chosen:
                if not options.only or case.name in options.only:
                    say(f"Measuring {case.name} …")
                    results["cases"][case.name] = summary(case, measure(case, env, trees.folder, options.rounds))
                    print("\n".join(table(results["cases"][case.name])), flush=True)
        except Failure as failure:
            print(f"Not measured: {failure}", file=sys.stderr)
            return 1
        finally:
            trees.tidy()
    about = results["machine"]
    about["load_after"] = _load()
    about["code_changed"] = not about["callsheet"].endswith(_code())
    with open(os.path.join(_BENCH_DIR, "results.json"), "w", encoding="utf-8") as file:
        json.dump(results, file, indent=2, ensure_ascii=False)
    print("\n" + ", ".join(f"{key} {value}" for key, value in about.items()))
    if about["code_changed"]:
        print("callsheet's code changed meanwhile: these figures belong to no one version of it", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
