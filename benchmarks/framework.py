"""What every benchmark is made of: commands that are measured in turn, round by round, and what is made of the costs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from statistics import median
from typing import Any

_CLOCK = os.path.join(os.path.dirname(os.path.abspath(__file__)), "clock.py")

Check = Callable[[str, str], str]
"""What is wrong with a run, from its stdout and stderr; empty if nothing is."""


@dataclass(frozen=True)
class Cost:
    """What one process took."""

    wall_s: float
    cpu_s: float
    peak_bytes: int


def nothing() -> None:
    """The preparation of what needs none."""


@dataclass(frozen=True)
class Contender:
    """One command of a case. `prepare` runs before each of its runs, and is not measured.

    A slow one may take part in the first `most_rounds` counted rounds only (0: in all).
    """

    label: str
    command: tuple[str, ...]
    check: Check
    prepare: Callable[[], None] = nothing
    most_rounds: int = 0


@dataclass(frozen=True)
class Target:
    """A promise: `measure` of `contender` is at most `limit` (seconds, bytes), or `limit` times that of each of `peers`, if there are any."""

    contender: str
    measure: str
    limit: float
    peers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Case:
    """Commands that are measured in turn. `objects`: how many each run moves, if that is what it does."""

    name: str
    title: str
    contenders: tuple[Contender, ...]
    targets: tuple[Target, ...] = ()
    peers: tuple[str, ...] = ()
    objects: int = 0
    begin: Callable[[], None] = nothing
    """Runs once, before the first round."""
    most_rounds: int = 0
    """So many counted rounds are enough; 0: as many as are asked for."""
    once: bool = False
    """Whether a single round tells enough; it is counted, then."""


@dataclass(frozen=True)
class Site:
    """Where cases are measured: the environment of their commands, a folder for what they print, and what tidies up at the end."""

    env: Mapping[str, str]
    folder: str
    cases: list[Case]
    tidy: Callable[[], None] = nothing


@dataclass(frozen=True)
class Group:
    """Cases that share their ground, which is made in a folder of its own below the one that `cases` is given."""

    name: str
    names: tuple[str, ...]
    cases: Callable[[str], AbstractContextManager[Site]]


class Failure(Exception):
    """A run that did not do what it was to do: its time means nothing."""


def say(message: str) -> None:
    """Tell the user what goes on; results go to stdout."""
    print(message, file=sys.stderr, flush=True)


def run(contender: Contender, env: Mapping[str, str], folder: str) -> Cost:
    """One process, from start to end. `Failure` if it did not do its work."""
    contender.prepare()
    files = [os.path.join(folder, name) for name in ("stdout", "stderr")]
    for path in files:  # not written over: they may have other names, too
        with suppress(FileNotFoundError):
            os.unlink(path)
    clock = [sys.executable, "-I", "-S", _CLOCK, *files, *contender.command]
    done = subprocess.run(clock, env=dict(env), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True)
    cost = json.loads(done.stdout)
    out, err = (text(path) for path in files)
    wrong = f"exit code {cost['exit']}: {err.strip()}" if cost["exit"] else contender.check(out, err)
    if wrong:
        raise Failure(f"{contender.label}: {wrong}")
    return Cost(cost["wall_s"], cost["cpu_s"], cost["peak_bytes"])


def measure(case: Case, env: Mapping[str, str], folder: str, rounds: int) -> dict[str, list[Cost]]:
    """The costs of each contender, one for each counted round that it took part in. Every round starts with another one."""
    case.begin()
    costs: dict[str, list[Cost]] = {contender.label: [] for contender in case.contenders}
    rounds = min(rounds, case.most_rounds or rounds)
    first, last = (1, 1) if case.once else (0, rounds)
    for number in range(first, last + 1):
        shift = (number - first) % len(case.contenders)
        for contender in case.contenders[shift:] + case.contenders[:shift]:
            if contender.most_rounds and number > contender.most_rounds:
                continue
            cost = run(contender, env, folder)
            if number:
                costs[contender.label].append(cost)
    return costs


def summary(case: Case, costs: Mapping[str, list[Cost]]) -> dict[str, Any]:
    """A case's results as plain data: (median, least, most) of each measure, and of its ratio to each peer, round by round."""
    rows: dict[str, Any] = {}
    for label, runs in costs.items():
        rows[label] = {name: _spread(_values(runs, name)) for name in ("wall_s", "cpu_s", "peak_bytes")}
        rows[label]["ratios"] = {peer: _ratios(runs, costs[peer]) for peer in case.peers if label not in case.peers}
        rows[label]["runs"] = [vars(cost) for cost in runs]
    targets = [_verdict(target, rows) for target in case.targets]
    return {"title": case.title, "objects": case.objects, "contenders": rows, "targets": targets}


