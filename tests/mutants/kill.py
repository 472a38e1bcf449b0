"""Run killers on the callsheet that is found first: python kill.py FOLDER KILLER…, with FOLDER, which holds it, first in PYTHONPATH.

Prints one JSON object: whether all killers `passed`, and if not, `why` the first one failed; or what was `wrong` with the killers themselves.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from mutants.table import seeds_of

_HOME = Path(__file__).parents[2]


class Verdict:
    """What came of the tests of a session."""

    def __init__(self) -> None:
        self.passed = 0
        self.why = ""
        self.wrong = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.passed += report.when == "call" and report.passed

    def pytest_exception_interact(
        self, node: Any, call: pytest.CallInfo[Any], report: pytest.TestReport | pytest.CollectReport
    ) -> None:
        """A test fails for the right reason if it says what is not as promised; not if it cannot be run."""
        from callsheet.errors import CallsheetError

        error = None if call.excinfo is None else call.excinfo.value
        told = f"{type(error).__name__}: {error}"
        if call.when == "call" and isinstance(error, (AssertionError, pytest.fail.Exception, CallsheetError)):
            self.why = self.why or told
        else:
            self.wrong = self.wrong or told


def played(seeds: range) -> str:
    """The first promise that a history breaks, if any does."""
    from simulator.story import broken, history

    return next((f"seed {seed}: {breach}" for seed in seeds if (breach := broken(history(seed)))), "")


def main(folder: str, killers: list[str]) -> dict[str, object]:
    import callsheet
    from callsheet import _md5lanes

    for module in (callsheet, _md5lanes):
        if not os.path.realpath(str(module.__file__)).startswith(os.path.realpath(folder) + os.sep):
            return {"wrong": f"{module.__name__} is that of {module.__file__}"}
    for killer in killers:
        if (seeds := seeds_of(killer)) and (why := played(seeds)):
            return {"passed": False, "why": why}
    tests = [killer for killer in killers if not seeds_of(killer)]
    if not tests:
        return {"passed": True}
    verdict = Verdict()
    options = ["-x", "-p", "pytest_timeout", "-p", "no:cacheprovider", "--rootdir", str(_HOME), "--timeout", "60"]
    ended = pytest.main([*options, *(str(_HOME / test) for test in tests)], plugins=[verdict])
    if verdict.wrong or ended not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        return {"wrong": verdict.wrong or f"pytest ended with {ended!r}"}
    if not verdict.why and not verdict.passed:
        return {"wrong": "no test was run"}
    return {"passed": not verdict.why, "why": verdict.why}


if __name__ == "__main__":
    said = sys.stdout
    sys.stdout = sys.stderr
    print(json.dumps(main(sys.argv[1], sys.argv[2:])), file=said)
