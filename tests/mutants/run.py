"""Plant bugs in a copy of callsheet, one at a time, and see that the suite notices each: python run.py [NAME…]. Exit code 1 if one survives."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

_TESTS = Path(__file__).parents[1]
_SOURCE = _TESTS.parent / "src"
sys.path.insert(0, str(_TESTS))

from mutants.table import MUTANTS, Mutant, planted, seeds_of  # noqa: E402

_AT_ONCE = 2


@dataclass(frozen=True, slots=True)
class Trial:
    """What killers made of a copy. `why` one of them failed, and `wrong` is why that says nothing; empty if not."""

    name: str
    killer: str
    why: str
    wrong: str
    seconds: float


def tried(name: str, killers: Sequence[str], mutant: Mutant | None = None) -> Trial:
    """Run the killers on a copy of the source, with the mutant in it."""
    start_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="callsheet-mutant-") as folder:
        shutil.copytree(_SOURCE, folder, dirs_exist_ok=True)
        if mutant is not None:
            source = Path(folder, "callsheet", mutant.file)
            source.write_text(planted(mutant, source.read_text(encoding="utf-8")), encoding="utf-8")
        path = os.pathsep.join((folder, str(_TESTS)))
        # No plugin but those that killers name: to load the others takes twice as long as most tests.
        environment = {**os.environ, "PYTHONPATH": path, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        command = [sys.executable, str(_TESTS / "mutants" / "kill.py"), folder, *killers]
        ended = subprocess.run(command, env=environment, cwd=_TESTS.parent, capture_output=True, text=True)
    try:
        said = json.loads(ended.stdout)
    except ValueError:
        said = {"wrong": f"it ended with {ended.returncode}: {ended.stderr[-2000:]}"}
    seconds = time.monotonic() - start_s
    return Trial(name, killers[0], said.get("why", ""), said.get("wrong", ""), seconds)


def undisturbed(mutants: Iterable[Mutant]) -> list[Trial]:
    """The killers on the source as it is: one that always fails kills nothing."""
    killers = dict.fromkeys(mutant.killer for mutant in mutants)
    seeds = [found for killer in killers if (found := seeds_of(killer))]
    tests = [killer for killer in killers if not seeds_of(killer)]
    widest = f"seeds {min(one.start for one in seeds)}-{max(one.stop for one in seeds) - 1}" if seeds else ""
    wanted = [killers for killers in ([widest] if widest else [], tests) if killers]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(lambda killers: tried("as it is", killers), wanted))


def told(trial: Trial) -> str:
    """A row of the table."""
    outcome = "survived" if not trial.why else "killed"
    reason = " ".join((trial.wrong or trial.why).split())
    return f"{trial.name:<42} {'?' if trial.wrong else outcome:<9}{trial.seconds:5.1f} s  {trial.killer}\n{'':<42} {reason[:160]}"


def main(names: Sequence[str]) -> int:
    """Print what came of each mutant, or of those that are named."""
    if unknown := set(names) - {mutant.name for mutant in MUTANTS}:
        sys.exit(f"There is no mutant {', '.join(sorted(unknown))}")
    chosen = [mutant for mutant in MUTANTS if not names or mutant.name in names]
    start_s = time.monotonic()
    if bad := [trial for trial in undisturbed(chosen) if trial.why or trial.wrong]:
        print("A killer fails on the source as it is:", *map(told, bad), sep="\n")
        return 1
    survived = 0
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for trial in pool.map(lambda mutant: tried(mutant.name, [mutant.killer], mutant), chosen):
            print(told(trial), flush=True)
            survived += bool(trial.wrong or not trial.why)
    print(f"{len(chosen) - survived} of {len(chosen)} mutants killed, {time.monotonic() - start_s:.0f} s")
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
