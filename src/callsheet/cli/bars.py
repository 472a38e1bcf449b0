"""Progress bars on a terminal. Importing this imports rich."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.filesize import decimal
from rich.progress import (
    BarColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars

from callsheet.report import Moved, Progress


class Drawn:
    """A bar for the look, and one for what is moved, each from when it begins."""

    def __init__(self, bars: Bars, looking: str) -> None:
        self._bars = bars
        self._looking = looking
        self._tasks: dict[str, TaskID] = {}

    def look(self, progress: Progress) -> None:
        """Actors, images, bytes hashed and the rate of that."""
        done, total = progress.actors_done, progress.actors_total
        hashed = f"{self._amount(self._looking, progress.hashed_bytes)} hashed" if progress.hashed_bytes else ""
        self._draw(self._looking, done, total, f"{done:,}/{total:,} actors", f"{progress.images:,} images", hashed)

    def moved(self, moved: Moved) -> None:
        """Steps, bytes and the rate of those; the bar is of the bytes, where there are any."""
        steps = f"{moved.actions_done:,}/{moved.actions_total:,} steps"
        failed = f"{moved.failed:,} failed" if moved.failed else ""
        if moved.bytes_total:
            amount = f"{self._amount('Moving', moved.bytes_done)} of {decimal(moved.bytes_total)}"
            self._draw("Moving", moved.bytes_done, moved.bytes_total, steps, amount, failed)
        else:
            self._draw("Moving", moved.actions_done, moved.actions_total, steps, failed)

    def _amount(self, name: str, size_bytes: int) -> str:
        task = next((task for task in self._bars.tasks if task.description == name), None)
        elapsed_s = (task and task.elapsed) or 0.0
        rate = f", {decimal(int(size_bytes / elapsed_s))}/s" if elapsed_s else ""
        return f"{decimal(size_bytes)}{rate}"

    def _draw(self, name: str, done: int, total: int, *parts: str) -> None:
        text = " · ".join(filter(None, parts))
        if name not in self._tasks:
            self._tasks[name] = self._bars.add_task(name, total=total, text=text)
        self._bars.update(self._tasks[name], completed=done, total=total, text=text)


@contextmanager
def bars(looking: str) -> Iterator[Drawn]:
    """Bars that vanish when the block ends; `looking` is what a look at the tree is called."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[text]} ·"),
        TimeElapsedColumn(),
        TextColumn("· left"),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=Console(stderr=True), transient=True) as drawn:
        yield Drawn(drawn, looking)
