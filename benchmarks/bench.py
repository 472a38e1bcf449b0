"""What callsheet costs, beside programs that do some of the same: `make bench`.

Whole processes are measured, in turn, so that whatever else the machine does hits all of them; the first round is not
counted. Every run is checked to have done its work. See docs/performance.md.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping
from typing import Any

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))
sys.path.insert(0, os.path.join(sys.path[0], "tests"))

from benchmarks import api_cases, growth, hash_cases, machine, memory_cases, moving_cases, report, sync_cases
from benchmarks.framework import Failure, Group, measure, say, summary, table

from servers import tool

_BENCH_DIR = os.path.join(machine.PROJECT, ".bench")
_RESULTS = os.path.join(_BENCH_DIR, "results.json")
_TOOLS = ("aws", "callsheet", "rclone", "s5cmd")
_GROUPS: tuple[Group, ...] = (
    *sync_cases.GROUPS,
    *hash_cases.GROUPS,
    *moving_cases.GROUPS,
    *memory_cases.GROUPS,
    *growth.GROUPS,
)
_NAMES = (*(name for group in _GROUPS for name in group.names), *api_cases.NAMES)


def main() -> int:
    """Measure, print, write `.bench/results.json`, and what docs/performance.md shows of it. 1 if a run did not do its work."""
    options = _options()
    if lacking := [name for name in _TOOLS if not os.access(tool(name), os.X_OK)]:
        say(f"Not installed beside {sys.executable}: {', '.join(lacking)}. Run: make setup")
        return 1
    os.makedirs(_BENCH_DIR, exist_ok=True)
    chosen = _chosen(options.only)
    about = machine.about()
    try:
        for group in _GROUPS:
            if chosen & frozenset(group.names):
                _measure(group, chosen, options.rounds, about)
        for name, result in api_cases.measured(_BENCH_DIR, chosen, options.rounds):
            _keep(name, result, about)
            print("\n".join(api_cases.table(result)), flush=True)
    except Failure as failure:
        say(f"Not measured: {failure}")
        return 1
    except OSError as error:
        say(f"Not measured: {error}. Is there room in {_BENCH_DIR}? All of it takes 20 GB and 1.3 million files")
        return 1
    changed = not about["callsheet"].endswith(machine.code())
    print("\n" + ", ".join(f"{key} {value}" for key, value in about.items()))
    if changed:
        say("callsheet's code changed meanwhile: these figures belong to no one version of it")
        return 1
    if not options.no_report:
        report.write(_results())
    return 0


def _measure(group: Group, chosen: frozenset[str], rounds: int, about: Mapping[str, Any]) -> None:
    """The chosen cases of a group, each printed and kept as soon as it is known."""
    started_s = time.monotonic()
    with group.cases(_BENCH_DIR) as site:
        try:
            for case in site.cases:
                if case.name in chosen:
                    say(f"Measuring {case.name} …")
                    result = summary(case, measure(case, site.env, site.folder, rounds))
                    _keep(case.name, result, about)
                    print("\n".join(table(result)), flush=True)
        finally:
            site.tidy()
    say(f"{group.name} took {time.monotonic() - started_s:.0f} s")


def _results() -> dict[str, Any]:
    """What was measured so far, by case: of this and of earlier runs."""
    try:
        with open(_RESULTS, encoding="utf-8") as file:
            found: dict[str, Any] = json.load(file)
            return found
    except FileNotFoundError:
        return {}


def _keep(name: str, result: Mapping[str, Any], about: Mapping[str, Any]) -> None:
    """Into a new file: the old one may have another name, too, where somebody has linked to what was measured before."""
    results = _results()
    results[name] = {**result, "machine": {**about, "load_after": machine.load()}}
    with open(f"{_RESULTS}.new", "w", encoding="utf-8") as file:
        json.dump({key: results[key] for key in _NAMES if key in results}, file, indent=2, ensure_ascii=False)
    os.replace(f"{_RESULTS}.new", _RESULTS)


def _chosen(only: list[str] | None) -> frozenset[str]:
    """The cases that were asked for, by their names and by those of their groups."""
    groups = {group.name: group.names for group in _GROUPS} | {"api": api_cases.NAMES, "growth": growth.NAMES}
    return frozenset(case for name in only or _NAMES for case in groups.get(name, (name,)))


def _options() -> argparse.Namespace:
    names = sorted({*_NAMES, *(group.name for group in _GROUPS), "api", "growth"})
    parser = argparse.ArgumentParser(description="What callsheet costs, beside programs that do some of the same.")
    parser.add_argument("--rounds", type=int, default=5, help="counted rounds, after one that is not [5]")
    parser.add_argument("--only", action="append", choices=names, help="only this case or group; may be given again")
    parser.add_argument("--no-report", action="store_true", help="leave docs/performance.md as it is")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error("at least one round")
    return options


if __name__ == "__main__":
    sys.exit(main())
