"""What each run did, step by step, so that it can be taken back: one file a run, `data/.callsheet/runs/{run}.jsonl`.

All steps are in the file, durably, before the first of them is carried out; what came of each follows as it is known. So a step
without an outcome is one that may have happened.
"""

from __future__ import annotations

import os
from collections.abc import Container, Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from types import TracebackType
from typing import Any

import orjson

from callsheet import files, local, locks, planfile, system
from callsheet.action import Action, Outcome, PastRun, Plan
from callsheet.errors import LocalError, PlanError, UnderWay, UnknownRun
from callsheet.layout import JOURNAL_SUFFIX, Layout, is_run_id

_STEP = b',"action":'
_OUTCOME = b',"outcome":'
_HEAD = 32
"""What a line is about is told within so many bytes of its start, after the number of a step."""


class Recorder:
    """The open journal of a run that is under way, locked as long as that is so. Used by one thread.

    A disk that is full must not keep the run from ending well: `failure` is why a line could not be written, if one could not.
    """

    def __init__(self, path: str, lines: Iterable[Mapping[str, Any]]) -> None:
        """Writes `lines`, durably. `LocalError` if that cannot be done; the file is new."""
        self._path = path
        self.failure: LocalError | None = None
        self._descriptor = files.create_durably(path, map(_line, lines))

    def outcomes(self, some: Mapping[int, Outcome]) -> None:
        """What came of steps, by their numbers. It survives a crash of this process from here on, and one of the machine from `end` on."""
        self._write({"n": number, **planfile.outcome_as_dict(outcome)} for number, outcome in some.items())

    def end(self, moment: datetime) -> None:
        """The run is over."""
        self._write([{"ended": moment.isoformat()}])
        with suppress(OSError):
            system.fsync(self._descriptor)

    def _write(self, lines: Iterable[Mapping[str, Any]]) -> None:
        if self.failure is not None:
            return  # after a line that was cut short, another would make no sense
        try:
            system.write_all(self._descriptor, b"".join(map(_line, lines)))
        except OSError as error:
            self.failure = local.failed("write", self._path, error)

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        locks.unlock(self._descriptor)


class Journal:
    """The journal of one tree."""

    def __init__(self, root: str, where: Layout) -> None:
        self._root = root
        self._where = where

    def begin(self, run: str, plan: Plan, started: datetime) -> Recorder:
        """Write down what is about to be done."""
        opening = planfile.first_line(run, plan.verb, started, plan.undoes)
        marks = ({"mark": planfile.mark_as_dict(mark)} for mark in plan.marks)
        steps = ({"n": number, "action": planfile.action_as_dict(a)} for number, a in enumerate(plan.actions))
        return Recorder(self._path(run), (opening, *marks, *steps))

    def runs(self) -> list[str]:
        """The ids of all runs, the oldest first."""
        names = local.names_in(os.path.join(self._root, self._where.journal_dir))
        return sorted(
            name.removesuffix(JOURNAL_SUFFIX)
            for name in names
            if name.endswith(JOURNAL_SUFFIX) and is_run_id(name.removesuffix(JOURNAL_SUFFIX))
        )

    def read(self, run: str) -> PastRun:
        """What is told of a run. `UnknownRun` if nothing is, `PlanError` if that makes no sense."""
        planfile.run_id(run, f"{run[:80]!r}")
        path = self._path(run)
        raw = local.read_bytes(path)
        if raw is None:
            raise _unknown(run, self._where)
        past = planfile.read_journal(raw, path)
        if past.id != run:
            raise PlanError(f"{path}:1.run is another run's: {past.id}")
        return past

    def outcomes(self, run: str, start: int, most: int) -> tuple[list[Outcome], int]:
        """What came of a run's steps, in the order in which it was known: `most` from the `start`th on, and how many there are by now.

        The run may be under way, and large: of its journal only those lines are parsed. Raises as `read`.
        """
        planfile.run_id(run, f"{run[:80]!r}")
        path = self._path(run)
        chosen: list[dict[str, Any]] = []
        count = 0
        actions: dict[int, Action] = {}
        try:
            with system.open_file(path, "rb") as lines:
                for line in lines:
                    if _OUTCOME in line[:_HEAD] and line.endswith(b"\n"):
                        if start <= count < start + most:
                            chosen.append(orjson.loads(line))
                        count += 1
                numbers = {item["n"] for item in chosen}
                lines.seek(0)
                for number, line in enumerate(line for line in lines if _STEP in line[:_HEAD]):
                    if number in numbers:
                        actions[number] = planfile.read_action(orjson.loads(line)["action"], f"{path}: step {number}")
                    if len(actions) == len(numbers):
                        break
        except FileNotFoundError as error:
            raise _unknown(run, self._where) from error
        except OSError as error:
            raise local.failed("read", path, error) from error
        except (ValueError, KeyError, TypeError) as error:
            raise PlanError(f"{path} is not sound: {error}") from error
        if numbers - actions.keys():
            raise PlanError(f"{path} tells of steps that are not there")
        outcomes = [planfile.read_outcome(item, actions[item["n"]], f"{path}: outcome {item['n']}") for item in chosen]
        return outcomes, count

    def is_under_way(self, run: str) -> bool:
        """Whether a run is still going on. One that was killed is not."""
        return locks.is_locked(self._path(run))

    def read_over(self, run: str) -> PastRun:
        """As `read`; `UnderWay` if the run is still going on."""
        self._check_over(planfile.run_id(run, f"{run[:80]!r}"))
        return self.read(run)

    def _check_over(self, run: str) -> None:
        if self.is_under_way(run):
            raise UnderWay(f"The run {run} is still going on", hint="Wait for it, or stop it first.")

    def unfinished(self) -> PastRun | None:
        """The last run, if it did not come to its end."""
        last = self.runs()[-1:]
        past = self._begun(last[0]) if last else None
        return past if past is not None and past.ended is None else None

    def latest_not_taken_back(self, but: Container[str] = (), upto: str = "") -> PastRun:
        """The run that a plain `undo` is about: the last one that changed something, is no undo, and was not taken back.

        Those in `but`, and with `upto` those after that run, are passed over.

        An undo that did not come to the end of its steps is gone on with. `UnderWay` if a later one is still going on.
        `PlanError` if the journal of a later one makes no sense: it may be the one that is meant.
        """
        taken: set[str] = set()
        for run in reversed(self.runs()):
            is_later = upto != "" and run > upto
            if not is_later:
                self._check_over(run)
            past = self._begun(run)
            if past is None or not past.changed:
                continue
            if past.undoes:
                if past.id not in taken and past.ended is not None and all(step.known for step in past.steps):
                    taken.add(past.undoes)
            elif not is_later and past.id not in taken and past.id not in but:
                return past
        raise UnknownRun("There is nothing to take back", hint="No run has changed anything that was not taken back.")

    def _begun(self, run: str) -> PastRun | None:
        """As `read`; None for a run that was killed before its journal had a whole line, and so before it did anything."""
        if b"\n" not in (local.read_bytes(self._path(run)) or b""):
            return None
        try:
            return self.read(run)
        except PlanError as error:
            raise PlanError(str(error), hint="Mend it, or say which run to take back: callsheet undo RUN") from error

    def _path(self, run: str) -> str:
        return os.path.join(self._root, self._where.journal(run))


def _unknown(run: str, where: Layout) -> UnknownRun:
    return UnknownRun(f"The journal tells of no run {run}", hint=f"Past runs are the files in {where.journal_dir}.")


def _line(item: Mapping[str, Any]) -> bytes:
    return orjson.dumps(item, option=orjson.OPT_APPEND_NEWLINE)