def _ratios(runs: list[Cost], peers: list[Cost]) -> dict[str, Any]:
    """Of the rounds that both took part in."""
    return {
        name: _spread([a / b for a, b in zip(_values(runs, name), _values(peers, name), strict=False)])
        for name in ("wall_s", "cpu_s")
    }


def _values(runs: list[Cost], name: str) -> list[float]:
    return [getattr(cost, name) for cost in runs]


def _spread(values: list[float]) -> tuple[float, float, float]:
    return median(values), min(values), max(values)


def _verdict(target: Target, rows: Mapping[str, Any]) -> dict[str, Any]:
    """`hardest` is the peer that the contender does worst against: no other makes the target harder to meet."""
    row = rows[target.contender]
    ratios = {peer: row["ratios"][peer][target.measure][0] for peer in target.peers}
    hardest = max(ratios, key=lambda peer: ratios[peer], default="")
    value = ratios[hardest] if hardest else row[target.measure][0]
    return {**vars(target), "hardest": hardest, "value": value, "met": value <= target.limit}


def table(result: Mapping[str, Any]) -> Iterator[str]:
    """A case's results for a terminal."""
    rows, objects = result["contenders"], result["objects"]
    width = max(map(len, rows))
    yield f"\n{result['title']}"
    per_object = f"  {'CPU, µs an object':>17}" if objects else ""
    yield f"  {'':{width}}  {'wall, s':>24}  {'CPU, s':>24}{per_object}  {'peak, MiB':>9}"
    most = max(len(row["runs"]) for row in rows.values())
    for label, row in rows.items():
        each = f"  {row['cpu_s'][0] / objects * 1e6:>17,.0f}" if objects else ""
        fewer = f"  ({len(row['runs'])} of {most} rounds)" if len(row["runs"]) < most else ""
        peak = f"{row['peak_bytes'][0] / 2**20:>9.0f}"
        yield f"  {label:{width}}  {_shown(row['wall_s'])}  {_shown(row['cpu_s'])}{each}  {peak}{fewer}"
    for label, row in rows.items():
        for peer, ratio in row["ratios"].items():
            wall, cpu = (_shown(ratio[name]).strip() for name in ("wall_s", "cpu_s"))
            yield f"  {label} / {peer}: wall {wall}, CPU {cpu}"
    yield from map(_told, result["targets"])


def _told(target: Mapping[str, Any]) -> str:
    measure, value, peers = target["measure"], target["value"], target["peers"]
    if measure == "peak_bytes":
        limit, reached = f"{target['limit'] / 1e6:g} MB", f"{value / 1e6:.0f} MB"
    elif len(peers) > 1:
        limit, reached = f"{target['limit']:g} × each peer", f"{value:.2f}, to {target['hardest']}"
    elif peers:
        limit, reached = f"{target['limit']:g} × {peers[0]}", f"{value:.2f}"
    else:
        limit, reached = f"{target['limit']:g} s", f"{value:.3f} s"
    name = {"wall_s": "wall", "cpu_s": "CPU", "peak_bytes": "peak"}[measure]
    return f"  Target: {target['contender']}, {name} ≤ {limit}: {'met' if target['met'] else 'MISSED'} ({reached})"


def _shown(spread: tuple[float, float, float]) -> str:
    middle, least, most = spread
    return f"{middle:7.3f} ({least:.3f}–{most:.3f})".rjust(24)


def text(path: str) -> str:
    """A whole file."""
    with open(path, encoding="utf-8") as file:
        return file.read()
