"""A progress bar on stderr, on a terminal only."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from callsheet.report import Progress


@contextmanager
def progress_bar() -> Iterator[Callable[[Progress], None]]:
    """Yields what to call with each `Progress`; it shows actors, images, bytes hashed, rate and time left."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("Syncing"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("actors · {task.fields[images]:,} images · {task.fields[hashed]} hashed{task.fields[rate]} ·"),
        TimeElapsedColumn(),
        TextColumn("· left"),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None, images=0, hashed="0 B", rate="")

        def show(progress: Progress) -> None:
            elapsed_s = bar.tasks[0].elapsed or 0.0
            rate = f", {_size(progress.hashed_bytes / elapsed_s)}/s" if elapsed_s and progress.hashed_bytes else ""
            bar.update(
                task,
                completed=progress.actors_done,
                total=progress.actors_total,
                images=progress.images,
                hashed=_size(progress.hashed_bytes),
                rate=rate,
            )

        yield show


def _size(size_bytes: float) -> str:
    from rich.filesize import decimal

    return decimal(int(size_bytes))
