"""Progress on stderr: bars on a terminal, JSON lines for programs."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Protocol

import click

from callsheet.report import Moved, Progress

_LINE_EVERY_S = 0.5


class Shown(Protocol):
    """Whatever shows progress: of a look at the tree, and of the carrying out of a plan."""

    def look(self, progress: Progress) -> None: ...

    def moved(self, moved: Moved) -> None: ...


@contextmanager
def shown(how: str, looking: str = "Syncing") -> Iterator[Shown]:
    """`how` is `auto` (bars, if stderr is a terminal), `json` or `none`; `looking` is what a look at the tree is called."""
    if how == "json":
        yield _Lines()
    elif how == "auto" and sys.stderr.isatty():
        from callsheet.cli.bars import bars

        with bars(looking) as drawn:
            yield drawn
    else:
        yield _Silence()


class _Silence:
    def look(self, progress: Progress) -> None:
        pass

    def moved(self, moved: Moved) -> None:
        pass


class _Lines:
    """One JSON object a line, at most one each half second, and always the last of a phase."""

    def __init__(self) -> None:
        self._started_s = time.monotonic()
        self._told_s = 0.0

    def look(self, progress: Progress) -> None:
        self._tell("look", asdict(progress), last=progress.actors_done == progress.actors_total)

    def moved(self, moved: Moved) -> None:
        self._tell("move", asdict(moved), last=moved.actions_done == moved.actions_total)

    def _tell(self, phase: str, numbers: dict[str, int], *, last: bool) -> None:
        now_s = time.monotonic()
        if not last and now_s - self._told_s < _LINE_EVERY_S:
            return
        self._told_s = now_s
        elapsed_s = round(now_s - self._started_s, 3)
        click.echo(json.dumps({"phase": phase, "elapsed_s": elapsed_s, **numbers}), err=True)
