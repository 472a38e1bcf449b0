"""What callsheet costs, beside programs that do some of the same: `make bench`.

Whole processes are measured, in turn, so that whatever else the machine does hits all of them; the first round is not
counted. Every run is checked to have done its work. See docs/performance.md.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping
from typing import Any

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))
sys.path.insert(0, os.path.join(sys.path[0], "tests"))

from benchmarks import api_cases, ground, machine, memory_cases, moving_cases, sync_cases
from benchmarks.framework import Failure, measure, say, summary, table
from benchmarks.ground import IMAGE_BYTES, Ground

from servers import tool

_BENCH_DIR = os.path.join(machine.PROJECT, ".bench")
_TOOLS = ("aws", "callsheet", "ministack", "rclone", "s5cmd")
_GROUPS = (sync_cases, moving_cases, memory_cases)


def main() -> int:
    """Measure, print, and write `.bench/results.json`. 1 if a run did not do its work."""
    options = _options()
    if lacking := [name for name in _TOOLS if not os.access(tool(name), os.X_OK)]:
        say(f"Not installed beside {sys.executable}: {', '.join(lacking)}. Run: make setup")
        return 1
    try:
        trees = ground.make(_BENCH_DIR, options.actors, options.images)
    except OSError as error:
        say(f"The images could not be made: {error}. They take {options.images * IMAGE_BYTES / 1e6:,.0f} MB")
        return 1
    about = machine.about()
    results: dict[str, Any] = {"machine": about, "actors": trees.actors, "images": trees.images, "cases": {}}
    try:
        for group in _GROUPS:
            chosen = frozenset(group.NAMES) & frozenset(options.only or group.NAMES)
            if chosen:
                results["cases"] |= _measured(group, trees, chosen, options.rounds)
        chosen = frozenset(options.only or api_cases.NAMES)
        for name, result in api_cases.measured(_BENCH_DIR, chosen, options.rounds):
            results["cases"][name] = result
            print("\n".join(api_cases.table(result)), flush=True)
    except Failure as failure:
        say(f"Not measured: {failure}")
        return 1
    finally:
        trees.tidy()
    about["load_after"] = machine.load()
    about["code_changed"] = not about["callsheet"].endswith(machine.code())
    _write(results)
    print("\n" + ", ".join(f"{key} {value}" for key, value in about.items()))
    if about["code_changed"]:
        say("callsheet's code changed meanwhile: these figures belong to no one version of it")
        return 1
    return 0


def _write(results: Mapping[str, Any]) -> None:
    """Into a new file: the old one may have another name, too, where somebody has linked to what was measured before."""
    path = os.path.join(_BENCH_DIR, "results.json")
    with open(f"{path}.new", "w", encoding="utf-8") as file:
        json.dump(results, file, indent=2, ensure_ascii=False)
    os.replace(f"{path}.new", path)


def _measured(group: Any, trees: Ground, chosen: frozenset[str], rounds: int) -> dict[str, Any]:
    """The chosen cases of a group, each printed as soon as it is known."""
    results = {}
    with group.cases(trees) as (env, cases):
        for case in cases:
            if case.name in chosen:
                say(f"Measuring {case.name} …")
                results[case.name] = summary(case, measure(case, env, trees.folder, rounds))
                print("\n".join(table(results[case.name])), flush=True)
    return results


def _options() -> argparse.Namespace:
    names = [name for group in (*_GROUPS, api_cases) for name in group.NAMES]
    parser = argparse.ArgumentParser(description="What callsheet costs, beside programs that do some of the same.")
    parser.add_argument("--rounds", type=int, default=7, help="counted rounds, after one that is not [7]")
    parser.add_argument("--only", action="append", choices=names, help="only this case; may be given again")
    parser.add_argument("--actors", type=int, default=289, help="[289]")
    parser.add_argument("--images", type=int, default=2451, help="[2451]")
    options = parser.parse_args()
    if options.rounds < 1 or not 1 <= options.actors <= options.images:
        parser.error("at least one round, one actor, and one image for each actor")
    return options


if __name__ == "__main__":
    sys.exit(main())
